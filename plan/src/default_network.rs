//! What a pod may decide about the network that it is in anyway, by its annotation `v1.multus-cni.io/default-network`.
//!
//! Whoever creates pods writes the annotation. So it opens no network that `networks` would refuse, and takes no host port,
//! address or hardware address that neither the scheduler nor a quota knows of, unless the administrator says so (S-22).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use manifold_cni::name::printable;
use manifold_crds::selection::{self, Reading};
use manifold_crds::{NadRef, keys};

use crate::policy::{DefaultNetwork, NetworkValue, Policy};
use crate::want::{allowed, bad_annotation, odd_annotation};
use crate::{Pod, Refusal, Role, Source, Want};

/// What the administrator leaves to pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftToPods {
    /// Definitions that every pod may have as its default network, besides those that isolation opens to it
    /// (`allowedDefaultNetworks`).
    pub definitions: BTreeSet<NadRef>,
    /// What a pod may ask of its default network (`defaultNetworkRequests`).
    pub requests: BTreeSet<Request>,
}

/// A request that would give a pod what others on the node count on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// `portMappings`
    PortMappings,
    /// `ips`
    Ips,
    /// `mac`
    Mac,
    /// `infiniband-guid`
    InfinibandGuid,
}

impl Request {
    const ALL: [Self; 4] = [Self::PortMappings, Self::Ips, Self::Mac, Self::InfinibandGuid];

    /// Its key in an annotation.
    pub fn key(self) -> &'static str {
        match self {
            Self::PortMappings => "portMappings",
            Self::Ips => "ips",
            Self::Mac => "mac",
            Self::InfinibandGuid => "infiniband-guid",
        }
    }
}

/// A word that names no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot be left to pods; use `portMappings`, `ips`, `mac` or `infiniband-guid`", printable(.0))]
pub struct BadRequest(String);

impl FromStr for Request {
    type Err = BadRequest;

    fn from_str(raw: &str) -> Result<Self, BadRequest> {
        Self::ALL.into_iter().find(|request| request.key() == raw).ok_or_else(|| BadRequest(raw.to_owned()))
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

impl LeftToPods {
    /// Why a pod may not ask this of its default network, if it may not. Every other key is for the network to answer.
    pub(crate) fn refuse(&self, key: &str) -> Option<Refusal> {
        let request: Request = key.parse().ok()?;
        if self.requests.contains(&request) {
            return None;
        }
        let instead = match request {
            Request::PortMappings => "remove the key and give the pod's containers a `hostPort`",
            _ => "remove the key",
        };
        Some(Refusal::new(
            format!(
                "the pod asks for `{key}` on its default network, which only the container runtime may set"
            ),
            format!("{instead}, or let the node's administrator add `{key}` to `defaultNetworkRequests`"),
        ))
    }
}

/// The network that the pod wants in the default one's place (MLT-DLG-2).
pub(crate) fn asked(pod: &Pod, policy: &Policy, odd: &mut Vec<Refusal>) -> Result<Option<Want>, Refusal> {
    let Some(text) = &pod.default_network else { return Ok(None) };
    let Reading { mut selections, oddities } =
        selection::parse_one(text, &policy.multus_namespace, policy.limits.selection)
            .map_err(|e| bad_annotation(keys::DEFAULT_NETWORK, &e))?;
    odd.extend(oddities.into_iter().map(|oddity| odd_annotation(keys::DEFAULT_NETWORK, oddity)));
    let Some(selection) = selections.pop() else { return Ok(None) };
    let network = &selection.network;
    // Every pod is in the node's own default network, so naming it opens nothing.
    if !is_of_the_node(network, policy) && !policy.left_to_pods.definitions.contains(network) {
        allowed(pod, policy, &selection, keys::DEFAULT_NETWORK).map_err(|refusal| Refusal {
            fix: format!("{}, or `{network}` to `allowedDefaultNetworks`", refusal.fix),
            ..refusal
        })?;
    }
    Ok(Some(Want { role: Role::Default, source: Source::Nad(network.clone()), selection: Some(selection) }))
}

/// A claim of the default network reaches no plugin by CNI. OVN-Kubernetes executes its own plugin there, which reads the pod's
/// annotation itself; KubeVirt's pods have the key without their author's doing. So it is told, and no reason to refuse a
/// pod, and it opens nothing: what else stands beside it is judged as ever (NPWG-8-1).
pub(crate) fn odd_claim(want: &Want) -> Option<Refusal> {
    let claim = want.selection.as_ref()?.ipam_claim_reference.as_ref()?;
    (want.role == Role::Default).then(|| {
        Refusal::new(
            format!(
                "`ipam-claim-reference` `{claim}` is handed to no plugin of the default network, and has an effect only \
                 where a plugin reads the pod's annotation itself"
            ),
            format!("none needed with OVN-Kubernetes; elsewhere take the key out of `{}`", keys::DEFAULT_NETWORK),
        )
        .about(&want.source)
    })
}

/// Whether an attachment is to the network that every pod is in, in its place or once more as a further one.
pub(crate) fn is_guarded(want: &Want, policy: &Policy) -> bool {
    want.role == Role::Default || want.reference().is_some_and(|network| is_of_the_node(network, policy))
}

fn is_of_the_node(network: &NadRef, policy: &Policy) -> bool {
    match &policy.default {
        DefaultNetwork::Cluster(NetworkValue::Name(name)) => {
            NetworkValue::definition(name, &policy.multus_namespace).as_ref() == Some(network)
        }
        DefaultNetwork::Cluster(NetworkValue::Path(_)) | DefaultNetwork::Delegates(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_named_as_in_the_annotation() {
        for request in Request::ALL {
            assert_eq!(request.to_string().parse(), Ok(request));
        }
        let unknown = "bandwidth".parse::<Request>().unwrap_err().to_string();
        assert!(unknown.contains("`bandwidth`") && unknown.contains("`portMappings`"), "{unknown}");
    }
}
