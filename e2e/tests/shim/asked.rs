//! What a pod asks of an attachment, as the kernel has it afterwards: addresses, MAC, names that are free.

use manifold_e2e::netns::TestNetns;
use serde_json::json;

use crate::kernel;
use crate::networks::With;
use crate::node::{NETWORKS, Node};

// Proves: NPWG-4.1.2.1.3-2, NPWG-4.1.2.1.4-2, NPWG-4.1.2.1.5-2
#[test]
fn the_interface_has_the_addresses_the_mac_and_the_name_that_were_asked_for() {
    let node = Node::new("asked");
    let capable = json!({"mac": true, "ips": true});
    let fixed =
        node.macvlan(&["10.60.0.0/24"]).with("capabilities", capable).with("ipam", json!({"type": "static"}));
    node.define("fixed", &fixed.with("cniVersion", json!("1.1.0")));
    let selection = json!([{"name": "fixed", "interface": "data0", "mac": "02:00:00:00:00:42",
        "ips": ["10.60.0.7/24", "fd00:60::7/64"]}]);
    let sandbox = node.sandbox_with("cart", &[(NETWORKS, &selection.to_string())]);
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(kernel::mac(&sandbox.netns, "data0"), "02:00:00:00:00:42");
    assert_eq!(kernel::addresses(&sandbox.netns, "data0"), ["10.60.0.7", "fd00:60::7"]);
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(sandbox.links(), Vec::<String>::new());
}

// Proves: COMPAT-3
#[test]
fn addresses_and_mac_are_those_asked_for_where_the_definition_declares_no_capability() {
    let node = Node::new("by-args");
    let plain = |ipam| node.macvlan(&["10.60.0.0/24"]).with("capabilities", json!({})).with("ipam", ipam);
    node.define(
        "fixed",
        &plain(json!({"type": "static", "routes": [{"dst": "10.61.0.0/16", "gw": "10.60.0.1"}]})),
    );
    node.define("pool", &plain(node.ipam(&["10.62.0.0/24"])));
    let selection = json!([
        {"name": "fixed", "mac": "02:00:00:00:00:42", "ips": ["10.60.0.7/24"]},
        {"name": "pool", "mac": "02:00:00:00:00:43", "ips": ["10.62.0.77"]},
    ]);
    let sandbox = node.sandbox_with("cart", &[(NETWORKS, &selection.to_string())]);
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    for (ifname, mac, address) in
        [("net1", "02:00:00:00:00:42", "10.60.0.7"), ("net2", "02:00:00:00:00:43", "10.62.0.77")]
    {
        assert_eq!(kernel::mac(&sandbox.netns, ifname), mac);
        assert_eq!(kernel::addresses(&sandbox.netns, ifname), [address]);
    }
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(node.leases("pool"), Vec::<String>::new());
}

// Proves: COMPAT-6
#[test]
fn keys_of_definitions_and_annotations_are_read_in_any_case() {
    let node = Node::new("any-case");
    node.install_fakes(&["fake"]);
    node.define(
        "storage",
        &json!({"CNIVersion": "1.0.0", "Plugins": [
            {"Type": "bridge", "Bridge": "mf-odd", "isgateway": true, "Capabilities": {"ips": true}, "IPAM": {
                "Type": "host-local", "datadir": node.folder("networks"),
                "Ranges": [[{"Subnet": "10.50.0.0/24", "rangestart": "10.50.0.100"}]]}},
        ]}),
    );
    let mut odd = node.fake(&json!({}));
    odd.as_object_mut().unwrap().remove("type");
    node.define(
        "foreign",
        &odd.with("Type", json!("fake"))
            .with("IsGateway", json!(true))
            .with("RuntimeConfig", json!({"mac": "x"})),
    );
    let selection =
        json!([{"Name": "storage", "Interface": "data0", "IPs": ["10.50.0.107"]}, {"Name": "foreign"}]);
    let sandbox = node.sandbox_with("cart", &[(NETWORKS, &selection.to_string())]);
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(kernel::addresses(&sandbox.netns, "data0"), ["10.50.0.107"]);
    let calls = manifold_e2e::trace::read(&node.folder("trace")).unwrap();
    let call = calls.iter().find(|call| call.verb == "ADD").unwrap();
    // An executed plugin gets its keys as they are written, without what only a runtime may say.
    assert_eq!(call.input("/IsGateway"), &json!(true));
    assert_eq!(call.input("/Type"), &json!("fake"));
    assert_eq!(call.input("/RuntimeConfig"), &json!(null));
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(sandbox.links(), Vec::<String>::new());
}

