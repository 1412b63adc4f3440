//! Reviews of definitions: the configuration is one that pods can use, and stays while they do.

use std::collections::BTreeMap;

use manifold_crds::nad_status::CONFIGURATION;
use manifold_crds::{Nad, NadStatus, keys};
use manifold_plan::{Policy, check_config};
use serde::Deserialize;
use serde_json::Value;

use super::review::{Operation, Question, Verdict};
use super::use_of::pods_in_the_way;
use crate::config::Config;

/// Who takes definitions away because something else went, so that the finalizer is what keeps them (F-CTL-6).
const COLLECTORS: [&str; 3] = [
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:kube-system:generic-garbage-collector",
    // Where the controllers share one identity.
    "system:kube-controller-manager",
];

/// The account of the controller, in the controller's namespace.
const ACCOUNT: &str = "manifold-cluster";

/// A definition as the API server sends it: with whatever somebody put into it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    metadata: Metadata,
    spec: Value,
    status: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    namespace: String,
    name: String,
    annotations: Option<BTreeMap<String, String>>,
    finalizers: Option<Vec<String>>,
    deletion_timestamp: Option<String>,
}

impl Sent {
    fn annotation(&self, key: &str) -> Option<&String> {
        self.metadata.annotations.as_ref()?.get(key)
    }

    /// What a pod's interfaces come of. Labels and the like are free.
    fn says_the_same_as(&self, other: &Self) -> bool {
        let config = |sent: &Self| sent.spec.get("config").filter(|c| !c.is_null()).cloned();
        config(self) == config(other)
            && [keys::RESOURCE_NAME, CONFIGURATION].iter().all(|k| self.annotation(k) == other.annotation(k))
    }

    /// The request has no name where all of a namespace are deleted at once.
    fn reference(&self) -> String {
        format!("{}/{}", self.metadata.namespace, self.metadata.name)
    }

    fn pods_in_the_way(&self) -> Option<String> {
        let status: NadStatus = serde_json::from_value(self.status.clone()).unwrap_or_default();
        pods_in_the_way(self.metadata.finalizers.as_deref().unwrap_or_default(), &status)
    }
}

/// The verdict on one request.
pub(super) fn review(question: &Question, config: &Config, policy: &Policy) -> Verdict {
    let old: Sent = match question.old_object() {
        Ok(old) => old.unwrap_or_default(),
        Err(error) => return unreadable(&error),
    };
    match question.operation {
        Operation::Create => check(question, policy),
        Operation::Update => match question.object::<Sent>() {
            Ok(Some(new)) if new.says_the_same_as(&old) => Verdict::allow(),
            Ok(_) => match old.pods_in_the_way().filter(|_| !is_our_own(question, config)) {
                Some(pods) => changed_in_use(&old, &pods),
                None => check(question, policy),
            },
            Err(error) => unreadable(&error),
        },
        Operation::Delete => delete(question, &old),
        Operation::Connect => Verdict::allow(),
    }
}

/// The very check that the nodes plan with (P-USE-2).
fn check(question: &Question, policy: &Policy) -> Verdict {
    let nad: Nad = match question.object() {
        Ok(Some(nad)) => nad,
        Ok(None) => return Verdict::allow(),
        Err(error) => return unreadable(&error),
    };
    match check_config::check(&nad, policy) {
        Ok(checked) => {
            let dropped = nad.config.is_none().then(|| without_config(question, &nad)).flatten();
            Verdict::warn(dropped.into_iter().chain(checked.notes).collect())
        }
        // The first slip is the refusal; the others are told with it, so that they are mended in one go.
        Err(refusal) => Verdict {
            refusal: Some(refusal.to_string()),
            warnings: check_config::examine(&nad, policy)
                .findings
                .iter()
                .skip(1)
                .map(ToString::to_string)
                .collect(),
        },
    }
}

/// The API server drops keys that it does not know, such as `Config`, before anybody is asked. What is left of such a
/// definition is an empty `spec`, which means a configuration on the nodes.
fn without_config(question: &Question, nad: &Nad) -> Option<String> {
    let sent: Sent = question.object().ok()??;
    let meant = sent.spec.is_object() && sent.annotation(CONFIGURATION).is_none();
    meant.then(|| {
        format!(
            "the definition has no `spec.config`, so each node uses its own configuration named `{}`; if the key was misspelled, write `config`, because the API server drops unknown keys",
            nad.reference.name
        )
    })
}

fn delete(question: &Question, old: &Sent) -> Verdict {
    let by_collector = COLLECTORS.contains(&question.user_info.username.as_str());
    match old.pods_in_the_way() {
        None => Verdict::allow(),
        Some(_) if by_collector => Verdict::allow(),
        // It is on its way; to ask once more changes nothing.
        Some(pods) if old.metadata.deletion_timestamp.is_some() => Verdict::warn(vec![format!(
            "network `{}` is deleted when its last pod is gone; {pods}",
            old.reference()
        )]),
        Some(pods) => Verdict::refuse(format!(
            "network `{}` cannot be deleted while pods use it; {pods}; delete these pods first, or move them to another network",
            old.reference()
        )),
    }
}

fn changed_in_use(old: &Sent, pods: &str) -> Verdict {
    Verdict::refuse(format!(
        "network `{}` cannot change while pods use it; {pods}; create a definition with a new name and move the pods to it, or delete \
         these pods first",
        old.reference()
    ))
}

/// The definition of the default network follows the controller's configuration; every pod uses it, always.
fn is_our_own(question: &Question, config: &Config) -> bool {
    question.namespace == config.namespace
        && question.name == config.default_network.name
        && question.user_info.username == format!("system:serviceaccount:{}:{ACCOUNT}", config.namespace)
}

fn unreadable(error: &serde_json::Error) -> Verdict {
    Verdict::refuse(format!(
        "the definition cannot be read: {error}; write it as `kubectl explain net-attach-def` says"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        let key = prop_oneof![
            Just("metadata"),
            Just("annotations"),
            Just("finalizers"),
            Just("spec"),
            Just("config"),
            Just("status"),
            Just("pods"),
            Just("podNames"),
            Just("name"),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..5)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        // Proves: S-8
        #[test]
        fn no_object_makes_a_review_panic(new in any_json(), old in any_json()) {
            let (config, policy) = (Config::default(), Config::default().policy().unwrap());
            for operation in ["CREATE", "UPDATE", "DELETE"] {
                let body = json!({
                    "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                    "request": {"uid": "u", "operation": operation, "object": new, "oldObject": old},
                });
                let question = Question::read(body.to_string().as_bytes()).unwrap();
                let verdict = review(&question, &config, &policy);
                prop_assert!(verdict.refusal.is_none_or(|sentence| !sentence.contains(char::is_control)));
            }
        }
    }
}
