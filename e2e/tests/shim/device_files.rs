//! Device information files: where a plugin of a chain leaves what it knows of its device, and who reads and removes it.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::node::Node;

const DEVICE: &str =
    r#"{"type":"memif","version":"1.1.0","memif":{"role":"master","path":"/run/a.sock","mode":"ethernet"}}"#;

/// A plugin that makes no interface, and on ADD describes a device in the file that it is handed.
fn install_describing(node: &Node<'_>) {
    let script = format!(
        r#"#!/bin/sh
file=$(sed -n 's/.*"CNIDeviceInfoFile":"\([^"]*\)".*/\1/p')
[ "$CNI_COMMAND" = ADD ] || exit 0
echo '{DEVICE}' > "$file" || exit 1
echo '{{"cniVersion":"1.0.0","interfaces":[{{"name":"'$CNI_IFNAME'","sandbox":"'$CNI_NETNS'"}}]}}'
"#
    );
    crate::wrapper::write(&node.folder("bin").join("describing"), &script);
}

fn files(node: &Node<'_>) -> Vec<PathBuf> {
    let entries = fs::read_dir(node.folder("devinfo").join("cni")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

// Proves: NPWG-DI-4.2-1, NPWG-DI-4.2-3, NPWG-DI-4.2-4, NPWG-DI-5.1-2, NPWG-DI-6.1-1, NPWG-5.3.7-1, MLT-DEL-5
#[test]
fn a_plugin_describes_its_device_and_the_status_tells_it_until_del() {
    let node = Node::new("devices");
    install_describing(&node);
    let conf =
        json!({"cniVersion": "1.0.0", "type": "describing", "capabilities": {"CNIDeviceInfoFile": true}});
    node.define("fast", &conf);
    let _ = fs::remove_dir_all(node.folder("devinfo"));
    let sandbox = node.sandbox("cart", "fast,fast");
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(files(&node).len(), 2, "a file for each attachment");
    let status = node.status("cart").unwrap();
    for entry in &status[1..] {
        let device: serde_json::Value = serde_json::from_str(DEVICE).unwrap();
        assert_eq!(entry["device-info"], device, "{entry}");
    }
    assert!(status[0].get("device-info").is_none(), "the default network has none");
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    assert!(files(&node).is_empty(), "{:?}", files(&node));
}

// Proves: NPWG-DI-4.2-4
#[test]
fn a_failed_add_leaves_no_device_information() {
    let node = Node::new("devices-failed");
    install_describing(&node);
    node.install_fakes(&["failing"]);
    let describing = json!({"type": "describing", "capabilities": {"CNIDeviceInfoFile": true}});
    let failing = json!({"type": "failing", "fake": {"ADD": {"behave": "fail", "code": 150}, "trace": node.folder("trace")}});
    node.define("fast", &json!({"cniVersion": "1.0.0", "plugins": [describing, failing]}));
    let sandbox = node.sandbox("cart", "fast");
    node.runtime().add(&sandbox.pod).unwrap().must_fail_with(150);
    assert!(files(&node).is_empty(), "{:?}", files(&node));
}
