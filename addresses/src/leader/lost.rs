//! Blocks of nodes that are gone and of folders that were lost: marked, waited for, and then only what living pods show stays.

use manifold_crds::ipam::{Allocation, BlockState, Foreign, NodeUid, Offset, Recall, RecallReason};

use super::{Living, Nodes, Observed, Shown};
use crate::api::{Stored, Write};
use crate::moment::Seconds;

/// How long after a folder was lost its addresses are freed: time for the statuses of its pods.
pub const RECLAIM_STORE_AFTER_SECONDS: Seconds = 60;
/// Who gave an address that is kept for a pod whose node or folder was lost.
const KEPT_BY: &str = "cluster-local";

/// A held block whose node is gone gets the mark `NodeLost`; one whose node is there again loses it.
pub fn mark_lost_node(read: &Stored, nodes: &Nodes) -> Option<Write> {
    let mut spec = read.spec.clone();
    let BlockState::Held(held) = &mut spec.state else { return None };
    let is_lost = !nodes.contains(&held.holder.uid);
    let is_marked = held.recall.as_ref().is_some_and(|r| r.reason == RecallReason::NodeLost);
    if is_lost == is_marked {
        return None;
    }
    held.recall = is_lost.then(|| Recall { reason: RecallReason::NodeLost, since: String::new() });
    Some(Write::of(spec, Some(read)))
}

/// Takes from lost nodes and folders what they had. `living` was listed after `read`. What a living pod shows stays with
/// that pod; the rest is free. None while there is nothing to take, or not yet.
pub fn reclaim(
    read: &Stored,
    nodes: &Nodes,
    living: &Living,
    observed: &mut Observed,
    reclaim_after: u32,
    now: Seconds,
) -> Option<Write> {
    let block = read.spec.cidr;
    let shown = |offset: Offset| living.get(&block.address(offset)).and_then(|all| all.first());
    // Each address for itself: of one node some may be of a lost folder, and others not.
    let mut is_due = |place: &str, uid: &NodeUid, store_lost: bool| {
        let node_gone = !nodes.contains(uid);
        let node = observed.seconds(block, &format!("node {place} {uid}"), node_gone, now);
        let store = observed.seconds(block, &format!("store {place} {uid}"), store_lost, now);
        node.is_some_and(|s| s >= Seconds::from(reclaim_after))
            || store.is_some_and(|s| s >= RECLAIM_STORE_AFTER_SECONDS)
    };
    let mut spec = read.spec.clone();
    spec.state = match &read.spec.state {
        BlockState::Held(held) => {
            let store_lost = held.recall.as_ref().is_some_and(|r| r.reason == RecallReason::StoreLost);
            if !is_due("block", &held.holder.uid, store_lost) {
                return None;
            }
            let kept = Offset::all().filter_map(|o| Some((o, foreign(shown(o)?))));
            BlockState::Shared(kept.collect())
        }
        BlockState::Shared(all) => {
            let keep = |(offset, allocation): (&Offset, &Allocation)| match allocation.node() {
                Some(share) if is_due(&offset.to_string(), &share.uid, share.store_lost) => {
                    Some((*offset, foreign(shown(*offset)?)))
                }
                _ => Some((*offset, allocation.clone())),
            };
            BlockState::Shared(all.iter().filter_map(keep).collect())
        }
    };
    (spec != read.spec).then(|| Write::of(spec, Some(read)))
}

pub(super) fn foreign(shown: &Shown) -> Allocation {
    let foreign = Foreign { by: KEPT_BY.to_owned(), pod: shown.pod.clone(), id: shown.uid.clone() };
    Allocation::Foreign { foreign }
}
