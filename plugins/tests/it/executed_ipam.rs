//! An IPAM plugin that is not ours: executed, with everything it may need, and never trusted to clean up by itself.

use std::os::unix::fs::PermissionsExt;

use manifold_cni::{AttachmentId, CniError, CniResult, Input, Plugin};
use manifold_plugins::bundled;
use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, Pod, runs, same, with, with_result};

/// A folder with an IPAM plugin that notes what it is asked, and answers ADD from a file.
struct Fake {
    folder: tempfile::TempDir,
}

const SCRIPT: &str = r#"#!/bin/sh
here=$(dirname "$0")
{ printf '%s %s %s ' "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_IFNAME"; cat; echo; } >> "$here/log"
if [ -e "$here/fail-$CNI_COMMAND" ]; then cat "$here/fail-$CNI_COMMAND"; exit 1; fi
nsenter --net="$CNI_NETNS" ip link show "$CNI_IFNAME" > "$here/link-at-$CNI_COMMAND" 2>/dev/null
if [ "$CNI_COMMAND" = ADD ]; then cat "$here/answer"; fi
"#;

impl Fake {
    fn new(answer: Value) -> Self {
        let fake = Self { folder: tempfile::tempdir().unwrap() };
        let program = fake.folder.path().join("calico-ipam");
        std::fs::write(&program, SCRIPT).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(fake.folder.path().join("answer"), answer.to_string()).unwrap();
        fake
    }

    fn fail(&self, verb: &str, error: Value) {
        std::fs::write(self.folder.path().join(format!("fail-{verb}")), error.to_string()).unwrap();
    }

    /// What it was asked, and forgets it.
    fn asked(&self) -> Vec<(String, Value)> {
        let log = self.folder.path().join("log");
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let _ = std::fs::remove_file(&log);
        let ask = |line: &str| {
            let (who, stdin) = line.split_once('{').unwrap();
            (who.trim().to_owned(), serde_json::from_str(&format!("{{{stdin}")).unwrap())
        };
        text.lines().map(ask).collect()
    }

    fn verbs(&self) -> Vec<String> {
        self.asked().into_iter().map(|(who, _)| who.split(' ').next().unwrap().to_owned()).collect()
    }

    fn input(&self, conf: &Value) -> Input {
        let bytes = serde_json::to_vec(conf).unwrap();
        let path = vec![self.folder.path().to_owned()];
        Input::from_stdin(&bytes, path, std::time::Instant::now() + PATIENCE).unwrap()
    }

    fn add(&self, bed: &Bed, conf: &Value, pod: &Pod) -> Result<CniResult, CniError> {
        let at = pod.at("eth0", "");
        bed.host.run(|| plugin(conf).add(&self.input(conf), &at)).unwrap()
    }
}

fn plugin(conf: &Value) -> &'static dyn Plugin {
    bundled(conf["type"].as_str().unwrap()).unwrap()
}

const HOST: &[&str] = &["bridge", "ptp", "macvlan", "tap"];
const GUEST: &[&str] = &["vlan", "ipvlan", "dummy"];

fn configurations(bed: &Bed, types: &[&str]) -> Vec<Value> {
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
    let conf = |plugin: &&str| {
        let bridge = if *plugin == "bridge" { json!({"bridge": "br0"}) } else { json!({}) };
        let conf = json!({"cniVersion": "1.0.0", "name": "blue", "type": plugin, "master": "up0", "vlanId": 5, "device": "dev0",
            "ipam": {"type": "calico-ipam", "assign_ipv4": "true"}, "etcd_endpoints": "http://127.0.0.1:2379",
            "datastore_type": "kubernetes", "args": {"cni": {"big": 12345678901234567890u64}}});
        with(&conf, bridge)
    };
    types.iter().map(conf).collect()
}

/// As calico-ipam answers: single addresses without gateway, a route to each.
fn calico() -> Value {
    json!({"cniVersion": "1.0.0", "ips": [{"address": "192.168.7.3/32"}], "routes": [{"dst": "192.168.7.3/32"}], "dns": {}})
}

