//! Hosts that lack `nft`, `iptables` or a part of it. A host is robbed of its tools in a mount namespace, which needs a
//! process of its own: the halves that run there carry `#[ignore]`, and the tests here start them.

use std::process::Command;

use manifold_cni::{CniError, CniResult};
use serde_json::{Value, json};

use super::chained;
use crate::bed::{Bed, Pod, with_result};

/// Runs a half in a process that does not find the tools whose names begin so.
#[track_caller]
fn without(hidden: &str, half: &str) {
    let aside = tempfile::tempdir().unwrap();
    let script = r#"
        mount --make-rprivate /; mount --bind /usr/sbin "$ASIDE"; mount -t tmpfs none /usr/sbin
        for tool in "$ASIDE"/*; do
            case "${tool##*/}" in HIDDEN) ;; *) ln -s "$tool" /usr/sbin/;; esac; done
        if [ -d /run/dbus ]; then mount -t tmpfs none /run/dbus; fi
        exec "$EXE" --ignored --exact --nocapture "meta::tools::$HALF""#;
    let output = Command::new("unshare")
        .args(["-m", "sh", "-ec", &script.replace("HIDDEN", hidden)])
        .env("ASIDE", aside.path())
        .env("EXE", std::env::current_exe().unwrap())
        .env("HALF", half)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn bridge(bed: &Bed, subnets: &[&str]) -> Value {
    let ranges: Vec<Value> = subnets.iter().map(|subnet| json!([{"subnet": subnet}])).collect();
    json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0", "isGateway": true,
        "ipam": {"type": "host-local", "dataDir": bed.leases.path(), "ranges": ranges}})
}

const V4: &[&str] = &["10.1.0.0/24"];
const BOTH: &[&str] = &["10.1.0.0/24", "fd00:1::/64"];

fn made(bed: &Bed, id: &str, subnets: &[&str]) -> (Pod, CniResult) {
    let pod = bed.pod(id);
    let result = bed.add(&bridge(bed, subnets), &pod).unwrap();
    (pod, result)
}

fn add(bed: &Bed, conf: &Value, (pod, made): &(Pod, CniResult)) -> Result<CniResult, CniError> {
    bed.add(&with_result(conf, made), pod)
}

fn ports() -> Value {
    chained("portmap", json!({"runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80}]}}))
}

// Proves: PLG-FW-7
#[test]
fn a_pod_needs_the_tool_of_its_own_families_only() {
    without("ip6tables*", "half_without_ip6tables");
}

#[test]
#[ignore = "runs as a child of another test"]
fn half_without_ip6tables() {
    let bed = Bed::new();
    let conf = chained("firewall", json!({"backend": "iptables"}));
    let pod = made(&bed, "a", V4);
    add(&bed, &conf, &pod).unwrap();
    assert!(bed.sh("iptables -S").contains("-A CNI-FORWARD -s 10.1.0.2/32"));
    bed.check(&conf, &pod.0, &pod.1).unwrap();
    bed.del(&conf, &pod.0).unwrap();
    assert!(!bed.sh("iptables -S").contains("10.1.0.2"));
    let error = add(&bed, &conf, &made(&bed, "b", BOTH)).unwrap_err();
    assert!(error.msg.contains("`ip6tables` is not installed"), "{error}");
    assert!(!bed.sh("iptables -S").contains("10.1.0.3"), "what was done is taken back");
}

// Proves: PLG-FW-7, PLG-PORTMAP-1
#[test]
fn without_iptables_nftables_is_used() {
    without("iptables*|ip6tables*", "half_without_iptables");
}

#[test]
#[ignore = "runs as a child of another test"]
fn half_without_iptables() {
    let bed = Bed::new();
    let pod = made(&bed, "a", BOTH);
    for conf in [chained("firewall", json!({})), ports()] {
        add(&bed, &conf, &pod).unwrap();
        bed.check(&conf, &pod.0, &pod.1).unwrap();
        assert!(bed.sh("nft list ruleset").contains("id: a"), "{conf}");
        bed.del(&conf, &pod.0).unwrap();
        assert!(!bed.sh("nft list ruleset").contains("id: a"), "{conf}");
    }
    let mut asked = ports();
    asked["backend"] = json!("iptables");
    let error = add(&bed, &asked, &pod).unwrap_err();
    assert!(error.msg.contains("`iptables` is not installed"), "{error}");
}

// Proves: PLG-PORTMAP-1
#[test]
fn without_nft_iptables_is_used() {
    without("nft", "half_without_nft");
}

#[test]
#[ignore = "runs as a child of another test"]
fn half_without_nft() {
    let bed = Bed::new();
    let pod = made(&bed, "a", BOTH);
    for (conf, table) in [(chained("firewall", json!({})), "filter"), (ports(), "nat")] {
        add(&bed, &conf, &pod).unwrap();
        bed.check(&conf, &pod.0, &pod.1).unwrap();
        let rules = || bed.sh(&format!("iptables -t {table} -S; ip6tables -t {table} -S"));
        assert!(rules().contains("10.1.0.2") && rules().contains("fd00:1::2"), "{conf}: {}", rules());
        bed.del(&conf, &pod.0).unwrap();
        assert!(!rules().contains("10.1.0.2") && !rules().contains("fd00:1::2"), "{conf}: {}", rules());
    }
}

// Proves: PLG-PORTMAP-13
#[test]
fn del_of_mapped_ports_tells_when_no_tool_could_remove_them() {
    without("nft|iptables*|ip6tables*", "half_without_any_tool");
}

#[test]
#[ignore = "runs as a child of another test"]
fn half_without_any_tool() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let error = bed.del(&ports(), &pod).unwrap_err();
    assert!(error.msg.contains("neither `nft` nor `iptables` works on this host"), "{error}");
    bed.del(&chained("portmap", json!({})), &pod).unwrap();
    bed.del(&chained("firewall", json!({})), &pod).unwrap();
}
