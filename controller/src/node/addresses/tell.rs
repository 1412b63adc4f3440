//! What people are told: an address that somebody else has by now, and a folder of leases that was lost.

use std::time::{Duration, Instant};

use manifold_address_store::DomainFolder;
use manifold_crds::ipam::BlockCidr;
use manifold_ledger::{Entry, Ledger};

use super::Parts;
use crate::events::{About, Reason, Severity};

const LOCK: Duration = Duration::from_secs(5);

/// Addresses of living leases that somebody else has: each is told on its pod.
pub(super) async fn conflicts(parts: &Parts, folder: &DomainFolder, block: BlockCidr, mask: u16) {
    let Ok(found) = folder.lock(Instant::now() + LOCK).and_then(|locked| locked.found()) else { return };
    for one in found {
        let is_meant =
            !one.kept && BlockCidr::of(one.ip) == block && mask & BlockCidr::offset_of(one.ip).bit() != 0;
        let Some(lease) = one.lease.filter(|_| is_meant) else { continue };
        let sentence = format!(
            "address `{}` of interface `{}` was given to another owner too, because this Node or its block was deleted while the pod lived; delete the pod, and it gets another one",
            one.ip, lease.interface
        );
        tracing::warn!(container = %lease.container, "{sentence}");
        let entry = Ledger::open_existing(&parts.state_dir)
            .ok()
            .flatten()
            .and_then(|l| l.read(&lease.container).ok()?);
        if let Some(about) = entry.and_then(pod).or_else(|| node(parts)) {
            parts.events.tell(&about, Severity::Warning, Reason::AddressConflict, &sentence).await;
        }
    }
}

/// A block of an earlier folder of this node.
pub(super) async fn lost(parts: &Parts, block: BlockCidr) {
    let sentence = format!(
        "the folder `{}` is not the one that got block `{block}`, so nothing of that block is given until it is known who lives there; see who deleted the folder",
        parts.state_dir.join(".addresses").display()
    );
    tracing::warn!("{sentence}");
    if let Some(about) = node(parts) {
        parts.events.tell(&about, Severity::Warning, Reason::AddressesLost, &sentence).await;
    }
}

fn pod(entry: Entry) -> Option<About> {
    let pod = entry.pod?;
    Some(About::Pod {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone().unwrap_or_default(),
    })
}

fn node(parts: &Parts) -> Option<About> {
    let own = parts.identity.borrow().clone()?;
    Some(About::Node { uid: own.uid.unwrap_or_else(|| own.node.clone()), name: own.node })
}
