//! What of a pod can be told without its node: the plan, made with a runtime that is made up.
//!
//! The admission webhook asks this, so that a pod is refused with the very sentence that it would meet on its node. What
//! only the node can see passes: definitions without a configuration, networks from its disk, which devices the kubelet
//! gives. A definition that does not exist is told apart, for it may come before the pod starts.

use std::collections::BTreeMap;

use manifold_cni::{CniArgs, Version};
use manifold_crds::NadRef;

use crate::attachment::Maker;
use crate::plan::RuntimeInput;
use crate::{Definitions, Pod, Policy, Refusal, Source, Want, names, predict, resolve, routes, want};

/// A pod that nothing of what is known stands against.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// Definitions that do not exist, each with what the node would say of it.
    pub missing: Vec<(NadRef, Refusal)>,
    /// Requests that are dropped, where the policy wants that.
    pub dropped: Vec<String>,
    /// What of the annotations has no effect.
    pub odd: Vec<Refusal>,
}

/// A pod that cannot start as it is.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{refusal}")]
pub struct Refused {
    /// The definition that decided; `None` where the pod alone is at fault.
    pub decided_by: Option<NadRef>,
    /// Why.
    pub refusal: Refusal,
}

/// How much is known of one network.
enum Known<'a> {
    Whole,
    OnTheNode,
    Missing(&'a NadRef),
}

/// Judges the pod; `found` holds the definitions that [`want()`] asked for and that exist.
///
/// # Errors
/// If the pod's node would refuse it.
pub fn judge(pod: &Pod, policy: &Policy, found: &Definitions) -> Result<Judged, Refused> {
    let pods_fault = |refusal: Refusal| Refused { decided_by: None, refusal: refusal.at(None, pod) };
    let runtime = made_up();
    let wanted = want(pod, policy).map_err(pods_fault)?;
    let names = names::settle(&runtime.ifname, &wanted.attachments).map_err(pods_fault)?;
    let intents =
        routes::decide(&wanted.attachments, policy.compat.default_route_per_family).map_err(pods_fault)?;
    let mut maker = Maker::with_any_device(pod, policy, found, &runtime, &wanted);
    let mut judged = Judged { odd: wanted.odd.clone(), ..Judged::default() };
    let mut whole = 0;
    for ((want, ifname), intent) in wanted.attachments.iter().zip(names).zip(intents) {
        match known(want, found) {
            Known::OnTheNode => {}
            Known::Missing(reference) => {
                let refusal =
                    resolve::missing(reference, &found.unread).about(reference).at(Some(&ifname), pod);
                judged.missing.push((reference.clone(), refusal));
            }
            Known::Whole => {
                maker.make(want, &ifname, intent).map_err(|e| Refused {
                    decided_by: want.reference().cloned(),
                    refusal: e.about(&want.source).at(Some(&ifname), pod),
                })?;
                whole += 1;
            }
        }
    }
    predict::check(maker.status_bytes, whole, &policy.limits).map_err(pods_fault)?;
    judged.odd.extend(maker.odd);
    if policy.compat.drop_unsupported_requests {
        judged.dropped = maker.dropped;
    }
    Ok(judged)
}

fn known<'a>(want: &'a Want, found: &Definitions) -> Known<'a> {
    let nad = want.reference().and_then(|reference| found.nads.get(reference));
    match (&want.source, nad) {
        (Source::Inline(..), _) => Known::Whole,
        (_, Some(nad)) if nad.config.is_some() || nad.is_terminating() => Known::Whole,
        (Source::Nad(reference), None) => Known::Missing(reference),
        (Source::Nad(_) | Source::Named { .. } | Source::Path(_), _) => Known::OnTheNode,
    }
}

/// What a runtime says when it starts a pod, as far as it matters here.
fn made_up() -> RuntimeInput {
    RuntimeInput {
        version: Version::NEWEST,
        container: "admission".parse().expect("a word is a container id"),
        ifname: "eth0".parse().expect("an interface name"),
        args: CniArgs::default(),
        runtime_config: BTreeMap::new(),
        allocation: None,
    }
}
