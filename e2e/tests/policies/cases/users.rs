//! Everybody but the shim: no status and no key of ours (B), no other selection once there is a node (C1), sizes (E).

use serde_json::{Map, Value, json};

use super::{B, C1, Case, E_PODS, LIMIT, text, wide_text};
use crate::attempt::{Attempt, DEFAULT, PLAIN, SELECTION, STATUS, Then};
use crate::bed::{NODE_A, PODS};
use crate::identity::Who;
use crate::objects::{annotations, new_pod};
use crate::patch::{How, WAYS};

fn create(who: Who, map: Value) -> Attempt {
    Attempt::path(who, How::Create, PODS, new_pod(json!({"generateName": "x-", "annotations": map}), None))
}

fn plain(how: How) -> Attempt {
    Attempt::pod(Who::User, how, annotations(json!({PLAIN: "1"})))
}

pub(super) fn status() -> Vec<Case> {
    let forged = json!({STATUS: "[]"});
    let mut cases = Vec::new();
    for how in WAYS {
        let forge = || Attempt::pod(Who::User, how, annotations(forged.clone()));
        let attached = || plain(how).attached();
        let other = Attempt::pod(Who::User, how, annotations(json!({STATUS: "[{}]"}))).attached();
        cases.extend([
            Case::new(B, format!("a status set, {how:?}"), forge(), plain(how)),
            Case::new(
                B,
                format!("a status set at the subresource, {how:?}"),
                forge().status(),
                plain(how).status(),
            ),
            Case::new(B, format!("a status changed, {how:?}"), other, attached()),
        ]);
        if how != How::Apply {
            let gone = Attempt::pod(Who::User, how, annotations(json!({STATUS: null}))).attached();
            cases.push(Case::new(B, format!("a status removed, {how:?}"), gone, attached()));
        }
    }
    for who in [Who::User, Who::Admin, Who::Cluster, Who::Node] {
        let name = format!("a pod born with a status, by {who:?}");
        let born = create(who, forged.clone());
        cases.push(Case::new(B, name, born, create(who, json!({PLAIN: "1"}))).then(Then::Accepted));
    }
    for who in [Who::Admin, Who::Cluster, Who::Node, Who::Kubelet] {
        let forge = Attempt::pod(who, How::Merge, annotations(forged.clone())).status();
        let twin = Attempt::pod(who, How::Merge, annotations(json!({PLAIN: "1"}))).status();
        cases.push(Case::new(B, format!("a status set by {who:?}"), forge, twin));
    }
    cases.push(
        Case::new(B, "a static pod's mirror born with a status", mirror(STATUS), mirror(PLAIN))
            .then(Then::Accepted),
    );
    cases
}

/// As a kubelet makes it of a file on its node.
fn mirror(key: &str) -> Attempt {
    let metadata = json!({
        "name": "mirror-$NAME",
        "annotations": {key: "[]", "kubernetes.io/config.mirror": "hash", "kubernetes.io/config.source": "file"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": NODE_A, "uid": "$NODE", "controller": true}],
    });
    Attempt::path(Who::Kubelet, How::Create, PODS, new_pod(metadata, Some(NODE_A)))
}

pub(super) fn own_keys() -> Vec<Case> {
    let own = json!({"manifold.network/anything": "1"});
    let mut cases: Vec<Case> = WAYS
        .map(|how| {
            let set = Attempt::pod(Who::User, how, annotations(own.clone()));
            Case::new(B, format!("a key of ours, {how:?}"), set, plain(how))
        })
        .into();
    let many = |count: usize| {
        let map = (0..count).map(|n| (format!("example.com/{n}"), Value::from("")));
        create(Who::User, Value::Object(map.collect::<Map<_, _>>()))
    };
    let near = create(Who::User, json!({"manifold.network.example.com/x": "1"}));
    cases.extend([
        Case::new(B, "a pod born with a key of ours", create(Who::User, own), near).then(Then::Accepted),
        Case::new(B, "too many annotations", many(1025), many(1024)).then(Then::Accepted),
    ]);
    cases
}

pub(super) fn selection() -> Vec<Case> {
    let mut cases = Vec::new();
    for how in WAYS {
        for (key, name) in [(SELECTION, "selection"), (DEFAULT, "default network")] {
            let change = || Attempt::pod(Who::User, how, annotations(json!({key: "left"})));
            cases.push(Case::new(
                C1,
                format!("the {name} of a bound pod, {how:?}"),
                change(),
                change().unbound(),
            ));
        }
        if how != How::Apply {
            let gone = || Attempt::pod(Who::User, how, annotations(json!({SELECTION: null})));
            cases.push(Case::new(C1, format!("the selection removed, {how:?}"), gone(), gone().unbound()));
        }
    }
    let all_gone = || Attempt::pod(Who::User, How::Merge, json!({"metadata": {"annotations": null}}));
    cases.push(Case::new(C1, "all annotations of a bound pod removed", all_gone(), all_gone().unbound()));
    for who in [Who::Admin, Who::Cluster, Who::Node, Who::Kubelet] {
        let change = |key: &str| Attempt::pod(who, How::Merge, annotations(json!({key: "left"}))).status();
        cases.push(Case::new(
            C1,
            format!("the selection at the subresource, by {who:?}"),
            change(SELECTION),
            change(PLAIN),
        ));
    }
    cases
}

pub(super) fn sizes() -> Vec<Case> {
    let change =
        |value: String| Attempt::pod(Who::User, How::Merge, annotations(json!({SELECTION: value}))).unbound();
    let born = |value: String| create(Who::User, json!({SELECTION: value}));
    let (long, fits) = (text(LIMIT + 1), text(LIMIT));
    vec![
        Case::new(E_PODS, "a pod born with a long selection", born(long.clone()), born(fits.clone()))
            .then(Then::Accepted),
        Case::new(
            E_PODS,
            "a selection long in bytes only",
            born(wide_text(LIMIT + 2)),
            born(wide_text(LIMIT)),
        )
        .then(Then::Accepted),
        Case::new(E_PODS, "a selection made long", change(long.clone()), change(fits.clone())),
        Case::new(
            E_PODS,
            "a selection made long at the subresource",
            change(long).status(),
            change(fits).status(),
        ),
    ]
}
