//! Service meshes that add their own plugin: to the default network's file, which Manifold follows, or as a network of its own
//! that pods name by annotation.

use std::fs;

use serde_json::{Value, json};

use crate::networks::With;
use crate::node::Node;

/// A node whose default network is a file of somebody else's, with the mesh's plugin beside it. It hears of every pod, makes
/// nothing, and passes on what was made before it, as Istio's does.
fn node_of_a_mesh(prefix: &str) -> Node<'static> {
    let mut node = Node::new(prefix);
    let script = format!(
        "#!/bin/sh\ntee {0}/istio.$CNI_COMMAND | python3 -c '{1}'\n",
        node.host.folder().display(),
        "import json, sys; conf = json.load(sys.stdin); print(json.dumps(conf.get(\"prevResult\") or {\"cniVersion\": conf[\"cniVersion\"]}))"
    );
    crate::wrapper::write(&node.folder("bin/istio-cni"), &script);
    node.entry.insert("clusterNetwork".into(), json!("k8s-pod-network"));
    node
}

fn write_list(node: &Node<'_>, plugins: &[Value]) {
    let list = json!({"cniVersion": "1.0.0", "name": "k8s-pod-network", "plugins": plugins});
    fs::write(node.folder("conf/10-calico.conflist"), list.to_string()).unwrap();
}

fn heard(node: &Node<'_>, verb: &str) -> Option<Value> {
    let text = fs::read_to_string(node.folder(&format!("istio.{verb}"))).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

// Proves: COMPAT-40
#[test]
fn a_mesh_that_adds_itself_to_the_default_networks_file_hears_of_the_next_pod() {
    let node = node_of_a_mesh("chained");
    let bridge = node.default_network().with("cniVersion", json!("1.0.0"));
    write_list(&node, std::slice::from_ref(&bridge));
    let before = node.sandbox("before", "");
    let runtime = node.runtime();
    runtime.add(&before.pod).unwrap().must_succeed();
    assert_eq!(heard(&node, "ADD"), None);
    // The mesh comes, and writes itself into the file.
    write_list(
        &node,
        &[
            bridge.clone(),
            json!({"type": "istio-cni", "log_level": "info", "kubernetes": {"cni_bin_dir": "/opt"}}),
        ],
    );
    let after = node.sandbox("after", "");
    let result = runtime.add(&after.pod).unwrap().must_succeed();
    let asked = heard(&node, "ADD").unwrap();
    assert_eq!(
        (&asked["kubernetes"]["cni_bin_dir"], &asked["name"]),
        (&json!("/opt"), &json!("k8s-pod-network"))
    );
    assert_eq!(asked["prevResult"]["ips"], result["ips"]);
    // It goes, and takes its plugin out: each pod is taken down as it was attached.
    write_list(&node, &[bridge]);
    runtime.del(&before.pod).unwrap().must_succeed();
    assert_eq!(heard(&node, "DEL"), None);
    runtime.del(&after.pod).unwrap().must_succeed();
    assert_eq!(heard(&node, "DEL").unwrap()["prevResult"]["ips"], result["ips"]);
    assert_eq!((after.links(), node.leases("k8s-pod-network"), node.ledger()), (vec![], vec![], vec![]));
}

// Proves: COMPAT-40
#[test]
fn a_mesh_in_a_file_of_its_own_is_a_network_that_pods_name() {
    let node = node_of_a_mesh("unchained");
    write_list(&node, &[node.default_network().with("cniVersion", json!("1.0.0"))]);
    let own = json!({"cniVersion": "1.0.0", "name": "istio-cni", "type": "istio-cni", "log_level": "info"});
    fs::write(node.folder("conf/YY-istio-cni.conf"), own.to_string()).unwrap();
    node.ns.definition("istio-cni", "").unwrap();
    let plain = node.sandbox("plain", "");
    let meshed = node.sandbox("meshed", "istio-cni");
    let runtime = node.runtime();
    runtime.add(&plain.pod).unwrap().must_succeed();
    assert_eq!(heard(&node, "ADD"), None);
    runtime.add(&meshed.pod).unwrap().must_succeed();
    assert_eq!(heard(&node, "ADD").unwrap()["log_level"], "info");
    assert_eq!(meshed.links(), ["eth0"]);
    for sandbox in [&plain, &meshed] {
        runtime.del(&sandbox.pod).unwrap().must_succeed();
    }
    assert_eq!(node.ledger(), Vec::<String>::new());
}
