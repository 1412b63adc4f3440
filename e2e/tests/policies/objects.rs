//! The objects that attempts are about, as they are made anew.

use serde_json::{Value, json};

use crate::attempt::{IN_USE, PLAIN, SELECTION};
use crate::bed::{Bed, NETWORKS, PODS};
use crate::identity::Who;
use crate::patch::merged;

pub(crate) fn annotations(map: Value) -> Value {
    json!({"metadata": {"annotations": map}})
}

pub(crate) const BLOCKS: &str = "/apis/ipam.manifold.network/v1alpha1/addressblocks";
const CLAIMS: &str = "/apis/k8s.cni.cncf.io/v1alpha1/namespaces/shop/ipamclaims";

/// An AddressBlock that nobody has used, as Manifold writes one: with a label for each node that has a part in it.
pub(crate) fn new_block(bed: &Bed, spec: &Value) -> Value {
    let n: u32 = bed.fresh("n").trim_start_matches("n-").parse().unwrap();
    let start = std::net::Ipv4Addr::from_bits(0x0a00_0000 | (n << 4)).to_string();
    let mut spec = with_uids(bed, spec);
    spec["domain"] = "default".into();
    spec["start"] = start.as_str().into();
    let text = spec.to_string();
    let mut labels = json!({"ipam.manifold.network/domain": "default"});
    for uid in [&bed.node_uid, &bed.other_node_uid].into_iter().filter(|uid| text.contains(uid.as_str())) {
        labels[format!("held-by.ipam.manifold.network/{uid}")] = "".into();
    }
    json!({
        "apiVersion": "ipam.manifold.network/v1alpha1", "kind": "AddressBlock",
        "metadata": {"name": format!("default.{}", start.replace('.', "-")), "labels": labels}, "spec": spec,
    })
}

/// `$A` and `$B` as the UIDs of the nodes.
pub(crate) fn with_uids(bed: &Bed, value: &Value) -> Value {
    let text = value.to_string().replace("$A", &bed.node_uid).replace("$B", &bed.other_node_uid);
    serde_json::from_str(&text).unwrap()
}

/// An IPAMClaim with this status: its path, and how it is stored.
pub(crate) fn claim(bed: &Bed, status: &Value) -> (String, Value) {
    let fresh = json!({"apiVersion": "k8s.cni.cncf.io/v1alpha1", "kind": "IPAMClaim",
        "metadata": {"name": bed.fresh("claim"), "finalizers": ["example.com/stay"]}, "spec": {"network": "right", "interface": "net1"}});
    let mut made = bed.must(Who::Admin, "POST", CLAIMS, "application/json", &fresh);
    let path = format!("{CLAIMS}/{}", made["metadata"]["name"].as_str().unwrap());
    if !status.is_null() {
        made["status"] = status.clone();
        made = bed.must(Who::Admin, "PUT", &format!("{path}/status"), "application/json", &made);
    }
    (path, made)
}

/// A pod that asks for the network `right`, and its name.
pub(crate) fn pod(bed: &Bed, node: Option<&str>, more: &Value) -> String {
    let name = bed.fresh("pod");
    let fresh = new_pod(json!({"name": name, "annotations": {PLAIN: "0", SELECTION: "right"}}), node);
    bed.must(Who::Admin, "POST", PODS, "application/json", &merged(&fresh, more));
    name
}

pub(crate) fn new_pod(metadata: Value, node: Option<&str>) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {
            "nodeName": node, "automountServiceAccountToken": false,
            "containers": [{
                "name": "main", "image": "none", "resources": {"requests": {"cpu": "10m"}, "limits": {"cpu": "20m"}},
            }],
        },
    })
}

pub(crate) fn network(bed: &Bed, in_use: bool, more: &Value) -> String {
    let name = bed.fresh("network");
    let finalizers = if in_use { vec![IN_USE] } else { vec![] };
    let fresh =
        new_network(json!({"name": name, "finalizers": finalizers, "annotations": {PLAIN: "0"}}), "{}");
    bed.must(Who::Admin, "POST", NETWORKS, "application/json", &merged(&fresh, more));
    name
}

pub(crate) fn new_network(metadata: Value, config: &str) -> Value {
    json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition", "metadata": metadata,
        "spec": {"config": config},
    })
}
