//! `static`: alone, and beside the reference plugin.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends where it cannot go on")]

use manifold_plugins::ipam::Static;
use serde_json::{Value, json};

use crate::ipam_bed::{Answer, Call, add, call, ours, reference};

fn run(call: &Call, config: &Value) -> Answer {
    ours(&Static, call, config)
}

fn config(version: &str, ipam: Value) -> Value {
    let mut config = json!({"cniVersion": version, "name": "net", "type": "bridge", "ipam": ipam});
    config["ipam"]["type"] = json!("static");
    config
}

fn with(mut config: Value, rest: Value) -> Value {
    for (key, value) in rest.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

#[track_caller]
fn same(call: &Call, config: &Value) {
    let (mine, theirs) = (run(call, config), reference("static", call, config));
    let told = |answer: &Answer| (answer.success, answer.success.then(|| answer.without_empty_dns()));
    assert_eq!(told(&mine), told(&theirs), "{call:?} {config}\nours: {mine:?}\nreference: {theirs:?}");
}

fn two() -> Value {
    json!({"addresses": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}, {"address": "fd00::5/64"}],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.2"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.3"}],
        "dns": {"nameservers": ["192.0.2.1"], "domain": "d", "search": ["s"], "options": ["o"]}})
}

// Proves: PLG-STATIC-1, PLG-STATIC-2, PLG-STATIC-3, PLG-STATIC-4, PLG-STATIC-5, CNI-DLG-6
#[test]
fn every_source_of_addresses_is_answered_as_the_reference_does() {
    let args = json!({"args": {"cni": {"ips": ["10.3.0.5/24", "fd03::5/64"]}}});
    let runtime = json!({"runtimeConfig": {"ips": ["10.4.0.5/24"]}});
    for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0"] {
        let plain = config(version, two());
        for env in [
            "",
            "IP=10.2.0.5/24",
            "IP=10.2.0.5/24,fd02::5/64;GATEWAY=10.2.0.1,fd02::1",
            "IP=10.2.0.5",
            "GATEWAY=x",
            "FOO=1",
        ] {
            same(&add("a").args(env), &plain);
            same(&add("a").args(env), &config(version, json!({})));
        }
        same(&add("a"), &with(plain.clone(), args.clone()));
        same(&add("a").args("IP=10.2.0.5/24"), &with(plain.clone(), args.clone()));
        same(&add("a").args("IP=10.2.0.5/24"), &with(with(plain.clone(), args.clone()), runtime.clone()));
        same(&add("a"), &with(plain.clone(), json!({"args": {"cni": {"ips": ["10.3.0.5"]}}})));
        same(&add("a"), &with(plain.clone(), json!({"runtimeConfig": {"ips": ["10.3.0.5"]}})));
        for broken in [json!([{"address": "10.1.0.5"}]), json!([{"address": "x"}]), json!([{}])] {
            same(&add("a"), &config(version, json!({"addresses": broken})));
        }
        let mut bare = plain.clone();
        bare.as_object_mut().unwrap().remove("ipam");
        same(&add("a"), &bare);
    }
}

// Proves: PLG-STATIC-4, PLG-COM-1, PLG-COM-2
#[test]
fn old_versions_get_one_address_of_each_family_or_an_error() {
    let two_v4 = json!({"addresses": [{"address": "10.1.0.5/24"}, {"address": "10.1.0.6/24"}]});
    for version in ["0.1.0", "0.2.0"] {
        same(&add("a"), &config(version, two()));
        same(&add("a"), &config(version, two_v4.clone()));
        assert!(!run(&add("a"), &config(version, two_v4.clone())).success);
    }
}

// Proves: PLG-STATIC-2
#[test]
fn a_gateway_of_cni_args_also_reaches_configured_addresses() {
    // The reference parses configured addresses too late for that, and drops the gateway.
    let config = config("1.1.0", json!({"addresses": [{"address": "10.1.0.5/24"}]}));
    let answer = run(&add("a").args("GATEWAY=10.1.0.9"), &config);
    assert_eq!(answer.stdout["ips"], json!([{"address": "10.1.0.5/24", "gateway": "10.1.0.9"}]));
}

// Proves: PLG-STATIC-6, CNI-CHK-2, CNI-CHK-4
#[test]
fn check_wants_every_configured_address_with_its_gateway_in_the_previous_result() {
    let config = config("1.0.0", two());
    let check = |ips: Value| {
        let prev =
            json!({"prevResult": {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0"}], "ips": ips}});
        run(&call("CHECK", "a"), &with(config.clone(), prev))
    };
    let (v4, v6) =
        (json!({"address": "10.1.0.5/24", "gateway": "10.1.0.1"}), json!({"address": "fd00::5/64"}));
    check(json!([v4, v6])).ok();
    check(json!([{"address": "10.8.0.1/24"}, v6, v4])).ok();
    check(json!([v6])).failed(101, "`10.1.0.5/24` is not in `prevResult`");
    check(json!([v6, {"address": "10.1.0.5/24", "gateway": "10.1.0.7"}]))
        .failed(101, "gateway of `10.1.0.5/24`");
    check(json!([v6, {"address": "10.1.0.5/24"}])).failed(101, "gateway of `10.1.0.5/24`");
    run(&call("CHECK", "a"), &config).failed(7, "prevResult");
}

// Proves: PLG-STATIC-6, PLG-COM-18
#[test]
fn del_status_and_gc_have_nothing_to_do_whatever_the_configuration_says() {
    for ipam in [two(), json!({"addresses": [{"address": "nonsense"}]})] {
        let mut config = config("1.1.0", ipam);
        config["cni.dev/valid-attachments"] = json!([]);
        for verb in ["DEL", "DEL", "STATUS", "GC"] {
            let answer = run(&call(verb, "a").args("FOO=1"), &config);
            assert!(answer.success && answer.stdout.is_null(), "{verb}: {}", answer.stdout);
        }
    }
}
