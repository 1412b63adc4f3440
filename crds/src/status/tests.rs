use manifold_cni::{CniResult, IfName, Version};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// The entries made of a result of version `version`, as JSON.
#[track_caller]
fn entries(version: Version, result: Value, how: Entries, asked: bool) -> Value {
    let (result, version) = CniResult::parse(result.to_string().as_bytes(), version).unwrap();
    let ifname: IfName = "net1".parse().unwrap();
    let described = Described {
        name: "ns/net",
        default: false,
        ifname: &ifname,
        result: &result,
        version,
        asked_default_route: asked,
        device_info: None,
    };
    let made = NetworkStatus::of(&described, how);
    assert_eq!(parse(&to_json(&made)).unwrap(), made, "what is written reads back");
    serde_json::from_str(&to_json(&made)).unwrap()
}

#[track_caller]
fn check(result: Value, expected: Value) {
    assert_eq!(entries(Version::V1_1_0, result, Entries::default(), false), json!([expected]));
}

fn bridge_result() -> Value {
    json!({
        "interfaces": [
            {"name": "cni0", "mac": "02:00:00:00:00:01"},
            {"name": "veth1", "mac": "02:00:00:00:00:02"},
            {"name": "net1", "mac": "02:00:00:00:00:03", "mtu": 1400, "sandbox": "/run/netns/a"},
            {"name": "net1b", "mac": "02:00:00:00:00:04", "sandbox": "/run/netns/a"},
        ],
        "ips": [
            {"address": "10.1.0.1/24", "interface": 0},
            {"address": "10.1.0.7/24", "gateway": "10.1.0.1", "interface": 2},
            {"address": "fd00::7/64", "interface": 2},
            {"address": "10.2.0.7/24", "interface": 3},
        ],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.2"}],
        "dns": {"nameservers": ["10.1.0.53"], "domain": "a.example", "search": ["b.example"]},
    })
}

// Proves: NPWG-5.1-1, NPWG-5.1.1-1, NPWG-5.1.1-3, NPWG-5.3.2-1, NPWG-5.3.3-1, NPWG-5.3.3-2, NPWG-5.3.4-2, NPWG-5.3.6-1
// Proves: NPWG-X-5, MLT-STS-5, MLT-DEP-7
#[test]
fn an_entry_tells_about_the_first_sandbox_interface() {
    check(
        bridge_result(),
        json!({
            "name": "ns/net", "interface": "net1", "ips": ["10.1.0.7", "fd00::7"], "mac": "02:00:00:00:00:03", "mtu": 1400,
            "default": false, "dns": {"nameservers": ["10.1.0.53"], "domain": "a.example", "search": ["b.example"]},
            "gateway": ["10.1.0.1"],
        }),
    );
}

// Proves: NPWG-X-6, MLT-STS-3
#[test]
fn one_entry_per_sandbox_interface_where_the_node_asks_for_it() {
    let made = entries(Version::V1_1_0, bridge_result(), Entries::EachSandboxInterface, false);
    let list = made.as_array().unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(list[0]["interface"], "net1");
    assert_eq!(list[1]["interface"], "net1b");
    assert_eq!(list[1]["ips"], json!(["10.2.0.7"]));
}

// Proves: NPWG-5.1.1-2, NPWG-5.3.1-1, NPWG-5.3.5-1, NPWG-X-4, MLT-DEP-8, MLT-DEP-9, MLT-STS-4
#[test]
fn an_empty_result_still_makes_an_entry() {
    check(json!({}), json!({"name": "ns/net", "default": false}));
    check(json!(null), json!({"name": "ns/net", "default": false}));
}

// Proves: NPWG-5.3.3-3
#[test]
fn without_an_interface_the_first_address_of_none_counts() {
    check(
        json!({"ips": [{"address": "10.0.0.2/8"}, {"address": "10.0.0.3/8"}]}),
        json!({"name": "ns/net", "ips": ["10.0.0.2"], "default": false}),
    );
    check(
        json!({"interfaces": [{"name": "host0"}], "ips": [{"address": "10.0.0.1/8", "interface": 0}, {"address": "10.0.0.2/8", "interface": -1}]}),
        json!({"name": "ns/net", "ips": ["10.0.0.2"], "default": false}),
    );
}

// Proves: NPWG-5.3.3-4, NPWG-5.3.4-1
#[test]
fn addresses_of_host_interfaces_do_not_leak() {
    check(
        json!({"interfaces": [{"name": "host0", "mac": "02:00:00:00:00:01"}], "ips": [{"address": "10.0.0.1/8", "interface": 0}]}),
        json!({"name": "ns/net", "default": false}),
    );
}

