use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[track_caller]
fn parse(value: &Value) -> CniResult {
    CniResult::parse(value.to_string().as_bytes(), Version::NEWEST).expect("a result").0
}

#[track_caller]
fn print(result: &CniResult, version: Version) -> Value {
    serde_json::from_slice(&result.to_json(version).expect("fits")).expect("JSON")
}

/// Everything 1.1.0 can say.
fn full() -> Value {
    json!({
        "cniVersion": "1.1.0",
        "interfaces": [
            {"name": "br0", "mac": "02:00:00:00:00:01"},
            {"name": "eth0", "mac": "02:00:00:00:00:02", "mtu": 9000, "sandbox": "/run/netns/a",
             "socketPath": "/s", "pciID": "0000:00:1f.6"}
        ],
        "ips": [
            {"address": "10.1.2.3/24", "gateway": "10.1.2.1", "interface": 1},
            {"address": "fd00::5/64", "gateway": "fd00::1", "interface": 1},
            {"address": "10.9.9.9/32"}
        ],
        "routes": [
            {"dst": "0.0.0.0/0", "gw": "10.1.2.1", "mtu": 1400, "advmss": 1300, "priority": 0, "table": 0, "scope": 0},
            {"dst": "::/0", "gw": "fd00::1"},
            {"dst": "10.7.0.0/16"}
        ],
        "dns": {"nameservers": ["10.0.0.53"], "domain": "a.b", "search": ["a"], "options": ["ndots:5"]}
    })
}

// Proves: CNI-RES-1, CNI-RES-2, CNI-RES-3, CNI-RES-4, CNI-V11-1
#[test]
fn a_full_result_of_1_1_0_prints_as_it_was_with_zero_and_unset_apart() {
    assert_eq!(print(&parse(&full()), Version::V1_1_0), full());
    let route = &parse(&full()).routes[0];
    assert_eq!((route.scope, route.table, route.priority), (Some(0), Some(0), Some(0)));
    assert_eq!(parse(&full()).routes[2].scope, None);
}

// Proves: CNI-RES-3
#[test]
fn an_interface_index_of_minus_one_is_unset_and_host_bits_stay() {
    let result = parse(
        &json!({"cniVersion": "0.3.1", "ips": [{"version": "4", "address": "10.0.0.7/8", "interface": -1}]}),
    );
    assert_eq!(result.ips[0].interface, None);
    assert_eq!(print(&result, Version::V1_0_0)["ips"], json!([{"address": "10.0.0.7/8"}]));
}

// Proves: CNI-RES-8
#[test]
fn fields_of_1_1_0_stay_in_1_0_0_and_interfaces_lose_them_before() {
    let newest = parse(&full());
    let mut expected = full();
    expected["cniVersion"] = json!("1.0.0");
    assert_eq!(print(&newest, Version::V1_0_0), expected);
    for version in [Version::V0_3_0, Version::V0_3_1, Version::V0_4_0] {
        let older = print(&newest, version);
        let eth0 = json!({"name": "eth0", "mac": "02:00:00:00:00:02", "sandbox": "/run/netns/a"});
        assert_eq!(older["interfaces"][1], eth0);
        assert_eq!(older["routes"], full()["routes"]);
    }
}

// Proves: CNI-RES-6
#[test]
fn an_empty_dns_is_left_out() {
    let result = parse(&json!({"cniVersion": "1.0.0", "dns": {}, "ips": null, "interfaces": []}));
    assert_eq!(print(&result, Version::V1_0_0), json!({"cniVersion": "1.0.0"}));
    assert_eq!(print(&result, Version::V0_4_0), json!({"cniVersion": "0.4.0"}));
}

// Proves: CNI-RES-9
#[test]
fn destinations_are_printed_in_canonical_text() {
    let result = parse(
        &json!({"routes": [{"dst": "0.0.0.0/0", "gw": ""}, {"dst": "0:0::0/0"}, {"dst": "FD00:0::/8"}]}),
    );
    let routes = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "fd00::/8"}]);
    assert_eq!(print(&result, Version::NEWEST)["routes"], routes);
    assert!(result.routes[1].is_default());
}

// Proves: CNI-ADD-3, CNI-RUN-ADD-5
#[test]
fn unknown_keys_survive_at_every_level() {
    let raw = json!({"cniVersion": "1.1.0", "x": [1], "interfaces": [{"name": "e", "y": {"z": null}}],
        "ips": [{"address": "10.0.0.1/8", "w": 1}], "routes": [{"dst": "10.0.0.0/8", "v": "u"}]});
    assert_eq!(print(&parse(&raw), Version::V1_1_0), raw);
}

