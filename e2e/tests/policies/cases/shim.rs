//! The shim's identity: one annotation, of the pods of its own node (A1), and no other write at all (A2).

use serde_json::{Value, json};

use super::{A1, A2, C1, Case, LIMIT, text, wide_text};
use crate::attempt::{Attempt, DEFAULT, PLAIN, SELECTION, STATUS, Then};
use crate::bed::{NETWORKS, PODS};
use crate::identity::{Who, token_request};
use crate::objects::{annotations, new_network, new_pod};
use crate::patch::{How, WAYS};

fn publish(how: How) -> Attempt {
    Attempt::pod(Who::Shim, how, annotations(json!({STATUS: "[{}]"}))).status()
}

/// Which pod, with which token, and how much.
pub(super) fn status() -> Vec<Case> {
    let mut cases: Vec<Case> = WAYS
        .map(|how| {
            Case::new(A1, format!("status of another node's pod, {how:?}"), publish(how).on_b(), publish(how))
        })
        .into();
    let merge = || publish(How::Merge);
    let withdraw =
        || Attempt::pod(Who::Shim, How::Merge, annotations(json!({STATUS: null}))).status().attached();
    let sized =
        |value: String| Attempt::pod(Who::Shim, How::Merge, annotations(json!({STATUS: value}))).status();
    cases.extend([
        Case::new(A1, "another node's token", merge().by(Who::ShimOfB), merge().by(Who::ShimOfB).on_b()),
        Case::new(A1, "status of a pod without a node", merge().unbound(), merge()),
        Case::new(A1, "a token bound to nothing", merge().by(Who::ShimUnbound), merge()),
        Case::new(A1, "a token bound to a pod of the node", merge().by(Who::ShimOfPod), merge()),
        Case::new(A1, "status taken away on another node", withdraw().by(Who::ShimOfB), withdraw()),
        Case::new(A1, "status too long", sized(text(LIMIT + 1)), sized(text(LIMIT))),
        Case::new(A1, "status too long in bytes only", sized(wide_text(LIMIT + 2)), sized(wide_text(LIMIT))),
    ]);
    cases
}

/// What else of a pod the identity might reach for.
pub(super) fn other_parts() -> Vec<Case> {
    let at_status = |change: Value| Attempt::pod(Who::Shim, How::Merge, change).status();
    let refused = |name: &str, change: Value| {
        let twin = at_status(annotations(json!({STATUS: "[]"})));
        Case::new(A1, name, at_status(change), twin)
    };
    let by_user = |name: &str, below: &'static str, how: How, change: Value| {
        let attempt = |who| Attempt::pod(who, how, change.clone()).at(below);
        Case::new(A1, name, attempt(Who::Shim), attempt(Who::User)).or_by(A2).then(Then::Accepted)
    };
    let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "x"}]);
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "none"}]}});
    let resize =
        json!({"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "15m"}}}]}});
    let mut cases = vec![
        refused("another annotation", annotations(json!({"example.com/new": "1"}))),
        refused(
            "another annotation beside the status",
            annotations(json!({STATUS: "[]", "example.com/new": "1"})),
        ),
        refused("an annotation changed", annotations(json!({PLAIN: "1"}))),
        refused("an annotation removed", annotations(json!({PLAIN: null}))),
        refused("all annotations removed", json!({"metadata": {"annotations": null}})).or_by(C1),
        refused("the selection", annotations(json!({SELECTION: "left"}))).or_by(C1),
        refused("the default network", annotations(json!({DEFAULT: "left"}))).or_by(C1),
        refused("labels", json!({"metadata": {"labels": {"app": "x"}}})),
        refused("finalizers", json!({"metadata": {"finalizers": ["example.com/stay"]}})),
        refused("the phase", json!({"status": {"phase": "Failed"}})),
        refused(
            "the pod's addresses",
            json!({"status": {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}}),
        ),
        refused("conditions", json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})),
        by_user("the pod itself", "", How::Merge, annotations(json!({PLAIN: "1"}))),
        by_user("the owners", "", How::Merge, json!({"metadata": {"ownerReferences": owner}})),
        by_user("the labels", "", How::Merge, json!({"metadata": {"labels": {"app": "x"}}})),
        by_user("the finalizers", "", How::Merge, json!({"metadata": {"finalizers": ["example.com/stay"]}})),
        by_user("the specification", "", How::Merge, json!({"spec": {"activeDeadlineSeconds": 9}})),
        by_user("an ephemeral container", "/ephemeralcontainers", How::Strategic, debug),
        by_user("the resources", "/resize", How::Strategic, resize),
    ];
    for how in WAYS {
        let pod = Attempt::pod(Who::Shim, how, annotations(json!({STATUS: "[]"})));
        cases.push(
            Case::new(A1, format!("the status by way of the pod, {how:?}"), pod.clone(), pod.status())
                .or_by(A2),
        );
    }
    cases
}

