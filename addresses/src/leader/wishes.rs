//! Addresses that a waiting pod asks for by name: where another node holds the block, it is asked to give the block back.

use std::net::IpAddr;

use manifold_crds::ipam::{BlockState, NodeUid, Recall, RecallReason};

use super::Living;
use crate::api::{Stored, Write, withheld_mask};

/// Recalls the block that an address lies in, so that a pod of `node` can have the address. None where the block is that
/// node's own or is recalled already, or where the address is somebody's: then recalling it would help nobody.
pub fn recall_for(read: &Stored, ip: IpAddr, node: Option<&NodeUid>, living: &Living) -> Option<Write> {
    let offset = manifold_crds::ipam::BlockCidr::offset_of(ip);
    let taken = living.contains_key(&ip) || withheld_mask(&read.spec) & offset.bit() != 0;
    let mut spec = read.spec.clone();
    let BlockState::Held(held) = &mut spec.state else { return None };
    if taken || held.recall.is_some() || Some(&held.holder.uid) == node {
        return None;
    }
    held.recall = Some(Recall { reason: RecallReason::FixedAddress, since: String::new() });
    Some(Write::of(spec, Some(read)))
}
