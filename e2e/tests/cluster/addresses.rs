//! Addresses that are unique in the cluster: one macvlan definition for all nodes, and the pool that Manifold makes of its range.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::bed::{Space, text};

const PODS_PER_NODE: usize = 4;
const POOLS: &str = "/apis/ipam.manifold.network/v1alpha1/addresspools";

/// The pool's counts of used addresses and of nodes, once they are these.
fn wait_counts(space: &Space, pool: &str, used: u64, least_nodes: u64) {
    let told = || {
        let found = space.cluster.get(&format!("{POOLS}/{pool}"))?.unwrap_or_default();
        let count = |key: &str| found.pointer(&format!("/status/{key}")).and_then(Value::as_u64);
        let is_so = count("used") == Some(used) && count("nodes") >= Some(least_nodes);
        anyhow::ensure!(is_so, "it says {}", found.get("status").unwrap_or(&Value::Null));
        Ok(Some(()))
    };
    space.cluster.wait(&format!("pool `{pool}` to count {used} addresses in use"), told).unwrap();
}

// Shows part of: IPAM-27, IPAM-37
#[test]
fn pods_of_one_definition_on_both_nodes_have_different_addresses_and_the_pool_counts_them() {
    let space = Space::new("addresses");
    let (definition, pool) = ("left", format!("{}.left", space.name));
    let ipam =
        json!({"type": "cluster-local", "domain": space.name, "ranges": [[{"subnet": "10.61.0.0/24"}]]});
    let config =
        json!({"cniVersion": "1.0.0", "name": "left", "type": "macvlan", "master": "eth0", "ipam": ipam});
    space.definition(definition, &config);
    let nodes = space.cluster.nodes();
    let name = |node: usize, pod: usize| format!("pod-{node}-{pod}");
    let names: Vec<String> =
        (0..nodes.len()).flat_map(|node| (0..PODS_PER_NODE).map(move |pod| name(node, pod))).collect();
    for (pod, name) in names.iter().enumerate() {
        space.pod(name, &nodes[pod / PODS_PER_NODE], definition);
    }
    names.iter().for_each(|name| drop(space.wait_ready(name)));
    let address = |name: &String| text(&space.status(name)[1], "/ips/0").to_owned();
    let addresses: Vec<String> = names.iter().map(address).collect();
    let different: BTreeSet<&String> = addresses.iter().collect();
    assert_eq!(different.len(), names.len(), "{addresses:?}");
    for address in &addresses {
        space.wait_reached(&names[0], address);
    }
    wait_counts(&space, &pool, names.len() as u64, nodes.len() as u64);
    let table = space.cluster.kubectl(&["get", "addresspools", &pool]).unwrap();
    assert!(table.starts_with("NAME") && table.contains("USED") && table.contains("10.61.0.0/24"), "{table}");

    names.iter().for_each(|name| space.ask_to_delete(name));
    names.iter().for_each(|name| space.wait_gone(name));
    wait_counts(&space, &pool, 0, 0);
    let path = format!(
        "/apis/k8s.cni.cncf.io/v1/namespaces/{}/network-attachment-definitions/{definition}",
        space.name
    );
    space.cluster.client().call("DELETE", &path, "application/json", b"").unwrap();
    let gone = || Ok(space.cluster.get(&format!("{POOLS}/{pool}"))?.is_none().then_some(()));
    space.cluster.wait("the pool to go with its definition", gone).unwrap();
}