/// RBAC grants it everything here, as by mistake.
pub(super) fn other_objects() -> Vec<Case> {
    let namespace = "/api/v1/namespaces/shop";
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let named = |version: &str, kind: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"generateName": "x-"}});
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"generateName": "x-"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "reason": "X", "action": "X", "type": "Normal",
        "reportingController": "x", "reportingInstance": "x", "note": "x", "regarding": {"namespace": "shop"},
    });
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"generateName": "x-"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
    });
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "$NAME"}, "dryRun": ["All"]});
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "$NAME"},
        "target": {"kind": "Node", "name": "node-a"}});
    let pod = "/api/v1/namespaces/shop/pods/$NAME";
    let paths: [(&str, How, String, Value, Then); 17] = [
        (
            "a ConfigMap",
            How::Create,
            format!("{namespace}/configmaps"),
            named("v1", "ConfigMap"),
            Then::Accepted,
        ),
        ("a Secret", How::Create, format!("{namespace}/secrets"), named("v1", "Secret"), Then::Accepted),
        (
            "an account",
            How::Create,
            format!("{namespace}/serviceaccounts"),
            named("v1", "ServiceAccount"),
            Then::Accepted,
        ),
        (
            "a namespace",
            How::Create,
            "/api/v1/namespaces?dryRun=All".into(),
            named("v1", "Namespace"),
            Then::Accepted,
        ),
        ("a pod", How::Create, PODS.into(), new_pod(json!({"generateName": "x-"}), None), Then::Accepted),
        (
            "a network",
            How::Create,
            NETWORKS.into(),
            new_network(json!({"generateName": "x-"}), "{}"),
            Then::Accepted,
        ),
        (
            "a token",
            How::Create,
            format!("{namespace}/serviceaccounts/user/token"),
            token_request(600, None),
            Then::Accepted,
        ),
        (
            "an event",
            How::Create,
            "/apis/events.k8s.io/v1/namespaces/shop/events".into(),
            event,
            Then::Accepted,
        ),
        (
            "a Lease",
            How::Create,
            "/apis/coordination.k8s.io/v1/namespaces/shop/leases".into(),
            named("coordination.k8s.io/v1", "Lease"),
            Then::Accepted,
        ),
        (
            "a role",
            How::Create,
            format!("{rbac}/clusterroles"),
            named("rbac.authorization.k8s.io/v1", "ClusterRole"),
            Then::Accepted,
        ),
        ("a role's binding", How::Create, format!("{rbac}/clusterrolebindings"), role, Then::Accepted),
        ("an eviction", How::Create, format!("{pod}/eviction"), eviction, Then::Accepted),
        ("a Binding", How::Create, format!("{pod}/binding"), binding, Then::Accepted),
        (
            "a command in a pod",
            How::Create,
            format!("{pod}/exec?command=id&stdout=true"),
            Value::Null,
            Then::Passed,
        ),
        ("deletion of a pod", How::Delete, pod.into(), Value::Null, Then::Accepted),
        (
            "a Node",
            How::Merge,
            "/api/v1/nodes/node-a".into(),
            json!({"metadata": {"labels": {"x": "y"}}}),
            Then::Accepted,
        ),
        (
            "a Node's status",
            How::Merge,
            "/api/v1/nodes/node-a/status".into(),
            json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}),
            Then::Accepted,
        ),
    ];
    let case = |(name, how, path, body, then): (&str, How, String, Value, Then)| {
        let attempt = |who| Attempt::path(who, how, &path, body.clone());
        Case::new(A2, format!("the shim's write of {name}"), attempt(Who::Shim), attempt(Who::User))
            .then(then)
    };
    let mut cases: Vec<Case> = paths.map(case).into();
    let network = |who| Attempt::network(who, How::Merge, json!({"metadata": {"labels": {"app": "x"}}}));
    cases.push(Case::new(A2, "the shim's change of a network", network(Who::Shim), network(Who::User)));
    cases
}
