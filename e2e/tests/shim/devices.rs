//! Device information files go in and out; interface names must be free.

use std::fs;

use serde_json::{Value, json};

use crate::networks::With;
use crate::node::Node;

// Proves: NPWG-DI-4.2-1, NPWG-DI-4.2-3, NPWG-DI-4.2-4, NPWG-DI-5.1-1, NPWG-DI-5.1-2, NPWG-DI-6.1-1, MLT-DEL-5, NPWG-5.3.7-1
#[test]
fn what_a_plugin_writes_about_its_device_is_told_in_the_status_and_removed_on_del() {
    let node = Node::new("devinfo");
    let script = "#!/bin/sh\nconf=$(cat)\n[ $CNI_COMMAND = ADD ] || exit 0\n\
        file=$(printf %s \"$conf\" | sed -n 's/.*\"CNIDeviceInfoFile\":\"\\([^\"]*\\)\".*/\\1/p')\n\
        printf '{\"type\":\"pci\",\"version\":\"1.1.0\",\"pci\":{\"pci-address\":\"0000:03:02.%s\"}}' ${CNI_IFNAME#net} > \"$file\"\n\
        echo '{\"cniVersion\":\"1.0.0\"}'\n";
    crate::wrapper::write(&node.folder("bin/nic"), script);
    let capable = json!({"cniVersion": "1.0.0", "type": "nic", "capabilities": {"CNIDeviceInfoFile": true}});
    node.define("nic", &capable);
    node.define("plain", &node.bridge("mf-storage", &["10.50.0.0/24"]));
    let sandbox = node.sandbox("cart", "nic,plain,nic");
    assert!(!node.folder("devinfo").exists(), "the folder is made when it is needed");
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let files: Vec<_> = fs::read_dir(node.folder("devinfo/cni")).unwrap().collect();
    assert_eq!(files.len(), 2, "one file for each attachment with the capability: {files:?}");
    let status = node.status("cart").unwrap();
    let address = |n: usize| status[n].pointer("/device-info/pci/pci-address").cloned().unwrap_or_default();
    assert_eq!(
        [address(1), address(2), address(3)],
        [json!("0000:03:02.1"), Value::Null, json!("0000:03:02.3")]
    );
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(fs::read_dir(node.folder("devinfo/cni")).unwrap().count(), 0);
}

// Proves: MLT-EXE-3, P-COR-8
#[test]
fn an_interface_that_is_in_the_pod_already_is_told_before_anything_is_made_and_left_alone() {
    let node = Node::new("taken");
    node.define("storage", &node.bridge("mf-storage", &["10.50.0.0/24"]));
    for (name, networks) in [("net1", "storage"), ("data0", "storage@data0"), ("eth0", "")] {
        let sandbox = node.sandbox(&format!("pod-{name}"), networks);
        sandbox.netns.exec(&["ip", "link", "add", name, "type", "bridge"]).unwrap();
        let oracle = node.oracle(&[&sandbox.netns]);
        let before = oracle.snapshot().unwrap();
        let text = node.runtime().add(&sandbox.pod).unwrap().must_fail_with(7);
        assert!(
            text.contains(&format!("is to be interface `{name}`, and the pod has one of that name already")),
            "{text}"
        );
        node.assert_clean(&oracle, &before);
        node.runtime().del(&sandbox.pod).unwrap().must_succeed();
        assert_eq!(sandbox.links(), [name], "DEL of what was refused does not take what was there");
    }
}

// Proves: NPWG-4.1.2.1.3-2, NPWG-4.1.2.1.4-2
#[test]
fn addresses_and_a_mac_that_the_pod_asks_for_are_on_the_interface() {
    let node = Node::new("asked");
    let ipam = json!({"type": "static"});
    node.define("wire", &node.macvlan(&[]).with("ipam", ipam));
    let asked = json!([{"name": "wire", "interface": "data0", "mac": "02:00:00:00:00:77",
        "ips": ["10.60.0.77/24", "fd00:60::77/64"]}]);
    let sandbox = node.sandbox("cart", &asked.to_string());
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(crate::kernel::addresses(&sandbox.netns, "data0"), ["10.60.0.77", "fd00:60::77"]);
    assert_eq!(crate::kernel::mac(&sandbox.netns, "data0"), "02:00:00:00:00:77");
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
}
