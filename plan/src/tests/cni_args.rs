//! `cni-args`: which of them reach plugins that act on them, and which addresses can be asked for at all.

use serde_json::{Value, json};

use super::support::*;

/// A pod that asks network `d`, of this configuration, by `cni-args`.
fn asking(config: &Value, args: &Value) -> Bed {
    let networks = json!([{"name": "d", "cni-args": args}]).to_string();
    Bed::asking(&networks).nad("shop", "d", &config.to_string())
}

/// A bridge with a fixed address, and `tuning` with these keys behind it.
fn tuned(further: &Value) -> Value {
    let mut tuning = further.clone();
    tuning["type"] = json!("tuning");
    json!({"plugins": [{"type": "bridge", "ipam": {"type": "static"}}, tuning]})
}

fn settings() -> [(&'static str, Value); 5] {
    [
        ("sysctl", json!({"net.ipv4.ip_unprivileged_port_start": "0"})),
        ("promisc", json!(true)),
        ("mtu", json!(9000)),
        ("allmulti", json!(true)),
        ("txQLen", json!(7)),
    ]
}

// Proves: S-23
#[test]
fn settings_that_the_author_lets_no_pod_choose_are_refused() {
    for (key, value) in settings() {
        for spelt in [key.to_owned(), key.to_uppercase()] {
            let refused = asking(&tuned(&json!({})), &json!({spelt: value, "mine": 1}));
            refused.refused(&["`shop/d`", &format!("`{key}` in `cni-args`"), "does not let pods choose it"]);
            let fix = refused.result().unwrap_err().fix;
            assert!(fix.contains(&format!("\"{key}\": true")) && fix.contains("plugin `tuning`"), "{fix}");
            let lenient = refused.with(|bed| bed.policy.compat.drop_unsupported_requests = true);
            let made = plugins(&lenient.at(1));
            assert_eq!(made[1]["args"], json!({"cni": {"mine": 1}}), "dropped is not granted");
        }
    }
}

// Proves: S-23
#[test]
fn the_author_lets_settings_through_by_a_capability_or_by_a_value_that_pods_may_replace() {
    for (key, value) in settings() {
        let by_capability = tuned(&json!({"capabilities": {key: true}}));
        let own = if key == "sysctl" { json!({}) } else { value.clone() };
        let by_value = tuned(&json!({"args": {"cni": {key: own}}}));
        for config in [by_capability, by_value] {
            let made = plugins(&asking(&config, &json!({key: value})).at(1));
            assert_eq!(made[1]["args"]["cni"][key], value, "{config}");
        }
        asking(&tuned(&json!({"capabilities": {key: false}})), &json!({key: value}))
            .refused(&[&format!("`{key}`")]);
    }
}

// Proves: S-23
#[test]
fn keys_that_only_plugins_of_others_read_pass() {
    let whatever =
        json!({"logicNetworkName": "x", "guid": "02:00:00:00:00:00:00:03", "vlan": 5, "masters": ["eth1"]});
    let made = plugins(&asking(&tuned(&json!({})), &whatever).at(1));
    assert_eq!(made[0]["args"], json!({"cni": whatever}));
    for (key, value) in settings() {
        let made = plugins(&asking(&json!({"type": "ovs"}), &json!({key: value})).at(1));
        assert_eq!(made[0]["args"]["cni"][key], value, "whose plugin it is decides");
    }
}

fn addresses() -> Value {
    json!({"ips": ["10.9.0.7/24"], "mac": "02:00:00:00:00:99"})
}

// Proves: S-23
#[test]
fn addresses_are_asked_for_by_cni_args_where_they_can_be_asked_for_without() {
    let made = plugins(&asking(&tuned(&json!({})), &addresses()).at(1));
    assert_eq!(made[0]["args"]["cni"], addresses());
    let of_default = |capabilities: Value| {
        let element = json!([{"name": "cluster-wide-network", "cni-args": addresses()}]).to_string();
        let config = json!({"type": "bridge", "ipam": {"type": "static"}, "capabilities": capabilities});
        Bed::asking("")
            .nad("kube-system", "cluster-wide-network", &config.to_string())
            .default_annotation(&element)
    };
    let both = json!({"ips": true, "mac": true});
    of_default(both.clone()).refused(&["`cni-args`", "`ips`", "container runtime"]);
    of_default(both.clone()).left_to_pods("other", &["ips"]).refused(&["`cni-args`", "`mac`"]);
    of_default(json!({"ips": true})).left_to_pods("other", &["ips", "mac"]).refused(&["`mac` in `cni-args`"]);
    assert_eq!(
        plugins(&of_default(both).left_to_pods("other", &["ips", "mac"]).at(0))[0]["args"]["cni"],
        addresses()
    );
}

/// Asked for in each way that there is.
#[track_caller]
fn refused_address(ipam: &Value, address: &str, words: &[&str]) {
    let config = |capabilities: Value| json!({"type": "macvlan", "ipam": ipam, "capabilities": capabilities});
    let networks = json!([{"name": "d", "ips": [address]}]).to_string();
    for capabilities in [json!({}), json!({"ips": true})] {
        let bed = Bed::asking(&networks).nad("shop", "d", &config(capabilities.clone()).to_string());
        bed.refused(words);
        asking(&config(capabilities), &json!({"ips": [address]})).refused(words);
    }
}

// Proves: S-23
#[test]
fn a_gateways_address_and_one_outside_the_ranges_are_never_given() {
    let host_local = json!({"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24", "rangeStart": "10.9.0.10", "gateway": "10.9.0.20"}]]});
    refused_address(&host_local, "10.9.0.20/24", &["`host-local`", "`10.9.0.20` is the subnet's gateway"]);
    refused_address(&host_local, "10.9.0.5/24", &["`10.9.0.5` is in none of the ranges"]);
    refused_address(&host_local, "172.16.0.5/24", &["`172.16.0.5` is in none of the ranges"]);
    let fixed = json!({"type": "static", "addresses": [{"address": "10.9.0.5/24", "gateway": "10.9.0.1"}],
        "routes": [{"dst": "10.0.0.0/8", "gw": "10.9.0.2"}]});
    for gateway in ["10.9.0.1/24", "10.9.0.2/24"] {
        let ip = gateway.split('/').next().unwrap();
        refused_address(&fixed, gateway, &["`static`", &format!("`{ip}` is a gateway of the network")]);
    }
    for ipam in [host_local, fixed] {
        let config = json!({"type": "macvlan", "ipam": ipam}).to_string();
        Bed::asking(r#"[{"name":"d","ips":["10.9.0.12/24"]}]"#).nad("shop", "d", &config).plan();
    }
}

// Shows part of: S-23
#[test]
fn who_asks_for_a_gateways_address_is_told_what_a_router_pod_needs() {
    let of_static =
        json!({"type": "static", "addresses": [{"address": "10.9.0.5/24", "gateway": "10.9.0.1"}]});
    let of_host_local = json!({"type": "host-local", "subnet": "10.9.0.0/24"});
    for ipam in [of_static, of_host_local] {
        let config = json!({"type": "macvlan", "ipam": ipam}).to_string();
        let bed = Bed::asking(r#"[{"name":"d","ips":["10.9.0.1/24"]}]"#).nad("shop", "d", &config);
        let fix = bed.result().unwrap_err().fix;
        assert!(fix.contains("name a definition without this gateway"), "{fix}");
    }
}

#[test]
fn ranges_that_the_runtime_brings_are_the_plugins_to_look_at() {
    let config = json!({"type": "bridge", "capabilities": {"ipRanges": true, "ips": true}, "ipam": {"type": "host-local"}});
    Bed::asking("")
        .nad("kube-system", "cluster-wide-network", &config.to_string())
        .default_annotation(r#"[{"name":"cluster-wide-network","ips":["10.9.0.12/24"]}]"#)
        .left_to_pods("other", &["ips"])
        .plan();
}
