//! A result that is printed in any version and read again says the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use manifold_cni::{CniResult, Dns, Interface, IpConfig, Route, Version};
use proptest::prelude::*;
use serde_json::{Map, json};

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
    ]
}

fn net() -> impl Strategy<Value = IpNet> {
    (address(), 0_u8..129).prop_map(|(address, prefix)| match address {
        IpAddr::V4(v4) => Ipv4Net::new_assert(v4, prefix % 33).into(),
        IpAddr::V6(v6) => Ipv6Net::new_assert(v6, prefix).into(),
    })
}

fn interface() -> impl Strategy<Value = Interface> {
    (
        "\\PC{0,15}",
        proptest::option::of(any::<u32>()),
        proptest::option::of("/[a-z/]{0,9}"),
        "[a-f0-9:]{0,17}",
    )
        .prop_map(|(name, mtu, sandbox, mac)| Interface {
            name,
            mac,
            mtu,
            sandbox: sandbox.unwrap_or_default(),
            ..Interface::default()
        })
}

fn result() -> impl Strategy<Value = CniResult> {
    let ip = (net(), proptest::option::of(address()), proptest::option::of(0_usize..3))
        .prop_map(|(address, gateway, interface)| IpConfig { interface, ..IpConfig::new(address, gateway) });
    let route = (
        net(),
        proptest::option::of(address()),
        proptest::option::of(any::<u32>()),
        proptest::option::of(any::<u8>()),
    )
        .prop_map(|(dst, gw, mtu, scope)| Route { mtu, scope, ..Route::new(dst, gw) });
    let dns = proptest::collection::vec("\\PC{0,9}", 0..3).prop_map(|words| Dns {
        nameservers: words.clone(),
        search: words,
        ..Dns::default()
    });
    let several = 0..4_usize;
    (
        proptest::collection::vec(interface(), several.clone()),
        proptest::collection::vec(ip, several.clone()),
        proptest::collection::vec(route, several),
        dns,
        "\\PC{1,9}",
    )
        .prop_map(|(interfaces, ips, routes, dns, key)| {
            let extra = Map::from_iter([(format!("x-{key}"), json!({"any": [1, 0.1, null]}))]);
            CniResult { interfaces, ips, routes, dns, extra }
        })
}

proptest! {
    #![proptest_config(super::cases())]

    // Proves: S-8
    #[test]
    fn what_is_printed_in_a_version_comes_back(result in result()) {
        for version in Version::ALL {
            let Ok(printed) = result.to_json(version) else {
                prop_assert!(result.ips.is_empty() && version <= Version::V0_2_0);
                continue;
            };
            let (again, stated) = CniResult::parse(&printed, Version::NEWEST).unwrap();
            prop_assert_eq!(stated, version);
            prop_assert_eq!(again.to_json(version), Ok(printed));
            if version >= Version::V1_0_0 {
                prop_assert_eq!(&again, &result);
            }
        }
    }
}
