//! Who speaks: a client for each identity, by the token or certificate that the real one has.

use std::collections::BTreeMap;

use manifold_e2e::api_client::ApiClient;
use manifold_e2e::api_server::ApiServer;
use serde_json::{Value, json};

use crate::bed::{NODE_A, NODE_B, SYSTEM};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// Of the group `system:masters`, which RBAC never refuses.
    Admin,
    /// Somebody's service account, in the namespace of the pods.
    User,
    /// The shim's token as the node agent mints it, on `node-a`.
    Shim,
    /// The same of `node-b`.
    ShimOfB,
    ShimUnbound,
    /// The shim's token, but bound to a pod on `node-a`, as a kubelet would ask for it.
    ShimOfPod,
    /// The node agent on `node-a`, with the token of its pod.
    Node,
    /// The same on `node-b`.
    NodeOfB,
    NodeUnbound,
    Cluster,
    Kubelet,
    Scheduler,
}

pub(crate) fn all(api: &ApiServer) -> BTreeMap<Who, ApiClient> {
    let bound = |kind: &str, name: &str, path: &str| {
        let uid = api.client().get(path).unwrap().json().unwrap()["metadata"]["uid"].clone();
        json!({"apiVersion": "v1", "kind": kind, "name": name, "uid": uid})
    };
    let node = |name: &str| bound("Node", name, &format!("/api/v1/nodes/{name}"));
    let pod_on = |node: &str, account: &str| {
        let name = own_pod(api, node, account);
        bound("Pod", &name, &format!("{PODS}/{name}"))
    };
    let pod = |account: &str| pod_on(NODE_A, account);
    let with = |account, reference| client(api, SYSTEM, account, reference);
    let certificate = |user: &str, group: Option<&str>| {
        let identity = api.authority().client(&user.replace(':', "-"), user, group).unwrap();
        ApiClient::new(api.port(), None, api.authority(), &identity).unwrap()
    };
    BTreeMap::from([
        (Who::Admin, api.client().clone()),
        (Who::User, client(api, "shop", "user", None)),
        (Who::Shim, with("manifold-shim", Some(node(NODE_A)))),
        (Who::ShimOfB, with("manifold-shim", Some(node(NODE_B)))),
        (Who::ShimUnbound, with("manifold-shim", None)),
        (Who::ShimOfPod, with("manifold-shim", Some(pod("manifold-shim")))),
        (Who::Node, with("manifold-node", Some(pod("manifold-node")))),
        (Who::NodeOfB, with("manifold-node", Some(pod_on(NODE_B, "manifold-node")))),
        (Who::NodeUnbound, with("manifold-node", None)),
        (Who::Cluster, with("manifold-cluster", Some(pod("manifold-cluster")))),
        (Who::Kubelet, certificate(&format!("system:node:{NODE_A}"), Some("system:nodes"))),
        (Who::Scheduler, certificate("system:kube-scheduler", None)),
    ])
}

const PODS: &str = "/api/v1/namespaces/manifold-system/pods";

/// A pod on this node that runs as the account.
fn own_pod(api: &ApiServer, node: &str, account: &str) -> String {
    let name = format!("{account}-{node}");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"nodeName": node, "serviceAccountName": account, "automountServiceAccountToken": false,
            "containers": [{"name": "main", "image": "none"}]},
    });
    api.client().create_if_missing(PODS, &pod).unwrap();
    name
}

pub(crate) fn client(api: &ApiServer, namespace: &str, account: &str, bound: Option<Value>) -> ApiClient {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    let answer = api.client().send("POST", &path, &token_request(3600, bound)).unwrap();
    api.client_with_token(answer["status"]["token"].as_str().unwrap()).unwrap()
}

pub(crate) fn token_request(seconds: u32, bound: Option<Value>) -> Value {
    json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": seconds, "boundObjectRef": bound},
    })
}
