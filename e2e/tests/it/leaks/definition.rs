//! What only a definition tells: files that it names anywhere, and rulesets that cannot be loaded again.

use std::fs;

use serde_json::json;

use super::{Bed, assert_as_before, assert_told, settled};

// Proves: T-1
#[test]
fn files_anywhere_that_a_definition_names_are_told() {
    let bed = Bed::new();
    let at = |name: &str| bed.host.folder().join(name);
    let definition = json!({"plugins": [
        {"type": "bridge", "ipam": {"type": "host-local", "dataDir": at("elsewhere"), "resolvConf": at("resolv.conf")}},
        {"type": "tuning", "dataDir": at("kept/deep"), "sysctl": {"net.core.somaxconn": "/"}},
        {"type": "x", "logFile": at("x.log"), "runtimeConfig": ["/proc/self/status"]},
    ]});
    let oracle = bed.oracle().named_by(&definition);
    let before = settled(&oracle);
    for name in ["elsewhere/10.1.0.9", "resolv.conf", "kept/deep/0123abcd", "x.log"] {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), "left").unwrap();
        let leaks = before.diff(&oracle.snapshot().unwrap());
        assert_told(&leaks, &format!("machine: file `{}` appeared", at(name).display()));
        fs::remove_file(at(name)).unwrap();
    }
    assert_as_before(&oracle, &before);
}

// Proves: T-1
#[test]
fn a_ruleset_that_cannot_be_loaded_back_is_told() {
    let bed = Bed::new();
    // As nftables lets a program name a table, and nobody can write it.
    let named = |verb: &str| {
        json!({"nftables": [{verb: {"table": {"family": "ip", "name": "of a pod"}}}]}).to_string()
    };
    let run = |verb: &str| {
        let script = format!("printf '%s' '{}' | nft -j -f -", named(verb));
        drop(bed.host.exec(&["sh", "-c", &script]).unwrap());
    };
    let leaks = bed.plant(|| run("add"), || run("delete"));
    assert_told(&leaks, "host: firewall `saved ruleset` appeared: loads back no");
}