// Proves: COMPAT-35
#[test]
fn the_pods_interface_without_a_sandbox_has_its_addresses() {
    // As Azure's plugin answers, with and without the index.
    check(
        json!({"interfaces": [{"name": "net1", "mac": "02:00:00:00:00:01"}],
            "ips": [{"address": "10.240.0.9/16", "gateway": "10.240.0.1", "interface": 0}, {"address": "fd00::9/64"}]}),
        json!({"name": "ns/net", "ips": ["10.240.0.9", "fd00::9"], "default": false}),
    );
    check(
        json!({"interfaces": [{"name": "host0"}, {"name": "net1"}],
            "ips": [{"address": "10.0.0.1/8", "interface": 0}, {"address": "10.0.0.9/8", "interface": 1}]}),
        json!({"name": "ns/net", "ips": ["10.0.0.9"], "default": false}),
    );
}

#[test]
fn the_only_interface_has_the_addresses_that_name_none() {
    check(
        json!({"interfaces": [{"name": "net1", "sandbox": "/n"}], "ips": [{"address": "10.0.0.1/8"}, {"address": "fd00::1/64"}]}),
        json!({"name": "ns/net", "interface": "net1", "ips": ["10.0.0.1", "fd00::1"], "default": false}),
    );
}

#[test]
fn an_index_outside_the_list_is_no_interface() {
    check(
        json!({"interfaces": [{"name": "net1", "sandbox": "/n"}], "ips": [{"address": "10.0.0.1/8", "interface": 7}]}),
        json!({"name": "ns/net", "interface": "net1", "default": false}),
    );
}

// Proves: NPWG-5.3.2-2, NPWG-5.3.3-5
#[test]
fn results_before_0_3_0_give_both_addresses_and_the_asked_name() {
    let result = json!({"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.2/24", "gateway": "10.0.0.1"}, "ip6": {"ip": "fd00::2/64"}});
    let made = entries(Version::V0_2_0, result, Entries::default(), false);
    assert_eq!(
        made,
        json!([{"name": "ns/net", "interface": "net1", "ips": ["10.0.0.2", "fd00::2"], "default": false}])
    );
}

// Proves: NPWG-5.3.6.4-1, NPWG-X-3, MLT-DEP-16
#[test]
fn both_keys_tell_the_gateways_when_a_default_route_was_asked_for() {
    let result = json!({
        "ips": [{"address": "10.0.0.2/24", "gateway": "10.0.0.1"}],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0", "gw": "fe80::1"}],
    });
    let made = entries(Version::V1_1_0, result, Entries::default(), true);
    assert_eq!(made[0]["gateway"], json!(["10.0.0.1", "fe80::1"]));
    assert_eq!(made[0]["default-route"], json!(["10.0.0.1", "fe80::1"]));
}