fn with_gateway() -> Value {
    json!({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.3/24", "gateway": "10.1.0.1"}], "dns": {}})
}

// Proves: PLG-CAL-1, PLG-CAL-2, PLG-COM-17
#[test]
fn it_gets_the_complete_configuration_and_every_verb() {
    it_gets_the_complete_configuration_and_every_verb_for(HOST);
}

fn it_gets_the_complete_configuration_and_every_verb_for(types: &[&str]) {
    let bed = Bed::new();
    for conf in configurations(&bed, types) {
        let fake = Fake::new(with_gateway());
        let pod = bed.pod("c1");
        let result = fake.add(&bed, &conf, &pod).unwrap();
        let checked = with_result(&conf, &result);
        let at = pod.at("eth0", "");
        bed.host.run(|| plugin(&conf).check(&fake.input(&checked), &at)).unwrap().unwrap();
        bed.host.run(|| plugin(&conf).del(&fake.input(&conf), &at.detach())).unwrap().unwrap();
        let asked = fake.asked();
        let who: Vec<_> = asked.iter().map(|(who, _)| who.as_str()).collect();
        assert_eq!(who, ["ADD c1 eth0", "CHECK c1 eth0", "DEL c1 eth0"], "{conf}");
        assert_eq!(asked[0].1, conf);
        assert_eq!(asked[1].1, checked);
    }
}

// Proves: PLG-CAL-3
#[test]
fn single_addresses_without_gateway_work_where_they_can_and_else_fail_clearly() {
    let bed = Bed::new();
    let configurations = configurations(&bed, HOST);
    let [bridge, ptp, macvlan, tap] = &configurations[..] else { panic!("one of each type") };
    works_with_single_addresses(&bed, &[macvlan.clone(), bridge.clone(), tap.clone()]);
    for (conf, complaint) in [
        (with(bridge, json!({"isGateway": true})), "`isGateway` needs a gateway in the pod's subnet"),
        (ptp.clone(), "without a gateway"),
    ] {
        let (fake, pod) = (Fake::new(calico()), bed.pod("c2"));
        let inside = pod.state();
        let error = fake.add(&bed, &conf, &pod).unwrap_err();
        assert!(error.msg.contains(complaint), "{error}");
        assert_eq!(fake.verbs(), ["ADD", "DEL"]);
        same("pod", &inside, &pod.state());
    }
}

#[track_caller]
fn works_with_single_addresses(bed: &Bed, configurations: &[Value]) {
    for conf in configurations {
        let (fake, pod) = (Fake::new(calico()), bed.pod("c1"));
        let result = fake.add(bed, conf, &pod);
        // The route to itself that comes with the address is refused by no kernel as long as it is on the link.
        let result = result.unwrap_or_else(|error| panic!("{conf}: {error}"));
        assert!(pod.sh("ip -4 -o addr show eth0").contains("192.168.7.3/32"));
        let checked = with_result(conf, &result);
        bed.host.run(|| plugin(conf).check(&fake.input(&checked), &pod.at("eth0", ""))).unwrap().unwrap();
    }
}

/// A block of the pool as calico-ipam gives it to a node: every address of it may become a pod's.
fn block(host: u8) -> Value {
    json!({"cniVersion": "1.0.0", "ips": [{"address": format!("10.201.0.{host}/28")}],
        "routes": [{"dst": format!("10.201.0.{host}/28")}], "dns": {}})
}

// Proves: COMPAT-19
#[test]
fn a_bridge_takes_no_gateway_out_of_a_foreign_pool_but_one_that_is_named() {
    let bed = Bed::new();
    let [conf] = &configurations(&bed, &["bridge"])[..] else { panic!("one configuration") };
    let conf = with(conf, json!({"isDefaultGateway": true}));
    let (fake, pod) = (Fake::new(block(0)), bed.pod("refused"));
    let error = fake.add(&bed, &conf, &pod).unwrap_err();
    assert!(error.msg.contains("`calico-ipam`") && error.msg.contains("`ipam.gateway`"), "{error}");
    assert_eq!(fake.verbs(), ["ADD", "DEL"]);
    assert_eq!(bed.sh("ip -4 -o addr show br0"), "");
    let named = with(&conf, json!({"ipam": with(&conf["ipam"], json!({"gateway": "10.201.0.14"}))}));
    for host in [0, 1, 2] {
        let (fake, pod) = (Fake::new(block(host)), bed.pod(&format!("pod-{host}")));
        let result = fake.add(&bed, &named, &pod).unwrap();
        assert_eq!(result.ips[0].gateway.map(|gw| gw.to_string()).as_deref(), Some("10.201.0.14"));
        assert!(pod.pings("10.201.0.14"), "{}", pod.state());
    }
    let error = Fake::new(block(14)).add(&bed, &named, &bed.pod("gateway")).unwrap_err();
    assert!(error.msg.contains("`10.201.0.14`, which is the gateway's address"), "{error}");
}

// Proves: COMPAT-19
#[test]
fn the_shipped_example_of_calico_ipam_attaches_pods_that_reach_each_other() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/examples/networks/calico-ipam.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, config) = text.split_once("config: |\n").unwrap();
    let conf: Value = serde_json::from_str(config).unwrap();
    let bed = Bed::new();
    let [a, b] = ["a", "b"].map(|id| bed.pod(id));
    for (pod, host) in [(&a, 2), (&b, 3)] {
        let fake = Fake::new(block(host));
        let result = fake.add(&bed, &conf, pod).unwrap();
        let checked = with_result(&conf, &result);
        bed.host.run(|| plugin(&conf).check(&fake.input(&checked), &pod.at("eth0", ""))).unwrap().unwrap();
    }
    assert!(a.pings("10.201.0.3"), "{}", a.state());
}

