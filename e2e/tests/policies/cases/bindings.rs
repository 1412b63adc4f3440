//! Bindings, whose annotations become the pod's (C2), in both their forms.

use serde_json::{Value, json};

use super::{B, C2, Case};
use crate::attempt::{Attempt, DEFAULT, PLAIN, SELECTION, STATUS, Then};
use crate::bed::NODE_A;
use crate::identity::Who;
use crate::patch::How;

pub(super) fn all() -> Vec<Case> {
    let keys = [SELECTION, DEFAULT, STATUS, "k8s.v1.cni.cncf.io/other", "manifold.network/anything"];
    let new = |key: &&'static str| case("pods/$NAME/binding", key, Who::User);
    let old = |key: &&'static str| case("bindings", key, Who::User);
    let mut cases: Vec<Case> = keys.iter().map(new).chain(keys.iter().map(old)).collect();
    cases.push(case("pods/$NAME/binding", SELECTION, Who::Scheduler));
    cases.push(case("pods/$NAME/binding", SELECTION, Who::Admin));
    cases
}

fn case(form: &str, key: &str, who: Who) -> Case {
    let path = format!("/api/v1/namespaces/shop/{form}");
    let bind = |key: &str| Attempt::path(who, How::Create, &path, binding(key));
    let name = format!("`{key}` by way of {form}, by {who:?}");
    // The policy on pods sees the new form too.
    Case::new(C2, name, bind(key), bind(PLAIN))
        .or_by_if(key != SELECTION && key != DEFAULT, B)
        .then(Then::Accepted)
}

fn binding(key: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": "$NAME", "annotations": {key: "left"}},
        "target": {"apiVersion": "v1", "kind": "Node", "name": NODE_A},
    })
}

impl Case {
    fn or_by_if(self, also: bool, other: &'static str) -> Self {
        if also { self.or_by(other) } else { self }
    }
}