// Proves: CNI-V01-1, CNI-V02-1, CNI-CONV-1
#[test]
fn an_old_result_gives_ipv4_then_ipv6_without_interfaces() {
    let old = json!({
        "cniVersion": "0.2.0",
        "ip6": {"ip": "fd00::5/64", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
        "ip4": {"ip": "10.1.2.3/24", "gateway": "10.1.2.1", "routes": [{"dst": "0.0.0.0/0"}]},
        "dns": {"nameservers": ["1.1.1.1"]}
    });
    let newer = json!({
        "cniVersion": "0.3.1",
        "ips": [{"version": "4", "address": "10.1.2.3/24", "gateway": "10.1.2.1"}, {"version": "6", "address": "fd00::5/64"}],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0", "gw": "fd00::1"}],
        "dns": {"nameservers": ["1.1.1.1"]}
    });
    assert_eq!(print(&parse(&old), Version::V0_3_1), newer);
    assert_eq!(print(&parse(&old), Version::V0_2_0), old);
    let mut oldest = old.clone();
    oldest["cniVersion"] = json!("0.1.0");
    assert_eq!(print(&parse(&old), Version::V0_1_0), oldest);
}

// Proves: CNI-CONV-2, CNI-V01-1, CNI-V02-1
#[test]
fn the_old_form_has_the_first_address_of_each_family_and_its_routes() {
    let down = print(&parse(&full()), Version::V0_2_0);
    let expected = json!({
        "cniVersion": "0.2.0",
        "ip4": {"ip": "10.1.2.3/24", "gateway": "10.1.2.1",
                "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.2.1"}, {"dst": "10.7.0.0/16"}]},
        "ip6": {"ip": "fd00::5/64", "gateway": "fd00::1", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
        "dns": full()["dns"]
    });
    assert_eq!(down, expected);
    let only4 = json!({"ips": [{"address": "10.0.0.1/8"}], "routes": [{"dst": "::/0"}]});
    assert_eq!(
        print(&parse(&only4), Version::V0_1_0),
        json!({"cniVersion": "0.1.0", "ip4": {"ip": "10.0.0.1/8"}})
    );
}

// Proves: CNI-CONV-2, PLG-COM-2
#[test]
fn a_result_without_an_address_has_no_old_form() {
    let result = parse(&json!({"interfaces": [{"name": "eth0"}]}));
    for version in [Version::V0_1_0, Version::V0_2_0] {
        assert!(!result.fits(version));
        let error = result.to_json(version).expect_err("no address");
        assert_eq!(error.code, code::INCOMPATIBLE_VERSION);
        assert!(error.msg.contains("without an address"), "{error}");
    }
    assert!(result.fits(Version::V0_3_0));
}

// Proves: CNI-CONV-3, CNI-V10-1
#[test]
fn going_up_to_1_0_0_drops_the_family_and_keeps_the_index() {
    let older =
        json!({"cniVersion": "0.4.0", "ips": [{"version": "6", "address": "fd00::1/64", "interface": 2}]});
    let newer = print(&parse(&older), Version::V1_0_0);
    assert_eq!(newer["ips"], json!([{"address": "fd00::1/64", "interface": 2}]));
}

// Proves: CNI-CONV-4, CNI-V03-1
#[test]
fn going_down_to_0_3_and_0_4_adds_the_family_of_the_address() {
    for version in [Version::V0_3_0, Version::V0_3_1, Version::V0_4_0] {
        let older = print(&parse(&full()), version);
        let families: Vec<&Value> =
            older["ips"].as_array().expect("a list").iter().map(|ip| &ip["version"]).collect();
        assert_eq!(families, ["4", "6", "4"]);
        assert_eq!(older["ips"][0]["interface"], 1);
    }
}

