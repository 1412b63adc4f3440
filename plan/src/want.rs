//! What to fetch for a pod: the default network first, then those of every pod, then what it asks for, in its order.
//!
//! Isolation is decided here, before anything is looked up: so a refusal cannot tell whether a name exists (S-15).

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use manifold_cni::{NetworkName, RawObject};
use manifold_crds::selection::{self, BadSelection, Oddity, Reading};
use manifold_crds::{NadRef, Namespace, ResourceName, Selection, keys};

use crate::default_network;
use crate::policy::{DefaultNetwork, Isolation, NetworkValue, Policy};
use crate::{Definitions, Pod, Refusal};

/// All attachments of a pod, in the order in which they are made (MLT-EXE-1). The first is the default network.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// At least one.
    pub attachments: Vec<Want>,
    /// What of the annotations has no effect. A strict policy refuses the first.
    pub odd: Vec<Refusal>,
}

/// One attachment to be.
#[derive(Clone, Debug)]
pub struct Want {
    /// Why the pod gets it.
    pub role: Role,
    /// Where its configuration is.
    pub source: Source,
    /// What the pod asks of it; the node's own networks have none.
    pub selection: Option<Selection>,
}

/// Why a pod gets a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The network that makes the interface that the runtime named.
    Default,
    /// Another network of every pod (`defaultNetworks`, or a further delegate).
    Everyone,
    /// From the pod's networks annotation.
    Selected,
}

/// Where the configuration of an attachment comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A definition, and nothing else.
    Nad(NadRef),
    /// A definition if there is one, else a configuration of that name in `confDir`.
    Named {
        /// The definition, where there may be one.
        nad: Option<NadRef>,
        /// The name.
        name: NetworkName,
    },
    /// A file, or a folder of which the first configuration counts.
    Path(PathBuf),
    /// A configuration in the entry itself; the number is its place in `delegates`.
    Inline(usize, RawObject),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nad(reference) => reference.fmt(f),
            Self::Named { name, .. } => name.fmt(f),
            Self::Path(path) => path.display().fmt(f),
            Self::Inline(n, _) => write!(f, "delegates[{n}]"),
        }
    }
}

impl Wanted {
    /// The definitions to fetch, each once, in order.
    pub fn references(&self) -> Vec<NadRef> {
        let mut seen = BTreeSet::new();
        self.attachments.iter().filter_map(Want::reference).filter(|r| seen.insert(*r)).cloned().collect()
    }

    /// The resources whose devices the definitions ask for, each once: for these the kubelet must be asked. A name that
    /// is none is for the plan to refuse.
    pub fn resources(&self, found: &Definitions) -> BTreeSet<ResourceName> {
        let nads = self.attachments.iter().filter_map(|want| found.nads.get(want.reference()?));
        nads.filter_map(|nad| nad.resource_name().ok().flatten()).collect()
    }

    /// The files and folders to read.
    pub fn paths(&self) -> Vec<&Path> {
        let mut seen = BTreeSet::new();
        self.attachments.iter().filter_map(Want::path).filter(|p| seen.insert(*p)).collect()
    }

    /// Whether a name has to be looked up in `confDir`, now that the definitions are known.
    pub fn needs_conf_dir(&self, found: &Definitions) -> bool {
        self.attachments.iter().any(|want| match &want.source {
            Source::Nad(reference) => found.nads.get(reference).is_some_and(|nad| nad.config.is_none()),
            Source::Named { nad, .. } => {
                nad.as_ref().and_then(|r| found.nads.get(r)).is_none_or(|nad| nad.config.is_none())
            }
            Source::Path(_) | Source::Inline(..) => false,
        })
    }
}

impl Want {
    /// The definition that is fetched for it.
    pub fn reference(&self) -> Option<&NadRef> {
        match &self.source {
            Source::Nad(reference) => Some(reference),
            Source::Named { nad, .. } => nad.as_ref(),
            Source::Path(_) | Source::Inline(..) => None,
        }
    }

    fn path(&self) -> Option<&Path> {
        if let Source::Path(path) = &self.source { Some(path) } else { None }
    }

    fn of_node(role: Role, source: Source) -> Self {
        Self { role, source, selection: None }
    }
}

/// What this pod is to be attached to.
///
/// # Errors
/// If an annotation is not valid or isolation forbids a network.
pub fn want(pod: &Pod, policy: &Policy) -> Result<Wanted, Refusal> {
    want_all(pod, policy).map_err(|refusal| refusal.at(None, pod))
}

