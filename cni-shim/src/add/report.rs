//! The network-status annotation: made from the results, published with one PATCH that carries the pod's UID.
//!
//! A status that cannot be published never fails an ADD: the entry says why, and the node agent publishes it later.

use std::time::Instant;

use manifold_cni::{CniError, CniResult};
use manifold_crds::NetworkStatus;
use manifold_crds::status::Described;
use manifold_crds::status::{self, Entries};
use manifold_plan::Plan;

use super::device_info;
use crate::add::who::Who;
use crate::config::Limits;
use crate::source::{Published, Source};
use manifold_ledger::{Entry, Exact, Recorded, Status, Unpublished};

/// The annotation's text.
pub(crate) fn text(plan: &Plan, entry: &Entry, each_interface: bool) -> Result<String, CniError> {
    let entries = if each_interface { Entries::EachSandboxInterface } else { Entries::default() };
    let mut all = Vec::new();
    for (planned, recorded) in plan.attachments.iter().zip(&entry.attachments) {
        all.extend(one(recorded, planned.asked_default_route, entries)?);
    }
    Ok(status::to_json(&all))
}

fn one(
    recorded: &Recorded,
    asked_default_route: bool,
    entries: Entries,
) -> Result<Vec<NetworkStatus>, CniError> {
    let raw = recorded.result.as_ref().map_or(b"{}".as_slice(), Exact::as_slice);
    let (result, version) = CniResult::parse(raw, recorded.version)?;
    let device_info = recorded.device_info_file.as_deref().and_then(device_info::read);
    let described = Described {
        name: &recorded.display,
        default: recorded.default,
        ifname: &recorded.ifname,
        result: &result,
        version,
        asked_default_route,
        device_info: device_info.as_ref(),
    };
    Ok(NetworkStatus::of(&described, entries))
}

/// Whether this call publishes at all, and if not, why not.
pub(crate) fn left_to_others(who: &Who, entry: &Entry, cluster: bool) -> Option<Unpublished> {
    if !cluster {
        return None;
    }
    if who.annotations.is_static() {
        return Some(Unpublished::StaticPod);
    }
    if who.told_by_runtime && entry.attachments.len() == 1 {
        // A plain pod starts without a single call, so that it starts with the API server down (F-API-1).
        return Some(Unpublished::PlainPod);
    }
    None
}

/// Publishes. What became of it is for the entry.
pub(crate) fn publish(source: &mut dyn Source, who: &Who, text: &str, whole: Instant) -> Status {
    let deadline = whole.min(Instant::now() + Limits::PUBLISH);
    match source.publish(&who.pod, text, deadline) {
        Ok(Published::Done) => Status::Published,
        Ok(Published::Superseded(why)) => {
            tracing::info!("the pod was replaced by another one: {why}");
            Status::Superseded
        }
        Err(e) => {
            tracing::warn!("the status of pod {} is not published: {e}", who.pod);
            Status::Unpublished { why: Unpublished::Failed(e.to_string()) }
        }
    }
}