// Proves: PLG-COM-15, PLG-COM-16
#[test]
fn an_answer_without_addresses_is_an_error_and_is_released() {
    an_answer_without_addresses_is_an_error_and_is_released_for(HOST);
}

fn an_answer_without_addresses_is_an_error_and_is_released_for(types: &[&str]) {
    let bed = Bed::new();
    for conf in configurations(&bed, types) {
        let (fake, pod) = (Fake::new(json!({"cniVersion": "1.0.0", "dns": {}})), bed.pod("c1"));
        let error = fake.add(&bed, &conf, &pod).unwrap_err();
        assert!(error.msg.contains("gave no IP config"), "{error}");
        assert_eq!(fake.verbs(), ["ADD", "DEL"], "{conf}");
        assert!(!runs(&pod.netns, "ip link show eth0"));
    }
}

// Proves: PLG-COM-16
#[test]
fn what_comes_after_it_and_fails_releases_its_addresses() {
    what_comes_after_it_and_fails_releases_its_addresses_for(HOST);
}

fn what_comes_after_it_and_fails_releases_its_addresses_for(types: &[&str]) {
    let bed = Bed::new();
    for conf in configurations(&bed, types) {
        let unreachable =
            with(&with_gateway(), json!({"routes": [{"dst": "10.9.0.0/16", "gw": "172.31.0.1"}]}));
        let (fake, pod) = (Fake::new(unreachable), bed.pod("c1"));
        let error = fake.add(&bed, &conf, &pod).unwrap_err();
        assert!(error.msg.contains("`10.9.0.0/16` via `172.31.0.1`"), "{error}");
        assert_eq!(fake.verbs(), ["ADD", "DEL"], "{conf}");
        assert!(!runs(&pod.netns, "ip link show eth0"));
        let seen = std::fs::read_to_string(fake.folder.path().join("link-at-DEL")).unwrap();
        assert_eq!(seen, "", "the link goes first: {conf}");
    }
}

// Proves: PLG-COM-17, P-DEL-3
#[test]
fn its_failure_to_release_does_not_keep_the_link() {
    its_failure_to_release_does_not_keep_the_link_for(HOST);
}

