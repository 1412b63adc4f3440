//! What a pod asks of a network, and what its plugins get of it.

use serde_json::{Value, json};

use super::support::*;
use crate::Allocation;

/// A bed whose pod asks network `d` for `keys`; `d` is a list of two plugins of which the second has `capabilities`.
/// Neither reads anything from CNI_ARGS.
fn bed(keys: &Value, capabilities: &Value) -> Bed {
    let mut element = keys.clone();
    element["name"] = json!("d");
    let config = json!({"plugins": [
        {"type": "ptp", "ipam": {"type": "dhcp"}},
        {"type": "portmap", "capabilities": capabilities},
    ]});
    Bed::asking(&json!([element]).to_string()).nad("shop", "d", &config.to_string())
}

/// Needs the capability, is refused without it or with it false, and arrives under its name.
#[track_caller]
fn needs(key: &str, value: &Value, capability: &str, delivered: &Value) {
    let keys = json!({key: value});
    assert_eq!(values(&bed(&keys, &json!({capability: true})).at(1)), json!({capability: delivered}));
    for without in [json!({}), json!({capability: false}), json!({"other": true})] {
        let refused = bed(&keys, &without);
        refused.refused(&["`shop/d`", &format!("`{key}`"), &format!("`{capability}`")]);
        assert!(refused.result().unwrap_err().fix.contains(&format!("\"{capability}\": true")));
        let lenient = refused.with(|bed| bed.policy.compat.drop_unsupported_requests = true);
        assert_eq!(values(&lenient.at(1)), json!({}));
        assert!(lenient.plan().notes.iter().any(|n| n.contains(key)));
    }
}

// Proves: P-COR-6, MLT-DEP-1, MLT-EXE-7
// Proves: NPWG-4.1.2.1.3-5, NPWG-4.1.2.1.3-6
#[test]
fn ips_need_the_capability_and_arrive_verbatim() {
    needs("ips", &json!(["10.0.0.1", "FD00::1/64"]), "ips", &json!(["10.0.0.1", "FD00::1/64"]));
}

// Proves: NPWG-4.1.2.1.4-3, NPWG-4.1.2.1.4-4, P-COR-6
#[test]
fn mac_needs_the_capability() {
    needs("mac", &json!("02-00-00-00-00-0A"), "mac", &json!("02:00:00:00:00:0a"));
}

/// A pod that asks network `d`, of this configuration, for an address and a MAC address.
fn asking_by_args(config: &Value) -> (Bed, Bed) {
    let of = |key: &str, value: Value| {
        let networks = json!([{"name": "d", key: value}]).to_string();
        Bed::asking(&networks).nad("shop", "d", &config.to_string())
    };
    (of("ips", json!(["10.0.0.7/24"])), of("mac", json!("02:00:00:00:00:0a")))
}

// Proves: COMPAT-3, MLT-EXE-6
#[test]
fn ips_and_mac_without_a_capability_reach_whoever_reads_them_from_cni_args() {
    let fixed = json!({"type": "static"});
    for (config, ips, mac) in [
        (json!({"type": "macvlan", "ipam": fixed}), true, true),
        (json!({"type": "bridge", "IPAM": {"Type": "host-local", "subnet": "10.0.0.0/24"}}), true, true),
        (json!({"plugins": [{"type": "ptp", "ipam": fixed}, {"type": "tuning"}]}), true, true),
        (json!({"type": "tap", "ipam": {"type": "dhcp"}}), false, true),
        (json!({"type": "host-device", "device": "eth1", "ipam": fixed}), true, false),
        (json!({"type": "host-device", "device": "eth1", "ipam": {"type": "dhcp"}}), false, false),
        (json!({"type": "vlan", "master": "eth1", "vlanId": 5}), false, false),
        (
            json!({"plugins": [{"type": "ptp", "ipam": {"type": "dhcp"}}, {"type": "sbr", "ipam": fixed}]}),
            false,
            false,
        ),
        // Of somebody else's plugin nobody here knows what it reads.
        (json!({"type": "ovs"}), true, true),
        (json!({"type": "ipvlan", "master": "eth1", "ipam": {"type": "whereabouts"}}), true, false),
    ] {
        let (with_ips, with_mac) = asking_by_args(&config);
        for (bed, works, key, arg) in
            [(with_ips, ips, "ips", ";IP=10.0.0.7/24"), (with_mac, mac, "mac", ";MAC=02:00:00:00:00:0a")]
        {
            if !works {
                bed.refused(&["`shop/d`", &format!("`{key}`"), "CNI_ARGS"]);
                continue;
            }
            let planned = bed.at(1);
            assert!(planned.args.to_string().ends_with(arg), "{config}: {}", planned.args);
            assert_eq!(values(&planned), json!({}), "{config}");
        }
    }
}

