//! Reviews of new pods, and of those without a node whose selection changes: what its node would refuse is refused here, in the
//! same sentence.
//!
//! The judgement is made of what the watch knows. Before a definition counts against a pod it is read anew, so that a
//! watch that lags behind refuses nobody: people apply definitions and pods in one go.

use std::collections::{BTreeMap, BTreeSet};

use manifold_crds::{Nad, NadRef, keys};
use manifold_plan::annotation;
use manifold_plan::judge::{Judged, Refused, judge};
use manifold_plan::{DefaultNetwork, Definitions, NetworkValue, Pod, Policy, want};
use serde::Deserialize;

use super::known::{KnownDefinitions, Live};
use super::review::{Operation, Question, Verdict};
use crate::config::Missing;

/// How often the judgement may move on to another definition after one was read anew.
const ROUNDS: usize = 4;

/// By what a pod asks for networks.
const SELECTION: [&str; 2] = [keys::NETWORKS, keys::DEFAULT_NETWORK];

/// A pod as the API server sends it, as far as anybody here looks at it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    metadata: Metadata,
    spec: Option<Spec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    generate_name: String,
    annotations: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, serde::de::IgnoredAny>>,
}

impl Metadata {
    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Keys that are nearly those by which a pod asks for networks.
    fn slips(&self) -> Vec<String> {
        let annotations = self.annotations.iter().flatten().map(|(key, _)| key.as_str());
        let labels = self.labels.iter().flatten().map(|(key, _)| key.as_str());
        annotation::of_pod_keys(annotations, labels).iter().map(|slip| slip.refusal.to_string()).collect()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    host_network: bool,
    node_name: String,
}

/// The verdict on one request.
pub(super) async fn review(
    question: &Question,
    policy: &Policy,
    missing: Missing,
    known: &KnownDefinitions,
) -> Verdict {
    match Asking::of(question) {
        Err(verdict) => verdict,
        Ok(Asking { pod, slips }) => with_slips(judged(&pod, policy, missing, known).await, slips),
    }
}

/// The verdict where these definitions are all there are, and nothing can be read anew.
pub(super) fn review_by(
    question: &Question,
    policy: &Policy,
    missing: Missing,
    found: &Definitions,
) -> Verdict {
    match Asking::of(question) {
        Err(verdict) => verdict,
        Ok(Asking { pod, slips }) => with_slips(verdict(judge(&pod, policy, found), missing), slips),
    }
}

/// A pod that asks for networks.
struct Asking {
    pod: Pod,
    slips: Vec<String>,
}

impl Asking {
    /// `Err` is the verdict on a pod that asks for none, or cannot be read.
    fn of(question: &Question) -> Result<Self, Verdict> {
        if !is_open(question) {
            return Err(Verdict::allow());
        }
        let sent: Sent = match question.object() {
            Ok(Some(sent)) => sent,
            Ok(None) => return Err(Verdict::allow()),
            Err(error) => {
                return Err(Verdict::refuse(format!(
                    "the pod cannot be read: {error}; correct its manifest"
                )));
            }
        };
        let slips = sent.metadata.slips();
        match asking(question, &sent) {
            Ok(pod) => Ok(Self { pod, slips }),
            Err(verdict) => Err(with_slips(verdict, slips)),
        }
    }
}

fn with_slips(mut verdict: Verdict, slips: Vec<String>) -> Verdict {
    verdict.warnings.splice(0..0, slips);
    verdict
}

/// Whether what the pod asks for is decided by this request. A policy freezes it once there is a node, and what runs, runs.
fn is_open(question: &Question) -> bool {
    match question.operation {
        Operation::Create => true,
        Operation::Update => match (question.old_object::<Sent>(), question.object::<Sent>()) {
            (Ok(Some(was)), Ok(Some(now))) => {
                was.spec.is_none_or(|spec| spec.node_name.is_empty())
                    && SELECTION
                        .iter()
                        .any(|key| was.metadata.annotation(key) != now.metadata.annotation(key))
            }
            _ => false,
        },
        Operation::Delete | Operation::Connect => false,
    }
}

fn asking(question: &Question, sent: &Sent) -> Result<Pod, Verdict> {
    let [networks, default_network] = SELECTION.map(|key| sent.metadata.annotation(key));
    if networks.is_none() && default_network.is_none() {
        return Err(Verdict::allow());
    }
    if sent.spec.as_ref().is_some_and(|spec| spec.host_network) {
        return Err(Verdict::warn(vec![
            "the pod uses the node's own network (`hostNetwork: true`), so it is not attached to other networks; its networks annotation has no effect"
                .to_owned(),
        ]));
    }
    // A name that is not valid the API server refuses itself.
    let pod = Pod::new(&question.namespace, name_of(&sent.metadata, question), None);
    let pod = pod.map_err(|_| Verdict::allow())?;
    Ok(pod.with_annotations(networks, default_network))
}

/// A pod of a template has no name yet; it is called by what its name will begin with.
fn name_of<'a>(metadata: &'a Metadata, question: &'a Question) -> &'a str {
    let generated = metadata.generate_name.trim_end_matches(['-', '.']);
    [&metadata.name, &question.name, generated].into_iter().find(|n| !n.is_empty()).unwrap_or("pod")
}

async fn judged(pod: &Pod, policy: &Policy, missing: Missing, known: &KnownDefinitions) -> Verdict {
    let wanted = match want(pod, policy) {
        Ok(wanted) => wanted.references(),
        Err(refusal) => return Verdict::refuse(refusal.to_string()),
    };
    let nads = known.of(&wanted).into_iter().map(|(reference, nad)| (reference, outlasting(nad, policy)));
    let mut found = Definitions { nads: nads.collect(), ..Definitions::default() };
    let mut live = known.live();
    let mut fresh = BTreeSet::new();
    for _ in 0..ROUNDS {
        let judgement = judge(pod, policy, &found);
        let suspects: Vec<NadRef> = suspects(&judgement).filter(|r| !fresh.contains(r)).collect();
        if suspects.is_empty() {
            return verdict(judgement, missing);
        }
        for (reference, answer) in live.read(&suspects).await {
            match answer {
                Live::Here(nad) => found.nads.insert(reference.clone(), outlasting(*nad, policy)),
                Live::Missing => found.nads.remove(&reference),
                Live::Unknown(why) => return unconfirmed(&reference, &why),
            };
            fresh.insert(reference);
        }
    }
    // Definitions that change this quickly are for the node to judge.
    Verdict::allow()
}

/// The default network is made anew when it was deleted; until then the nodes go on with what they have of it on disk.
fn outlasting(mut nad: Nad, policy: &Policy) -> Nad {
    let DefaultNetwork::Cluster(NetworkValue::Name(name)) = &policy.default else { return nad };
    let NadRef { namespace, name: its } = &nad.reference;
    if *namespace == policy.multus_namespace && its.as_str() == name.as_str() {
        nad.terminating_since = None;
    }
    nad
}

/// Definitions that stand against the pod, and that the watch may be wrong about.
fn suspects(judgement: &Result<Judged, Refused>) -> Box<dyn Iterator<Item = NadRef> + '_> {
    match judgement {
        Ok(judged) => Box::new(judged.missing.iter().map(|(reference, _)| reference.clone())),
        Err(refused) => Box::new(refused.decided_by.iter().cloned()),
    }
}

fn verdict(judgement: Result<Judged, Refused>, missing: Missing) -> Verdict {
    match judgement {
        Err(refused) => Verdict::refuse(refused.refusal.to_string()),
        Ok(Judged { missing: absent, dropped, odd }) => {
            let sentences = absent.iter().map(|(_, refusal)| refusal.to_string());
            match missing {
                Missing::Refuse if !absent.is_empty() => {
                    Verdict::refuse(sentences.collect::<Vec<_>>().join("; "))
                }
                _ => {
                    let waits = |sentence| format!("{sentence}; until then the pod does not start");
                    let odd = odd.iter().map(ToString::to_string);
                    Verdict::warn(odd.chain(sentences.map(waits)).chain(dropped).collect())
                }
            }
        }
    }
}

/// Nobody is refused on hearsay: the node looks again before it attaches anything.
fn unconfirmed(reference: &NadRef, why: &str) -> Verdict {
    tracing::warn!(%reference, why, "a pod was admitted without a check: its network could not be read in time");
    Verdict::warn(vec![format!(
        "network `{reference}` could not be checked in time, so the pod's node checks it"
    )])
}