fn its_failure_to_release_does_not_keep_the_link_for(types: &[&str]) {
    let bed = Bed::new();
    for conf in configurations(&bed, types) {
        let (fake, pod) = (Fake::new(with_gateway()), bed.pod("c1"));
        fake.add(&bed, &conf, &pod).unwrap();
        fake.fail("DEL", json!({"cniVersion": "1.0.0", "code": 11, "msg": "the pool is busy"}));
        let at = pod.at("eth0", "").detach();
        let error = bed.host.run(|| plugin(&conf).del(&fake.input(&conf), &at)).unwrap().unwrap_err();
        assert_eq!((error.code, error.msg.contains("the pool is busy")), (11, true), "{error}");
        assert!(!runs(&pod.netns, "ip link show eth0"), "{conf}");
    }
}

// Proves: PLG-COM-18, PLG-COM-19
#[test]
fn status_and_gc_reach_it_and_its_code_comes_back() {
    status_and_gc_reach_it_and_its_code_comes_back_for(HOST);
}

fn status_and_gc_reach_it_and_its_code_comes_back_for(types: &[&str]) {
    let bed = Bed::new();
    for conf in configurations(&bed, types) {
        let keep = json!([{"containerID": "c1", "ifname": "eth0"}]);
        let conf = with(&conf, json!({"cniVersion": "1.1.0", "cni.dev/valid-attachments": keep}));
        let fake = Fake::new(with_gateway());
        let status = || bed.host.run(|| plugin(&conf).status(&fake.input(&conf))).unwrap();
        status().unwrap();
        let keep = [AttachmentId { container: "c1".into(), ifname: "eth0".into() }];
        bed.host.run(|| plugin(&conf).gc(&fake.input(&conf), &keep)).unwrap().unwrap();
        let asked = fake.asked();
        assert_eq!(asked.iter().map(|(who, _)| who.as_str()).collect::<Vec<_>>(), ["STATUS", "GC"], "{conf}");
        assert_eq!(asked[1].1["cni.dev/valid-attachments"], conf["cni.dev/valid-attachments"]);
        fake.fail("STATUS", json!({"cniVersion": "1.1.0", "code": 50, "msg": "no API"}));
        assert_eq!(status().unwrap_err().code, 50);
    }
}

// Proves: PLG-COM-17, COMPAT-14
#[test]
fn every_type_removes_the_link_before_the_lease() {
    every_type_removes_the_link_before_the_lease_for(&[HOST, &["host-device"]].concat());
}

fn every_type_removes_the_link_before_the_lease_for(types: &[&str]) {
    let bed = Bed::new();
    bed.sh("ip link add dev0 type veth peer name wire");
    for conf in configurations(&bed, types) {
        let (fake, pod) = (Fake::new(with_gateway()), bed.pod("c1"));
        fake.add(&bed, &conf, &pod).unwrap();
        let at = pod.at("eth0", "").detach();
        bed.host.run(|| plugin(&conf).del(&fake.input(&conf), &at)).unwrap().unwrap();
        let seen = std::fs::read_to_string(fake.folder.path().join("link-at-DEL")).unwrap();
        assert_eq!(seen, "", "{conf}");
    }
}

// Proves: PLG-CAL-1, PLG-CAL-2, PLG-CAL-3, PLG-COM-15, PLG-COM-16, PLG-COM-17, PLG-COM-18, PLG-COM-19
#[test]
#[ignore = "needs a kernel with VLAN, ipvlan and dummy links: run it in the guest kernel"]
fn vlan_ipvlan_and_dummy_use_it_like_the_others() {
    it_gets_the_complete_configuration_and_every_verb_for(GUEST);
    an_answer_without_addresses_is_an_error_and_is_released_for(GUEST);
    what_comes_after_it_and_fails_releases_its_addresses_for(GUEST);
    its_failure_to_release_does_not_keep_the_link_for(GUEST);
    status_and_gc_reach_it_and_its_code_comes_back_for(GUEST);
    every_type_removes_the_link_before_the_lease_for(GUEST);
    let bed = Bed::new();
    works_with_single_addresses(&bed, &configurations(&bed, GUEST));
}
