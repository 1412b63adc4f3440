//! Definitions: as they are while pods use them (D), and of bounded size (E).

use serde_json::{Value, json};

use super::{Case, D, E_NETWORKS, I, LIMIT, text, wide_text};
use crate::attempt::{Attempt, IN_USE, PLAIN, Then};
use crate::bed::NETWORKS;
use crate::identity::Who;
use crate::objects::{annotations, new_network};
use crate::patch::{CUSTOM, How};

const RESOURCE: &str = "k8s.v1.cni.cncf.io/resourceName";
const CONFIGURATION: &str = "manifold.network/configuration";

pub(super) fn in_use() -> Vec<Case> {
    let mut cases = Vec::new();
    for how in CUSTOM {
        let configure = || Attempt::network(Who::User, how, json!({"spec": {"config": "{ }"}}));
        let finalize = |who| Attempt::network(who, how, json!({"metadata": {"finalizers": [IN_USE]}}));
        cases.extend([
            Case::new(D, format!("the configuration in use, {how:?}"), configure().in_use(), configure()),
            Case::new(D, format!("the finalizer set, {how:?}"), finalize(Who::User), finalize(Who::Cluster)),
        ]);
    }
    for how in [How::Merge, How::Json, How::Put] {
        let release = |who| Attempt::network(who, how, json!({"metadata": {"finalizers": null}})).in_use();
        cases.push(Case::new(
            D,
            format!("the finalizer removed, {how:?}"),
            release(Who::User),
            release(Who::Cluster),
        ));
    }
    let exchange =
        |who| Attempt::network(who, How::Merge, json!({"metadata": {"finalizers": ["example.com/x"]}}));
    let by = |who| Attempt::network(who, How::Merge, json!({"spec": {"config": "{ }"}}));
    cases.extend([
        Case::new(D, "the finalizer exchanged", exchange(Who::User).in_use(), exchange(Who::User)),
        Case::new(D, "the configuration removed", emptied().in_use(), emptied()),
        Case::new(
            D,
            "the configuration in use, by an administrator",
            by(Who::Admin).in_use(),
            by(Who::Admin),
        ),
        Case::new(
            D,
            "the configuration in use, by the controller",
            by(Who::Cluster).in_use(),
            default_network(),
        )
        .or_by(I)
        .then(Then::Accepted),
    ]);
    for key in [RESOURCE, CONFIGURATION] {
        let set = |value: Value| Attempt::network(Who::User, How::Merge, annotations(json!({key: value})));
        let had = annotations(json!({key: "old"}));
        let plain = Attempt::network(Who::User, How::Merge, annotations(json!({PLAIN: "1"}))).in_use();
        cases.extend([
            Case::new(D, format!("`{key}` set in use"), set(json!("new")).in_use(), plain),
            Case::new(
                D,
                format!("`{key}` changed in use"),
                set(json!("new")).having(had.clone()).in_use(),
                set(json!("new")).having(had.clone()),
            ),
            Case::new(
                D,
                format!("`{key}` removed in use"),
                set(Value::Null).having(had.clone()).in_use(),
                set(Value::Null).having(had),
            ),
        ]);
    }
    cases
}

fn emptied() -> Attempt {
    Attempt::network(Who::User, How::Merge, json!({"spec": {"config": null}}))
}

/// Always in use, and yet the controller keeps it free of words.
fn default_network() -> Attempt {
    let path = "/apis/k8s.cni.cncf.io/v1/namespaces/manifold-system/network-attachment-definitions/cluster-wide-network";
    Attempt::kept(Who::Cluster, How::Merge, path, json!({"spec": {"config": null}}))
}

pub(super) fn sizes() -> Vec<Case> {
    let born = |config: &str| {
        Attempt::path(Who::User, How::Create, NETWORKS, new_network(json!({"generateName": "x-"}), config))
    };
    let grown = |how, config: &str| Attempt::network(Who::User, how, json!({"spec": {"config": config}}));
    let (long, fits) = (text(LIMIT + 1), text(LIMIT));
    let mut cases = vec![
        Case::new(E_NETWORKS, "a network born large", born(&long), born(&fits)).then(Then::Accepted),
        Case::new(
            E_NETWORKS,
            "a network large in bytes only",
            born(&wide_text(LIMIT + 2)),
            born(&wide_text(LIMIT)),
        )
        .then(Then::Accepted),
    ];
    cases.extend(CUSTOM.map(|how| {
        Case::new(E_NETWORKS, format!("a network made large, {how:?}"), grown(how, &long), grown(how, &fits))
    }));
    cases
}
