//! Tokens that the node agent may ask for (F), and Secrets that the controller may create (G).

use serde_json::{Value, json};

use super::{Case, F, G};
use crate::attempt::{Attempt, Then};
use crate::bed::{NODE_A, NODE_B};
use crate::identity::{Who, token_request};
use crate::patch::How;

/// The UID may be left out: the server fills in that of the object that has the name.
fn bound_to(kind: &str, name: &str) -> Option<Value> {
    Some(json!({"apiVersion": "v1", "kind": kind, "name": name}))
}

fn ask(who: Who, namespace: &str, account: &str, request: Value) -> Attempt {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    Attempt::path(who, How::Create, &path, request)
}

pub(super) fn node_role() -> Vec<Case> {
    let shim = |who, request| ask(who, "manifold-system", "manifold-shim", request);
    let own = || token_request(86_400, bound_to("Node", NODE_A));
    let denied = |name: &str, denied: Attempt| Case::new(F, name, denied, shim(Who::Node, own()));
    let cases = [
        denied(
            "the node agent asks for a token of another node",
            shim(Who::Node, token_request(3600, bound_to("Node", NODE_B))),
        ),
        denied(
            "the node agent asks for a token bound to nothing",
            shim(Who::Node, token_request(3600, None)),
        ),
        denied(
            "a token bound to a pod",
            shim(Who::Node, token_request(3600, bound_to("Pod", "manifold-shim-node-a"))),
        ),
        denied(
            "the node agent asks for a token of the node agent itself",
            ask(Who::Node, "manifold-system", "manifold-node", own()),
        ),
        denied(
            "the node agent asks for a token of the controller",
            ask(Who::Node, "manifold-system", "manifold-cluster", own()),
        ),
        denied(
            "the node agent asks for a token of somebody's account",
            ask(Who::Node, "shop", "user", own()),
        ),
        denied(
            "the node agent asks for a token of the same name elsewhere",
            ask(Who::Node, "other", "manifold-shim", own()),
        ),
        denied(
            "a token of more than a day",
            shim(Who::Node, token_request(86_401, bound_to("Node", NODE_A))),
        ),
        denied(
            "the node agent asks for a token asked for without a pod on the node",
            shim(Who::NodeUnbound, own()),
        ),
    ];
    let by_others = Case::new(
        F,
        "a token of another node, by whom it is not about",
        shim(Who::Node, token_request(3600, bound_to("Node", NODE_B))),
        shim(Who::Admin, token_request(3600, bound_to("Node", NODE_B))),
    );
    cases.into_iter().chain([by_others]).map(|case| case.then(Then::Accepted)).collect()
}

pub(super) fn secrets() -> Vec<Case> {
    let create = |who, metadata: Value, kind: &str| {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind,
            "data": {"tls.crt": "", "tls.key": "", "username": "", "password": ""}});
        Attempt::path(who, How::Create, "/api/v1/namespaces/manifold-system/secrets?dryRun=All", secret)
    };
    let own = || json!({"name": "manifold-webhook"});
    let token = "kubernetes.io/service-account-token";
    let of = |account: &str| json!({"name": "manifold-webhook", "annotations": {"kubernetes.io/service-account.name": account}});
    [
        (json!({"name": "other"}), "Opaque"),
        (json!({"generateName": "manifold-webhook"}), "Opaque"),
        (of("manifold-shim"), token),
        (of("manifold-cluster"), token),
        (own(), "kubernetes.io/basic-auth"),
    ]
    .into_iter()
    .map(|(metadata, kind)| {
        let twin = create(Who::Cluster, own(), "kubernetes.io/tls");
        let name = format!("the controller's Secret {metadata} of type `{kind}`");
        Case::new(G, name, create(Who::Cluster, metadata, kind), twin).then(Then::Accepted)
    })
    .collect()
}
