//! The default network that the node agent makes itself: from the Node's pod CIDRs, before there is any definition.

use std::fs;

use serde_json::{Value, json};

use super::bed::{CONFLIST, Node, define, server};

#[test]
fn the_built_in_network_serves_before_its_definition_is_there() {
    let api = server();
    let config = json!({
        "defaultNetwork": {"source": "builtIn"},
        "builtIn": {"clusterCidrs": ["10.244.0.0/16"]},
    });
    let node = Node::new(&api, "node-built-in", config);
    node.start();
    node.wait("a word why", || {
        node.page("/readyz").is_some_and(|(_, body)| body.contains("no pod CIDR yet"))
    });
    assert!(!node.conf(CONFLIST).exists());
    let cidrs = json!({"spec": {"podCIDR": "10.244.3.0/24", "podCIDRs": ["10.244.3.0/24", "fd00:3::/64"]}});
    api.client().send("PATCH", "/api/v1/nodes/node-built-in", &cidrs).unwrap();
    node.wait("the configuration", || node.conf(CONFLIST).exists());
    let mirror = || -> Value {
        serde_json::from_slice(&fs::read(node.state("cluster-wide-network.json")).unwrap()).unwrap()
    };
    let text = mirror()["spec"]["config"].as_str().unwrap().to_owned();
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        list["plugins"][0]["ipam"]["ranges"],
        json!([[{"subnet": "10.244.3.0/24"}], [{"subnet": "fd00:3::/64"}]])
    );
    assert_eq!(list["plugins"][0]["ipMasqExcept"], json!(["10.244.0.0/16"]));
    define(&api, None);
    node.wait("the definition", || !mirror()["metadata"]["uid"].is_null());
    assert_eq!(mirror()["spec"]["config"], text.as_str());
}