// Proves: COMPAT-3
#[test]
fn a_request_of_which_only_a_foreign_plugin_can_tell_is_noted() {
    let (with_ips, _) =
        asking_by_args(&json!({"type": "macvlan", "master": "eth1", "ipam": {"type": "whereabouts"}}));
    let notes = with_ips.plan().notes;
    assert!(notes.iter().any(|n| n.contains("only if `whereabouts` reads `IP` from CNI_ARGS")), "{notes:?}");
    let (with_ips, _) =
        asking_by_args(&json!({"type": "macvlan", "master": "eth1", "ipam": {"type": "static"}}));
    assert!(with_ips.plan().notes.iter().all(|n| !n.contains("CNI_ARGS")));
}

// Proves: NPWG-4.1.2.1.7-3, NPWG-4.1.2.1.7-4, NPWG-4.1.2.1.7-5, NPWG-4.1.2.1.7-6
#[test]
fn port_mappings_need_the_capability() {
    let asked = json!([{"hostPort": 80, "containerPort": 8080, "protocol": "UDP", "hostIP": "10.0.0.9"}]);
    let delivered = json!([{"hostPort": 80, "containerPort": 8080, "protocol": "udp", "hostIP": "10.0.0.9"}]);
    needs("portMappings", &asked, "portMappings", &delivered);
}

// Proves: NPWG-4.1.2.1.8-3, NPWG-4.1.2.1.8-4, NPWG-4.1.2.1.8-5, NPWG-4.1.2.1.8-6
#[test]
fn bandwidth_needs_the_capability_and_is_passed_as_it_is() {
    let asked = json!({"ingressRate": 1000, "egressRate": 5, "egressBurst": 9});
    needs("bandwidth", &asked, "bandwidth", &asked);
}

// Proves: NPWG-4.1.2.1.10-2, NPWG-4.1.2.1.10-3
#[test]
fn the_guid_arrives_under_another_name() {
    let guid = json!("c2:11:22:33:44:55:66:77");
    needs("infiniband-guid", &guid, "infinibandGUID", &guid);
}

// Proves: NPWG-4.1.2.1.11-3
#[test]
fn a_claim_needs_nobody() {
    assert_eq!(values(&bed(&json!({"ipam-claim-reference": "c"}), &json!({})).at(1)), json!({}));
}

// Proves: F-INP-4, NPWG-4.1.2.1.3-4
#[test]
fn static_addresses_need_a_prefix() {
    let config =
        json!({"type": "macvlan", "capabilities": {"ips": true}, "ipam": {"type": "static"}}).to_string();
    let ask =
        |ip: &str| Bed::asking(&json!([{"name": "d", "ips": [ip]}]).to_string()).nad("shop", "d", &config);
    ask("10.0.0.1").refused(&["`10.0.0.1`", "prefix"]);
    // The same where the address comes by CNI_ARGS alone.
    let bare = json!([{"name": "d", "ips": ["10.0.0.1"]}]).to_string();
    let without = json!({"type": "macvlan", "ipam": {"type": "static"}}).to_string();
    Bed::asking(&bare).nad("shop", "d", &without).refused(&["`10.0.0.1`", "prefix"]);
    assert_eq!(values(&ask("10.0.0.1/24").at(1)), json!({"ips": ["10.0.0.1/24"]}));
}

