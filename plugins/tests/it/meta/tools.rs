//! Hosts that lack `nft`, `iptables` or a part of it. A host is robbed of its tools in a mount namespace, which needs a
//! process of its own: the halves that run there carry `#[ignore]`, and the tests here start them.

use std::process::Command;

use manifold_cni::{CniError, CniResult};
use serde_json::{Value, json};

use super::chained;
use crate::bed::{Bed, Pod, with, with_result};

/// Runs a half in a process that does not find the tools whose names begin so.
#[track_caller]
fn without(hidden: &str, half: &str) {
    with_variable(hidden, half, ("HALF", half));
}

/// The same with a variable of the environment.
#[track_caller]
fn with_variable(hidden: &str, half: &str, (name, value): (&str, &str)) {
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
        .env(name, value)
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

/// A tool that is a script and starts another one by `PATH`, as those are that k3s brings.
fn write_tool(folder: &std::path::Path, name: &str, body: &str) {
    let file = folder.join(name);
    std::fs::write(&file, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

// Proves: COMPAT-22
#[test]
fn tools_that_only_path_names_serve_masquerading_ports_and_firewall() {
    let folder = tempfile::tempdir().unwrap();
    for tool in ["iptables", "ip6tables"] {
        for part in ["", "-restore"] {
            write_tool(
                folder.path(),
                &format!("{tool}{part}"),
                &format!("exec xtables-nft-multi {tool}{part} \"$@\""),
            );
        }
    }
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    with_variable("nft|iptables*|ip6tables*", "half_with_iptables_in_path", ("PATH", &path));
    let folder = tempfile::tempdir().unwrap();
    write_tool(folder.path(), "nft", "exec nft-of-the-host \"$@\"");
    std::fs::copy("/usr/sbin/nft", folder.path().join("nft-of-the-host")).unwrap();
    let path = format!("{}:{}", std::env::var("PATH").unwrap(), folder.path().display());
    with_variable("nft|iptables*|ip6tables*", "half_with_nft_in_path", ("PATH", &path));
}

/// Every plugin that has rules: ADD, CHECK, DEL.
fn every_ruler_works(rules: &dyn Fn(&Bed) -> String) {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let first = with(&bridge(&bed, BOTH), json!({"ipMasq": true}));
    let made = bed.add(&first, &pod).unwrap();
    bed.check(&first, &pod, &made).unwrap();
    for conf in [chained("firewall", json!({})), ports()] {
        bed.add(&with_result(&conf, &made), &pod).unwrap();
        bed.check(&conf, &pod, &made).unwrap();
    }
    assert!(rules(&bed).contains("10.1.0.2"), "{}", rules(&bed));
    for conf in [ports(), chained("firewall", json!({})), first] {
        bed.del(&with_result(&conf, &made), &pod).unwrap();
    }
    assert!(!rules(&bed).contains("10.1.0.2"), "{}", rules(&bed));
}

#[test]
#[ignore = "runs as a child of another test"]
fn half_with_iptables_in_path() {
    every_ruler_works(&|bed| bed.sh("for table in nat filter; do iptables -t $table -S; done"));
}

#[test]
#[ignore = "runs as a child of another test"]
fn half_with_nft_in_path() {
    every_ruler_works(&|bed| bed.sh("nft list ruleset"));
}

// Proves: COMPAT-21, COMPAT-21.2
#[test]
fn firewalld_is_looked_for_where_the_environment_says_the_bus_is() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("tcp:host=localhost,port=1;unix:path={}/bus", folder.path().display());
    with_variable("none", "half_with_a_bus_elsewhere", ("DBUS_SYSTEM_BUS_ADDRESS", &address));
}

#[test]
#[ignore = "runs as a child of another test"]
fn half_with_a_bus_elsewhere() {
    let bed = Bed::new();
    let pod = made(&bed, "a", V4);
    let address = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").unwrap();
    let path = address.rsplit_once("unix:path=").unwrap().1;
    let told = super::firewall::fake_bus_at(std::path::Path::new(path), true);
    add(&bed, &chained("firewall", json!({})), &pod).unwrap();
    assert_eq!(*told.lock().unwrap(), ["addSource trusted 10.1.0.2/32"]);
}

// Proves: P-DEL-2, P-DEL-3
#[test]
fn del_reports_every_rule_that_the_tools_did_not_remove() {
    without("none", "half_whose_tools_break");
}

#[test]
#[ignore = "runs as a child of another test"]
fn half_whose_tools_break() {
    const NFT: &str = "bridge nat|inet cni_plugins_masquerade|ip cni_hostport|inet cni_firewall";
    let bed = Bed::new();
    let pod = bed.pod("a");
    let first = with(&bridge(&bed, V4), json!({"ipMasq": true, "macspoofchk": true}));
    let made = bed.add(&first, &pod).unwrap();
    let of_nft = with(&ports(), json!({"backend": "nftables"}));
    let firewall = chained("firewall", json!({"backend": "nftables"}));
    let confs = [
        with(&first, json!({"ipMasq": false})),
        with(&first, json!({"macspoofchk": false})),
        of_nft,
        firewall,
    ];
    for conf in &confs[2..] {
        bed.add(&with_result(conf, &made), &pod).unwrap();
    }
    let tool = std::fs::read_link("/usr/sbin/nft").unwrap();
    std::fs::remove_file("/usr/sbin/nft").unwrap();
    let fails = || {
        confs.iter().for_each(|conf| {
            let error = bed.del(&with_result(conf, &made), &pod).unwrap_err();
            assert!(error.to_string().contains("nft"), "{conf}: {error}");
        });
    };
    fails();
    write_tool(std::path::Path::new("/usr/sbin"), "nft", "echo 'Error: Out of memory' >&2; exit 1");
    fails();
    std::fs::remove_file("/usr/sbin/nft").unwrap();
    std::os::unix::fs::symlink(tool, "/usr/sbin/nft").unwrap();
    let tables = NFT.split('|').map(|table| bed.sh(&format!("nft list table {table}"))).collect::<Vec<_>>();
    assert!(tables.iter().all(|table| table.contains("comment")), "{tables:?}");
    for conf in &confs {
        bed.del(&with_result(conf, &made), &pod).unwrap();
    }
    let left = bed.sh("nft list ruleset");
    assert!(!left.contains("comment") && !left.contains("cni-br-iface"), "{left}");
}

#[test]
fn del_reports_iptables_chains_that_stay_for_want_of_the_tool() {
    without("none", "half_that_loses_iptables");
}

#[test]
#[ignore = "runs as a child of another test"]
fn half_that_loses_iptables() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let first = with(&bridge(&bed, V4), json!({"ipMasq": true, "ipMasqBackend": "iptables"}));
    let made = bed.add(&first, &pod).unwrap();
    let mapped = with(&ports(), json!({"backend": "iptables"}));
    bed.add(&with_result(&mapped, &made), &pod).unwrap();
    std::fs::rename("/usr/sbin/iptables-restore", "/usr/sbin/away").unwrap();
    for conf in [&mapped, &first] {
        let error = bed.del(&with_result(conf, &made), &pod).unwrap_err();
        assert!(error.to_string().contains("`iptables` is not installed"), "{error}");
    }
    std::fs::rename("/usr/sbin/away", "/usr/sbin/iptables-restore").unwrap();
    for conf in [&mapped, &first] {
        bed.del(&with_result(conf, &made), &pod).unwrap();
    }
    assert!(!bed.sh("iptables -t nat -S").contains("10.1.0.2"));
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
