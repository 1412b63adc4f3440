//! What a node holds of pods, against the pods that the API server knows there: nothing more, nothing less.

use std::fs;

use manifold_e2e::cluster::{Cluster, Node};
use serde_json::Value;

use crate::bed::{leases, ledger, text};

/// The network that the node agent makes.
const BUILT_IN: &str = "manifold-built-in";
const BRIDGE: &str = "mfd0";

/// Returns when every node holds what its pods have, and nothing of others: entries, addresses, links, namespaces, cached
/// results.
pub(crate) fn wait_nothing_left(cluster: &Cluster) {
    let settled = || {
        let pods = cluster.list("/api/v1/pods")?;
        let wrong: Vec<String> =
            cluster.nodes().iter().flat_map(|node| differences(node, &of_node(&pods, node))).collect();
        anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        Ok(Some(()))
    };
    cluster.wait("nothing to be left of pods that are gone", settled).unwrap();
}

/// The addresses of the pods that have a network of their own.
fn of_node(pods: &[Value], node: &Node) -> Vec<String> {
    // One that has ended, or was never let in, has no sandbox any more, as long as the server may know it.
    let ended = |pod: &Value| matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    let here = pods.iter().filter(|pod| text(pod, "/spec/nodeName") == node.name() && !ended(pod));
    let own = here.filter(|pod| pod.pointer("/spec/hostNetwork") != Some(&Value::Bool(true)));
    let mut addresses: Vec<String> = own.map(|pod| text(pod, "/status/podIP").to_owned()).collect();
    addresses.sort();
    addresses
}

fn differences(node: &Node, pods: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    let given = leases(node, BUILT_IN);
    if given != pods {
        wrong.push(format!("{}: leases {given:?}, pods {pods:?}", node.name()));
    }
    let counts = [
        ("entries", ledger(node).len()),
        ("links on the bridge", ports(node)),
        ("namespaces with `eth0`", namespaces(node)),
        ("results", names(node, "/var/lib/cni/results", "-eth0").len()),
    ];
    let off = counts.iter().filter(|(_, count)| *count != pods.len());
    wrong.extend(off.map(|(what, count)| format!("{}: {count} {what}, {} pods", node.name(), pods.len())));
    wrong
}

fn ports(node: &Node) -> usize {
    // Before the first pod there is no bridge.
    let listed = node.exec(&["ip", "-o", "link", "show", "master", BRIDGE]).unwrap_or_default();
    listed.lines().count()
}

/// A runtime that is killed may leave an empty one.
fn namespaces(node: &Node) -> usize {
    let script = "for ns in $(ls /run/netns); do ip -o -n $ns link show eth0; done 2>/dev/null; true";
    node.exec(&["sh", "-c", script]).unwrap_or_default().lines().count()
}

fn names(node: &Node, folder: &str, end: &str) -> Vec<String> {
    let entries = fs::read_dir(node.path(folder)).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(end)).collect()
}