// Proves: NPWG-7.5-1, MLT-DEP-2, S-13
#[test]
fn what_the_runtime_passes_reaches_the_default_network_only() {
    let all = json!({"portMappings": true, "io.kubernetes.cri.pod-annotations": true, "ips": true});
    let greedy = json!({"type": "fake", "capabilities": all}).to_string();
    let bed = Bed::asking("d")
        .nad("shop", "d", &greedy)
        .nad("kube-system", "cluster-wide-network", &greedy)
        .runtime_value("portMappings", &json!([{"hostPort": 80, "containerPort": 80}]))
        .runtime_value("io.kubernetes.cri.pod-annotations", &json!({"secret": "x"}));
    assert_eq!(values(&bed.at(1)), json!({}));
    let default = values(&bed.at(0));
    assert_eq!(default["io.kubernetes.cri.pod-annotations"], json!({"secret": "x"}));
    assert_eq!(default["portMappings"][0]["hostPort"], 80);
}

// Proves: S-13
#[test]
fn annotations_reach_a_plugin_only_if_it_declares_them() {
    let key = "io.kubernetes.cri.pod-annotations";
    let config =
        json!({"plugins": [{"type": "one"}, {"type": "two", "capabilities": {key: true}}]}).to_string();
    let bed = Bed::asking("")
        .nad("kube-system", "cluster-wide-network", &config)
        .runtime_value(key, &json!({"k": "v"}));
    let planned = bed.at(0);
    let name = planned.network.clone();
    let derived = manifold_cni::derive::Derived {
        name: &name,
        version: planned.version(),
        runtime: Some(&planned.runtime_values),
        prev_result: None,
        valid_attachments: None,
    };
    let stdin = |n: usize| String::from_utf8(derived.bytes(&planned.list.plugins[n])).unwrap();
    assert!(!stdin(0).contains(key));
    assert!(stdin(1).contains(r#""io.kubernetes.cri.pod-annotations":{"k":"v"}"#));
}

// Proves: NPWG-4.1.2.1.6-1, NPWG-4.1.2.1.6-2, NPWG-4.1.2.1.6-3, NPWG-4.1.2.1.6-4, MLT-DLG-12
#[test]
fn cni_args_are_merged_into_every_plugin_and_win() {
    let config = json!({"plugins": [
        {"type": "one", "args": {"cni": {"a": 1, "b": 2}, "other": {"x": 1}}},
        {"type": "two"},
    ]});
    let bed = Bed::asking(r#"[{"name":"d","cni-args":{"a":9}}]"#).nad("shop", "d", &config.to_string());
    let made = plugins(&bed.at(1));
    assert_eq!(made[0]["args"], json!({"cni": {"a": 9, "b": 2}, "other": {"x": 1}}));
    assert_eq!(made[1]["args"], json!({"cni": {"a": 9}}));
}

// Proves: MLT-DLG-12, F-INP-5
#[test]
fn args_that_are_no_object_are_refused() {
    for args in [json!("x"), json!([1]), json!({"cni": 5})] {
        let config = json!({"type": "fake", "args": args}).to_string();
        Bed::asking(r#"[{"name":"d","cni-args":{"a":9}}]"#)
            .nad("shop", "d", &config)
            .refused(&["`shop/d`", "args"]);
    }
}

// Proves: MLT-DLG-5, MLT-DLG-11
#[test]
fn a_device_is_told_to_every_plugin_under_both_names() {
    let bed = bed(&json!({"deviceID": "0000:03:02.1"}), &json!({"deviceID": true}));
    let planned = bed.at(1);
    for plugin in plugins(&planned) {
        assert_eq!(
            (&plugin["deviceID"], &plugin["pciBusID"]),
            (&json!("0000:03:02.1"), &json!("0000:03:02.1"))
        );
    }
    assert_eq!(values(&planned), json!({"deviceID": "0000:03:02.1"}));
    assert_eq!(planned.device.unwrap().device.as_str(), "0000:03:02.1");
}

// Proves: S-17, P-COR-6
#[test]
fn a_device_of_no_resource_is_the_pods_to_choose_only_where_the_network_says_so() {
    for capabilities in [json!({}), json!({"deviceID": false})] {
        let refused = bed(&json!({"deviceID": "0000:03:02.1"}), &capabilities);
        refused.refused(&["`shop/d`", "`deviceID`"]);
        let lenient = refused.with(|bed| bed.policy.compat.drop_unsupported_requests = true);
        let planned = lenient.at(1);
        assert!(planned.device.is_none() && plugins(&planned).iter().all(|p| p.get("deviceID").is_none()));
    }
}

// Proves: S-17, MLT-DLG-10, NPWG-DI-4.1-2
#[test]
fn a_network_with_a_resource_takes_the_pods_own_devices() {
    let with_resource = |networks: &str| {
        Bed::asking(networks).with(|bed| {
            for name in ["a", "b"] {
                let annotations = &mut bed.nad_mut(name).annotations;
                annotations.insert("k8s.v1.cni.cncf.io/resourceName".into(), "vendor.example/vf".into());
            }
        })
    };
    with_resource("a").with(|bed| bed.policy.strict = true).refused(&["`shop/a`", "`vendor.example/vf`"]);
    let given = with_resource("b,a").with(|bed| {
        let mut allocation = Allocation::default();
        for id in ["0000:03:02.2", "0000:03:02.1"] {
            allocation.give_plain("vendor.example/vf".parse().unwrap(), id.parse().unwrap());
        }
        bed.runtime.allocation = Some(allocation);
    });
    let device = |n| given.at(n).device.unwrap().device.to_string();
    assert_eq!((device(1).as_str(), device(2).as_str()), ("0000:03:02.1", "0000:03:02.2"));
    let foreign = with_resource(r#"[{"name":"a","deviceID":"0000:03:02.9"}]"#)
        .with(|bed| bed.runtime.allocation = given.runtime.allocation.clone());
    foreign.refused(&["`0000:03:02.9`"]);
    let named_badly = Bed::asking("a").with(|bed| {
        bed.nad_mut("a").annotations.insert("k8s.v1.cni.cncf.io/resourceName".into(), "../../x".into());
    });
    named_badly.refused(&["resourceName"]);
}

// Proves: NPWG-DI-4.2-1, NPWG-DI-5.1-1, MLT-DEP-13, MLT-EXE-8
#[test]
fn every_attachment_with_the_capability_has_a_device_file_of_its_own() {
    let config =
        json!({"plugins": [{"type": "one"}, {"type": "two", "capabilities": {"CNIDeviceInfoFile": true}}]})
            .to_string();
    let bed = Bed::asking("d,d,a")
        .nad("shop", "d", &config)
        .runtime_value("CNIDeviceInfoFile", &json!("/etc/passwd"));
    let plan = bed.plan();
    let files: Vec<_> = plan.attachments.iter().map(|a| a.device_info_file.clone()).collect();
    assert_eq!(files[0], None);
    assert!(!plan.attachments[0].runtime_values.contains_key("CNIDeviceInfoFile"));
    assert_eq!(
        files[1].as_ref().unwrap().to_str().unwrap(),
        "/var/run/k8s.cni.cncf.io/devinfo/cni/d-c1:net1"
    );
    assert_ne!(files[1], files[2]);
    assert_eq!(files[3], None);
    assert_eq!(
        values(&plan.attachments[1])["CNIDeviceInfoFile"],
        "/var/run/k8s.cni.cncf.io/devinfo/cni/d-c1:net1"
    );
}

// Proves: NPWG-DI-4.2-2
#[test]
fn a_device_of_a_resource_has_a_file_also_where_no_plugin_asks_for_it() {
    let bed = Bed::asking("a,b").with(|bed| {
        let annotations = &mut bed.nad_mut("a").annotations;
        annotations.insert("k8s.v1.cni.cncf.io/resourceName".into(), "vendor.example/vf".into());
        let mut allocation = Allocation::default();
        allocation.give_plain("vendor.example/vf".parse().unwrap(), "dev-0".parse().unwrap());
        bed.runtime.allocation = Some(allocation);
    });
    let planned = bed.at(1);
    assert_eq!(
        planned.device_info_file.unwrap().to_str().unwrap(),
        "/var/run/k8s.cni.cncf.io/devinfo/cni/a-c1:net1"
    );
    assert!(bed.at(2).device_info_file.is_none());
}