// Proves: CNI-CONV-5, F-INP-6
#[test]
fn an_unknown_version_is_refused_and_an_empty_one_is_the_callers() {
    for odd in ["9.9.9", "0.0.0", "1.0"] {
        let raw = json!({"cniVersion": odd}).to_string();
        let error = CniResult::parse(raw.as_bytes(), Version::NEWEST).expect_err(odd);
        assert_eq!(error.code, code::INCOMPATIBLE_VERSION);
    }
    let error = CniResult::parse(br#"{"cniVersion":1}"#, Version::NEWEST).expect_err("a number");
    assert_eq!(error.code, code::DECODE);
    for (raw, fallback) in
        [("{}", Version::V0_4_0), (r#"{"cniVersion":""}"#, Version::V1_0_0), ("null", Version::V0_3_1)]
    {
        let (result, version) = CniResult::parse(raw.as_bytes(), fallback).expect(raw);
        assert_eq!((result, version), (CniResult::default(), fallback));
    }
}

// Proves: CNI-CONV-6
#[test]
fn a_prev_result_may_change_version_only_inside_its_family() {
    for config in Version::ALL {
        for prev in Version::ALL {
            let raw = parse(&full()).to_json(prev).expect("has addresses");
            let read = CniResult::parse_prev(&raw, config);
            assert_eq!(read.is_ok(), prev.family() == config.family(), "{config} with {prev}");
            if let Err(error) = read {
                assert_eq!(error.code, code::INCOMPATIBLE_VERSION);
            }
        }
        let unsaid = CniResult::parse_prev(b"{}", config).expect("takes the configuration's version");
        assert_eq!(unsaid, Some(CniResult::default()));
        assert_eq!(CniResult::parse_prev(b" null ", config), Ok(None));
    }
}

// Proves: F-INP-5, F-INP-6, CNI-ERR-6
#[test]
fn a_lying_result_is_a_decode_error() {
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(500), "]".repeat(500));
    for raw in [
        "",
        "[]",
        "7",
        "{",
        "\"x\"",
        r#"{"ips":{}}"#,
        r#"{"ips":[{"address":"10.0.0.1"}]}"#,
        r#"{"ips":[{}]}"#,
        r#"{"ips":[{"address":"10.0.0.1/99"}]}"#,
        r#"{"ips":[{"address":"10.0.0.1/8","gateway":"x"}]}"#,
        r#"{"interfaces":[{"mtu":-1}]}"#,
        r#"{"routes":[{"dst":"default"}]}"#,
        r#"{"ips":[],"ips":[]}"#,
        &deep,
    ] {
        let error = CniResult::parse(raw.as_bytes(), Version::NEWEST).expect_err(raw);
        assert_eq!(error.code, code::DECODE, "{raw}");
    }
}

fn results() -> impl Strategy<Value = CniResult> {
    let v4 = (any::<[u8; 4]>(), 0..=32u8).prop_map(|(a, p)| IpNet::new(a.into(), p).expect("a prefix"));
    let v6 = (any::<[u8; 16]>(), 0..=128u8).prop_map(|(a, p)| IpNet::new(a.into(), p).expect("a prefix"));
    let net = prop_oneof![v4, v6].boxed();
    let ip = (net.clone(), any::<Option<u8>>()).prop_map(|(address, n)| IpConfig {
        interface: n.map(usize::from),
        ..IpConfig::new(address, Some(address.addr()))
    });
    let route = (net, any::<(Option<u32>, Option<u8>)>()).prop_map(|(dst, (table, scope))| Route {
        table,
        scope,
        ..Route::new(dst, None)
    });
    (proptest::collection::vec(ip, 0..5), proptest::collection::vec(route, 0..5), any::<String>()).prop_map(
        |(ips, routes, domain)| CniResult {
            ips,
            routes,
            dns: Dns { domain, ..Dns::default() },
            ..CniResult::default()
        },
    )
}

proptest! {
    // Proves: CNI-ADD-2, CNI-CONV-3, CNI-CONV-4
    #[test]
    fn printed_in_a_list_version_and_parsed_again_is_the_same(result in results()) {
        for version in Version::ALL.into_iter().filter(|v| v.family() != Family::Ip4Ip6) {
            let (again, said) = CniResult::parse(&result.to_json(version).expect("fits"), Version::V0_1_0).expect("ours");
            prop_assert_eq!(&again, &result);
            prop_assert_eq!(said, version);
        }
    }

    #[test]
    fn the_old_form_is_stable_once_reached(result in results()) {
        prop_assume!(result.fits(Version::V0_2_0));
        let once = result.to_json(Version::V0_2_0).expect("fits");
        let again = CniResult::parse(&once, Version::NEWEST).expect("ours").0.to_json(Version::V0_2_0).expect("fits");
        prop_assert_eq!(once, again);
    }

    // Proves: S-8
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = CniResult::parse(&bytes, Version::NEWEST);
    }

    // Proves: S-8
    #[test]
    fn no_shape_makes_the_reader_panic(key in "cniVersion|ips|ip4|ip6|interfaces|routes|dns", value in "\\PC{0,40}", version in "0\\.[1-4]\\.[01]|1\\.[01]\\.0") {
        let _ = CniResult::parse(format!(r#"{{"cniVersion":"{version}","{key}":{value}}}"#).as_bytes(), Version::NEWEST);
    }
}

// Proves: COMPAT-6
#[test]
fn a_result_is_read_in_any_case_and_unknown_keys_keep_theirs() {
    let odd = json!({
        "CniVersion": "1.0.0", "Mine": 1,
        "Interfaces": [{"Name": "eth0", "MAC": "02:00:00:00:00:01", "SandBox": "/run/netns/a", "Mine": 2}],
        "IPs": [{"Address": "10.1.2.3/24", "GateWay": "10.1.2.1", "INTERFACE": 0}],
        "ROUTES": [{"DST": "0.0.0.0/0", "GW": "10.1.2.1", "MTU": 1400}],
        "DNS": {"NameServers": ["10.0.0.53"], "SEARCH": ["a"]},
    });
    assert_eq!(
        print(&parse(&odd), Version::V1_0_0),
        json!({
            "cniVersion": "1.0.0", "Mine": 1,
            "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/a", "Mine": 2}],
            "ips": [{"address": "10.1.2.3/24", "gateway": "10.1.2.1", "interface": 0}],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.2.1", "mtu": 1400}],
            "dns": {"nameservers": ["10.0.0.53"], "search": ["a"]},
        })
    );
    let old = json!({"cniversion": "0.2.0", "IP4": {"IP": "10.1.2.3/24", "Gateway": "10.1.2.1", "Routes": [{"Dst": "0.0.0.0/0"}]}});
    let read = parse(&old);
    assert_eq!((read.ips.len(), read.routes.len()), (1, 1));
}