// Proves: MLT-EXE-3, CNI-ADD-4
#[test]
fn a_name_that_is_taken_in_the_pod_is_refused_and_its_owner_stays() {
    let node = Node::new("taken");
    node.define("storage", &node.bridge("mf-storage", &["10.50.0.0/24"]));
    let sandbox = node.sandbox("cart", "storage");
    sandbox.netns.exec(&["ip", "link", "add", "net1", "type", "veth", "peer", "name", "other"]).unwrap();
    let before = sandbox.links();
    let text = node.runtime().add(&sandbox.pod).unwrap().must_fail_with(7);
    assert!(text.contains("interface `net1`") && text.contains("already"), "{text}");
    assert_eq!(sandbox.links(), before, "not even the default network was touched");
    assert_eq!(node.ledger(), Vec::<String>::new());
    sandbox.netns.exec(&["ip", "link", "del", "net1"]).unwrap();
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: MLT-EXE-3
#[test]
fn a_namespace_that_is_none_is_refused() {
    let node = Node::new("no-netns");
    let sandbox = node.sandbox("cart", "");
    let gone = TestNetns::new().unwrap();
    gone.delete();
    let mut pod = sandbox.pod.clone();
    pod.netns = Some(gone.path().to_owned());
    let text = node.runtime().add(&pod).unwrap().must_fail_with(4);
    assert!(text.contains("CNI_NETNS") && text.contains("does not exist"), "{text}");
}

// Proves: MLT-CACHE-3, CNI-CACHE-8
#[test]
fn two_definitions_of_one_cni_name_do_not_mix_their_attachments() {
    let node = Node::new("same-name");
    for (nad, bridge) in [("left", "mf-left"), ("right", "mf-right")] {
        node.define(nad, &node.bridge(bridge, &["10.50.0.0/24"]).with("name", json!("shared")));
    }
    let sandbox = node.sandbox("cart", "left,right");
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(node.leases("shared").len(), 2, "each its own address of the shared pool");
    assert_eq!(sandbox.links(), ["eth0", "net1", "net2"]);
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(node.leases("shared"), Vec::<String>::new());
}

// Proves: CNI-CNV-3
#[test]
fn labels_are_no_reason_to_fail() {
    let node = Node::new("labels");
    let args = json!({"cni": {"labels": [{"key": "app", "value": "cart"}], "x": 1}, "other": {"y": [2]}});
    node.define("storage", &node.bridge("mf-storage", &["10.50.0.0/24"]).with("args", args));
    let sandbox = node.sandbox("cart", "storage");
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: MLT-CACHE-2
#[test]
fn del_gives_plugins_the_port_mappings_and_bandwidth_of_add() {
    let node = Node::new("kept-requests");
    node.install_fakes(&["fake"]);
    let conf = node.fake(&json!({})).with("capabilities", json!({"portMappings": true, "bandwidth": true}));
    node.define("edge", &conf.with("cniVersion", json!("1.0.0")));
    let asked = json!([{"name": "edge", "portMappings": [{"hostPort": 8080, "containerPort": 80}],
        "bandwidth": {"ingressRate": 1000, "ingressBurst": 2000}}]);
    let sandbox = node.sandbox_with("cart", &[(NETWORKS, &asked.to_string())]);
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    node.ns.delete_definition("edge").unwrap();
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    let calls = manifold_e2e::trace::read(&node.folder("trace")).unwrap();
    let said = |verb: &str| {
        let call = calls.iter().find(|call| call.verb == verb).unwrap();
        call.input("/runtimeConfig").clone()
    };
    assert_eq!(said("ADD")["portMappings"][0]["hostPort"], 8080);
    assert_eq!(said("ADD")["bandwidth"]["ingressRate"], 1000);
    assert_eq!(said("DEL"), said("ADD"));
}