fn want_all(pod: &Pod, policy: &Policy) -> Result<Wanted, Refusal> {
    let mut odd = Vec::new();
    let (default, mut attachments) = of_node(pod, policy)?;
    attachments.insert(0, default_network::asked(pod, policy, &mut odd)?.unwrap_or(default));
    attachments.extend(selected(pod, policy, &mut odd)?);
    match odd.first() {
        Some(first) if policy.strict => Err(first.clone()),
        _ => Ok(Wanted { attachments, odd }),
    }
}

/// The default network and the others that the node's configuration gives every pod.
fn of_node(pod: &Pod, policy: &Policy) -> Result<(Want, Vec<Want>), Refusal> {
    match &policy.default {
        DefaultNetwork::Cluster(value) => {
            let system = policy.system_namespaces.contains(&pod.namespace);
            let others = policy.default_networks.iter().filter(|_| !system);
            Ok((
                Want::of_node(Role::Default, source(value, policy)),
                others.map(|value| Want::of_node(Role::Everyone, source(value, policy))).collect(),
            ))
        }
        DefaultNetwork::Delegates(list) => {
            let mut inline = list.iter().cloned().enumerate().map(|(n, raw)| Source::Inline(n, raw));
            let default = inline.next().ok_or_else(|| {
                Refusal::new(
                    "the node's configuration has an empty `delegates` list",
                    "put the default network's configuration there, or name it with `clusterNetwork`",
                )
            })?;
            Ok((
                Want::of_node(Role::Default, default),
                inline.map(|source| Want::of_node(Role::Everyone, source)).collect(),
            ))
        }
    }
}

fn source(value: &NetworkValue, policy: &Policy) -> Source {
    match value {
        NetworkValue::Path(path) => Source::Path(path.clone()),
        NetworkValue::Name(name) => Source::Named {
            nad: NetworkValue::definition(name, &policy.multus_namespace),
            name: name.clone(),
        },
    }
}

fn selected(pod: &Pod, policy: &Policy, odd: &mut Vec<Refusal>) -> Result<Vec<Want>, Refusal> {
    let Some(text) = &pod.networks else { return Ok(Vec::new()) };
    let Reading { selections, oddities } = selection::parse(text, &pod.namespace, policy.limits.selection)
        .map_err(|e| bad_annotation(keys::NETWORKS, &e))?;
    odd.extend(oddities.into_iter().map(|oddity| odd_annotation(keys::NETWORKS, oddity)));
    let want = |selection: Selection| {
        allowed(pod, policy, &selection, keys::NETWORKS)?;
        Ok(Want {
            role: Role::Selected,
            source: Source::Nad(selection.network.clone()),
            selection: Some(selection),
        })
    };
    selections.into_iter().map(want).collect()
}

/// A pod that may not use a network is not started without it (NPWG-7.4-2).
pub(crate) fn allowed(pod: &Pod, policy: &Policy, selection: &Selection, key: &str) -> Result<(), Refusal> {
    let target: &Namespace = &selection.network.namespace;
    if policy.isolation.allows(&pod.namespace, target) {
        return Ok(());
    }
    // The pod's own namespace first, and not once more where it is a global one too.
    let global = match &policy.isolation {
        Isolation::On { global } => global.iter().filter(|n| **n != pod.namespace).collect(),
        Isolation::Off => Vec::new(),
    };
    let open: Vec<String> = [&pod.namespace].into_iter().chain(global).map(|n| format!("`{n}`")).collect();
    Err(Refusal::new(
        format!(
            "network `{}`: pods of namespace `{}` may not use networks of namespace `{target}`",
            selection.network, pod.namespace
        ),
        format!(
            "in the pod's annotation `{key}` name a network of {}, or let the node's administrator add `{target}` to \
             `globalNamespaces`",
            open.join(" or ")
        ),
    ))
}

pub(crate) fn bad_annotation(key: &str, why: &BadSelection) -> Refusal {
    Refusal::new(format!("annotation `{key}`: {why}"), "correct the pod's annotation; nothing was attached")
}

pub(crate) fn odd_annotation(key: &str, oddity: Oddity) -> Refusal {
    let Oddity { place, what, fix } = oddity;
    Refusal::new(format!("annotation `{key}`: {place}{what}"), fix)
}