// Proves: NPWG-5.3.7-1, NPWG-5.2-1
#[test]
fn the_default_entry_carries_its_flag_and_device() {
    let result = CniResult::default();
    let info = DeviceInfo::parse(br#"{"type":"pci","version":"1.1.0","pci":{"pci-address":"0000:03:02.1"}}"#)
        .unwrap();
    let ifname: IfName = "eth0".parse().unwrap();
    let described = Described {
        name: "cluster",
        default: true,
        ifname: &ifname,
        result: &result,
        version: Version::V1_1_0,
        asked_default_route: false,
        device_info: Some(&info),
    };
    let made = serde_json::to_value(NetworkStatus::of(&described, Entries::default())).unwrap();
    assert_eq!(
        made,
        json!([{"name": "cluster", "default": true,
            "device-info": {"type": "pci", "version": "1.1.0", "pci": {"pci-address": "0000:03:02.1"}}}])
    );
}

// Proves: NPWG-5-1, NPWG-5.3-1
#[test]
fn only_keys_of_the_standard_and_those_every_reader_knows_are_written() {
    assert_eq!(crate::keys::NETWORK_STATUS, "k8s.v1.cni.cncf.io/network-status");
    let full = NetworkStatus {
        name: "a/b".into(),
        interface: Some("net1".into()),
        ips: vec!["10.0.0.1".parse().unwrap()],
        mac: Some("02:00:00:00:00:01".into()),
        mtu: Some(1),
        default: true,
        dns: Dns { domain: "x".into(), ..Dns::default() },
        device_info: DeviceInfo::parse(
            br#"{"type":"pci","version":"1.1.0","pci":{"pci-address":"0000:03:02.1"}}"#,
        )
        .ok(),
        gateway: vec!["10.0.0.2".parse().unwrap()],
        default_route: Some(vec!["10.0.0.2".parse().unwrap()]),
    };
    let text = to_json(std::slice::from_ref(&full));
    let list: Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<_> = list.as_array().unwrap()[0].as_object().unwrap().keys().cloned().collect();
    let standard = ["default", "default-route", "device-info", "dns", "interface", "ips", "mac", "name"];
    let known_to_readers = ["gateway", "mtu"];
    let mut expected = [standard.as_slice(), &known_to_readers].concat();
    expected.sort_unstable();
    let mut keys: Vec<_> = keys.iter().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(parse(&text).unwrap(), [full]);
}

// Proves: NPWG-5.4-1, NPWG-5.3.3-1
#[test]
fn the_status_of_others_is_read() {
    let text = r#"[{
        "name": "cbr0",
        "ips": ["10.244.1.73/24", "fd00::1"],
        "default": true,
        "dns": {}
    },{
        "name": "ns/b", "interface": "net1", "mac": "c2:11:22:33:44:66", "mtu": 1500, "gateway": ["10.1.1.1", ""],
        "infiniband-guid": "c2:11:22:33:44:55:66:77", "dns": null, "x.y/z": {"a": []}, "default-route": ["10.1.1.1"]
    }]"#;
    let entries = parse(text).unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].ips, ["10.244.1.73".parse::<IpAddr>().unwrap(), "fd00::1".parse().unwrap()]);
    assert!(entries[0].default && !entries[1].default);
    assert_eq!(entries[1].mtu, Some(1500));
    assert_eq!(entries[1].gateway, ["10.1.1.1".parse::<IpAddr>().unwrap()]);
    assert!(parse("").unwrap().is_empty());
    assert!(parse("null").unwrap().is_empty());
    assert!(parse("{}").is_err());
}

fn any_status() -> impl Strategy<Value = NetworkStatus> {
    let ip = any::<IpAddr>();
    (
        "[a-z/]{1,20}",
        proptest::option::of("[a-z0-9]{1,15}"),
        proptest::collection::vec(ip, 0..3),
        any::<bool>(),
        proptest::option::of(any::<u32>()),
        proptest::option::of(proptest::collection::vec(any::<IpAddr>(), 0..2)),
    )
        .prop_map(|(name, interface, ips, default, mtu, default_route)| NetworkStatus {
            name,
            mac: interface.as_ref().map(|_| "02:00:00:00:00:01".to_owned()),
            interface,
            ips: ips.clone(),
            mtu,
            default,
            gateway: ips,
            default_route,
            ..NetworkStatus::default()
        })
}

// Proves: COMPAT-6
#[test]
fn a_status_is_read_in_any_case() {
    let exact = json!([{
        "name": "a/b", "interface": "net1", "ips": ["10.0.0.1"], "mac": "02:00:00:00:00:01", "mtu": 1400, "default": true,
        "dns": {"nameservers": ["10.0.0.53"]}, "gateway": ["10.0.0.9"], "default-route": ["10.0.0.9"],
        "device-info": {"type": "pci", "version": "1.1.0", "pci": {"pci-address": "0000:03:02.1"}},
    }]);
    let odd = json!([{
        "Name": "a/b", "Interface": "net1", "IPs": ["10.0.0.1"], "MAC": "02:00:00:00:00:01", "MTU": 1400, "Default": true,
        "DNS": {"NameServers": ["10.0.0.53"]}, "Gateway": ["10.0.0.9"], "Default-Route": ["10.0.0.9"],
        "Device-Info": {"Type": "pci", "Version": "1.1.0", "PCI": {"PCI-Address": "0000:03:02.1"}},
    }]);
    let read = parse(&odd.to_string()).unwrap();
    assert_eq!(read, parse(&exact.to_string()).unwrap());
    assert!(read[0].device_info.is_some() && read[0].mtu == Some(1400) && !read[0].dns.is_empty());
}

proptest! {
    #[test]
    fn what_is_written_reads_back(entries in proptest::collection::vec(any_status(), 0..4)) {
        prop_assert_eq!(parse(&to_json(&entries)).unwrap(), entries);
    }

    // Proves: S-8
    #[test]
    fn reading_never_panics(text in ".{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn reading_odd_json_never_panics(value in "[\\[\\]{}\",:0-9a-z]{0,60}") {
        let _ = parse(&format!(r#"[{{"name":{value},"ips":[{value}],"dns":{value}}}]"#));
    }
}
