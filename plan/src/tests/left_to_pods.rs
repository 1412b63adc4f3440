//! What a pod may decide about its default network, and what only its runtime does.

use serde_json::{Value, json};

use super::support::*;
use crate::Isolation;

/// A default network that takes every request, in the namespace of the node's own networks.
fn open_network() -> String {
    let capabilities =
        json!({"portMappings": true, "ips": true, "mac": true, "infinibandGUID": true, "bandwidth": true});
    json!({"type": "fake", "capabilities": capabilities}).to_string()
}

/// A pod that asks this of the network that every pod is in.
fn asking(key: &str, value: &Value) -> Bed {
    let element = json!([{"name": "cluster-wide-network", key: value}]).to_string();
    Bed::asking("").nad("kube-system", "cluster-wide-network", &open_network()).default_annotation(&element)
}

fn requests() -> [(&'static str, &'static str, Value); 4] {
    [
        (
            "portMappings",
            "portMappings",
            json!([{"hostPort": 443, "containerPort": 8443, "protocol": "tcp"}]),
        ),
        ("ips", "ips", json!(["10.244.0.1/24"])),
        ("mac", "mac", json!("02:00:00:00:00:01")),
        ("infiniband-guid", "infinibandGUID", json!("c2:11:22:33:44:55:66:77")),
    ]
}

// Proves: S-22
#[test]
fn ports_and_addresses_of_the_default_network_come_from_the_runtime_alone() {
    for (key, capability, value) in requests() {
        let refused = asking(key, &value).runtime_value(capability, &json!("the runtime's"));
        refused.refused(&["`kube-system/cluster-wide-network`", &format!("`{key}`"), "container runtime"]);
        assert!(refused.result().unwrap_err().fix.contains("`defaultNetworkRequests`"));
        let lenient = refused.clone().with(|bed| bed.policy.compat.drop_unsupported_requests = true);
        assert_eq!(values(&lenient.at(0)), json!({capability: "the runtime's"}), "dropped is not granted");
        let another = if key == "mac" { "ips" } else { "mac" };
        refused.left_to_pods("other", &[another]).refused(&[&format!("`{key}`")]);
    }
    // What shapes the pod's own traffic is no one else's.
    assert_eq!(values(&asking("bandwidth", &json!({"ingressRate": 9})).at(0))["bandwidth"]["ingressRate"], 9);
}

// Proves: S-22
#[test]
fn what_the_administrator_leaves_to_pods_wins_over_the_runtimes() {
    for (key, capability, value) in requests() {
        let granted = asking(key, &value)
            .left_to_pods("other", &[key])
            .runtime_value(capability, &json!("the runtime's"));
        assert_eq!(values(&granted.at(0)), json!({capability: value}));
        // Its author's word is needed all the same.
        let silent = granted.nad("kube-system", "cluster-wide-network", r#"{"type":"bridge"}"#);
        silent.refused(&[&format!("`{key}`"), "capability"]);
    }
}

// Proves: S-22
#[test]
fn the_nodes_network_is_no_more_open_to_who_attaches_to_it_once_more() {
    let asking = |keys: &str| {
        Bed::asking(&format!(r#"[{{"name":"cluster-wide-network","namespace":"kube-system",{keys}}}]"#))
            .nad("kube-system", "cluster-wide-network", &open_network())
            .with(|bed| bed.policy.isolation = Isolation::Off)
    };
    for (key, _, value) in requests() {
        asking(&format!("\"{key}\":{value}")).refused(&[&format!("`{key}` on its default network")]);
    }
    let lenient = asking(r#""ips":["10.244.0.1/24"],"mac":"02:00:00:00:00:01""#)
        .with(|bed| bed.policy.compat.drop_unsupported_requests = true);
    let args = lenient.at(1).args.to_string();
    assert!(!args.contains("IP=") && !args.contains("MAC="), "dropped is not granted: {args}");
}

// Proves: S-22
#[test]
fn a_further_network_answers_for_itself() {
    let networks = json!([{"name": "d", "portMappings": requests()[0].2}]).to_string();
    let bed = Bed::asking(&networks).nad("shop", "d", &open_network());
    assert_eq!(values(&bed.at(1))["portMappings"][0]["hostPort"], 443);
}

// Proves: S-15, S-22
#[test]
fn a_default_network_is_what_networks_would_give_or_what_the_administrator_lists() {
    let infra = |text: &str| Bed::asking("").nad("kube-system", "infra", PLAIN).default_annotation(text);
    for text in ["infra", "kube-system/infra", r#"[{"name":"infra"}]"#] {
        infra(text)
            .refused(&["`kube-system/infra`", "`shop` may not use networks of namespace `kube-system`"]);
        let fix = infra(text).result().unwrap_err().fix;
        assert!(
            fix.contains("`globalNamespaces`, or `kube-system/infra` to `allowedDefaultNetworks`"),
            "{fix}"
        );
        infra(text).left_to_pods("other", &[]).refused(&["`kube-system/infra`"]);
        assert_eq!(infra(text).left_to_pods("infra", &[]).at(0).display, "kube-system/infra");
        let isolation_off = infra(text).with(|bed| bed.policy.isolation = Isolation::Off);
        assert_eq!(isolation_off.at(0).display, "kube-system/infra");
    }
    // Every pod is in it anyway.
    for text in ["cluster-wide-network", "kube-system/cluster-wide-network"] {
        assert_eq!(infra(text).at(0).display, "kube-system/cluster-wide-network");
    }
    // The list is for the default network, not for `networks`.
    Bed::asking("kube-system/infra").left_to_pods("infra", &[]).refused(&["`kube-system/infra`"]);
}
