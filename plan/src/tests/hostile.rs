//! Input that means harm, or is simply too much: refused before anything is touched, never a panic.

use proptest::prelude::*;
use serde_json::json;

use super::support::*;

// Proves: F-INP-1
#[test]
fn too_much_is_refused() {
    let large = format!(r#"{{"type":"fake","x":"{}"}}"#, "x".repeat(65_536));
    Bed::asking("d").nad("shop", "d", &large).refused(&["`shop/d`", "bytes"]);
    Bed::asking("").nad("kube-system", "cluster-wide-network", &large).refused(&["bytes"]);
    Bed::asking(&vec!["a"; 1000].join(",")).refused(&["1000 networks", "32"]);
    assert_eq!(Bed::asking(&vec!["a"; 32].join(",")).plan().attachments.len(), 33);
    Bed::asking(&" ".repeat(65_537)).refused(&["bytes"]);
}

// Proves: F-INP-1
#[test]
fn a_status_that_would_not_fit_is_refused_first() {
    let dns = "x".repeat(3_000);
    let wordy = json!({"type": "fake", "dns": {"domain": dns}}).to_string();
    let many = Bed::asking(&vec!["d"; 32].join(",")).nad("shop", "d", &wordy);
    many.refused(&["status", "33 networks", "65536"]);
    let few = Bed::asking(&["d"; 8].join(",")).nad("shop", "d", &wordy);
    assert!(few.plan().status_bytes <= 65_536);
}

// Proves: F-INP-2, P-USE-4
#[test]
fn hostile_names_are_refused_and_cannot_forge_a_message() {
    for name in ["../../etc", "a\0b", "%2f", "а", "a\u{202e}b", "a\r\nADD succeeded", &"x".repeat(300)] {
        Bed::asking(name).refused(&["element 1"]);
        Bed::asking(&json!([{"name": name}]).to_string()).refused(&["element 1", "`name`"]);
        Bed::asking(&json!([{"name": "a", "namespace": name}]).to_string())
            .refused(&["element 1", "`namespace`"]);
        Bed::asking("").default_annotation(name).refused(&["element 1"]);
    }
}

// Proves: F-INP-5
#[test]
fn hostile_json_is_refused() {
    let deep = format!(r#"{{"type":"fake","x":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for config in [
        deep.as_str(),
        r#"{"type":"fake","type":"other"}"#,
        r#"{"type":"fake","x":{"a":1,"a":2}}"#,
        r#"{"type":"fake","x":"\ud800"}"#,
        "\u{feff}{\"type\":\"fake\"}",
        r#"{"type":"fake"} x"#,
        r#"{"plugins":[]}"#,
        r#"{"name":"../x","type":"fake"}"#,
        r#"{"cniVersion":"9.9.9","type":"fake"}"#,
    ] {
        Bed::asking("d").nad("shop", "d", config).refused(&["`shop/d`", "the configuration is not valid"]);
    }
}

// Proves: F-INP-5
#[test]
fn numbers_stay_the_text_they_were() {
    let bed = Bed::asking("d").nad(
        "shop",
        "d",
        r#"{"type":"fake","a":123456789012345678901234567890,"b":1.50,"c":[null]}"#,
    );
    let planned = bed.at(1);
    let raw = &planned.list.plugins[0].raw;
    assert_eq!(raw.get("a").unwrap().get(), "123456789012345678901234567890");
    assert_eq!(raw.get("b").unwrap().get(), "1.50");
    assert_eq!(raw.get("c").unwrap().get(), "[null]");
}

// Proves: NPWG-X-1, MLT-DEP-4, NPWG-4.1.2.1.3-3
#[test]
fn an_invalid_annotation_refuses_the_pod_and_names_the_key() {
    Bed::asking(r#"[{"name":"a","mac":"nonsense"}]"#).refused(&[
        "k8s.v1.cni.cncf.io/networks",
        "element 1",
        "`mac`",
    ]);
    Bed::asking(r#"[{"name":"a"},{"name":"b","ips":["1.2.3.4/33"]}]"#).refused(&["element 2", "`ips`"]);
    Bed::asking("a,,b").refused(&["k8s.v1.cni.cncf.io/networks", "element 2"]);
}

proptest! {
    // Proves: S-8, F-INP-5
    #[test]
    fn no_annotation_panics(networks in "[a-z@,/\\[\\]{}\":. \\-0-9]{0,80}", default in proptest::option::of(".{0,40}")) {
        let mut bed = Bed::asking(&networks);
        bed.pod.default_network = default;
        let _ = bed.result();
    }

    // Proves: S-8, F-INP-5
    #[test]
    fn no_configuration_panics(text in ".{0,120}", value in "[\\[\\]{}\",:0-9a-z]{0,40}", key in "type|name|args|plugins|ipam|capabilities|cniVersion|dns") {
        let ask = r#"[{"name":"d","ips":["10.0.0.1/24"],"cni-args":{"a":1},"deviceID":"x"}]"#;
        let _ = Bed::asking(ask).nad("shop", "d", &text).result();
        let _ = Bed::asking(ask).nad("shop", "d", &format!(r#"{{"type":"bridge","{key}":{value}}}"#)).result();
    }

    // Proves: F-INP-1
    #[test]
    fn the_predicted_status_is_never_too_small(
        ips in proptest::collection::vec(any::<std::net::Ipv6Addr>(), 0..3), interface in "[a-z]{1,15}", mtu in any::<u32>(),
        routes in proptest::collection::vec(any::<std::net::Ipv6Addr>(), 0..2), asked in any::<bool>(),
    ) {
        use manifold_cni::{CniResult, Interface, IpConfig, Route};
        let bed = Bed::asking("a");
        let plan = bed.plan();
        let planned = &plan.attachments[1];
        let net = |ip: std::net::Ipv6Addr, len| ipnet::IpNet::new(ip.into(), len).unwrap();
        let result = CniResult {
            interfaces: vec![Interface { name: interface, mac: "02:00:00:00:00:01".into(), mtu: Some(mtu), sandbox: "/n".into(), ..Interface::default() }],
            ips: ips.iter().take(2).map(|ip| IpConfig { interface: Some(0), ..IpConfig::new(net(*ip, 64), None) }).collect(),
            routes: routes.iter().map(|gw| Route::new(net(std::net::Ipv6Addr::UNSPECIFIED, 0), Some((*gw).into()))).collect(),
            ..CniResult::default()
        };
        let described = manifold_crds::status::Described {
            name: &planned.display, default: planned.default, ifname: &planned.ifname, result: &result,
            version: planned.version(), asked_default_route: asked, device_info: None,
        };
        let entries = manifold_crds::NetworkStatus::of(&described, manifold_crds::status::Entries::default());
        let one = manifold_crds::status::to_json(&entries).len();
        let predicted = crate::predict::entry(&planned.display, &planned.list, None, false);
        prop_assert!(one <= predicted, "{} > {}", one, predicted);
    }
}
