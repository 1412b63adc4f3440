//! What is read from the API server and what is written there, without a word about how.

use manifold_crds::ipam::{
    Allocation, BlockCidr, BlockSpec, BlockState, Domain, Held, Holder, NodeName, NodeShare, NodeUid, Offset,
    RecallReason, StoreId,
};

use crate::holdings::Part;

/// `metadata.resourceVersion`: compared, never counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceVersion(pub String);

/// A block as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its content.
    pub spec: BlockSpec,
    /// The version that a write must name.
    pub version: ResourceVersion,
    /// A block that was deleted and made again is another object.
    pub uid: String,
}

/// The three writes there are. Each fails where the block is not as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Fails where the object exists.
    Create(BlockSpec),
    /// Fails where the object is gone or has another version.
    Replace {
        /// The new content.
        spec: BlockSpec,
        /// As it was read.
        version: ResourceVersion,
    },
    /// As [`Self::Replace`]; the UID too must be the one that was read. Only the leader deletes.
    Delete {
        /// Of the block.
        domain: Domain,
        /// Which.
        block: BlockCidr,
        /// As it was read.
        version: ResourceVersion,
        /// As it was read.
        uid: String,
    },
}

impl Write {
    /// A create, or a replace of what was read.
    pub fn of(spec: BlockSpec, read: Option<&Stored>) -> Self {
        match read {
            None => Self::Create(spec),
            Some(read) => Self::Replace { spec, version: read.version.clone() },
        }
    }

    /// Which object.
    pub fn block(&self) -> BlockCidr {
        match self {
            Self::Create(spec) | Self::Replace { spec, .. } => spec.cidr,
            Self::Delete { block, .. } => *block,
        }
    }
}

/// Who a node is: its Node object by UID, and its folder. Another folder knows nothing of this one's leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// For people.
    pub node: NodeName,
    /// The Node object.
    pub uid: NodeUid,
    /// The folder.
    pub store: StoreId,
}

impl Identity {
    /// Whether a block is held by this node and folder. One that was told lost is lost, also to the folder that comes back
    /// with an old disk: the leader gives its addresses to others.
    pub fn holds(&self, held: &Held) -> bool {
        let told_lost = held.recall.as_ref().is_some_and(|r| r.reason == RecallReason::StoreLost);
        held.holder.uid == self.uid && held.holder.store == self.store && !told_lost
    }

    /// Whether an allocation is this node's and folder's.
    pub fn has(&self, allocation: &Allocation) -> bool {
        allocation.node().is_some_and(|s| s.uid == self.uid && s.store == self.store && !s.store_lost)
    }

    /// What this node has of a block, by what was read of it.
    pub fn part_of(&self, spec: &BlockSpec) -> Part {
        match &spec.state {
            BlockState::Held(held) if self.holds(held) => Part::Whole,
            BlockState::Held(_) => Part::Singles(0),
            BlockState::Shared(all) => {
                let own = all.iter().filter(|(_, a)| self.has(a));
                Part::Singles(own.fold(0, |mask, (offset, _)| mask | offset.bit()))
            }
        }
    }

    pub(crate) fn held(&self, epoch: u64) -> BlockState {
        let holder = Holder {
            node: self.node.clone(),
            uid: self.uid.clone(),
            store: self.store.clone(),
            epoch,
            since: String::new(),
        };
        BlockState::Held(Held { holder, recall: None })
    }

    pub(crate) fn share(&self, epoch: u64) -> Allocation {
        Allocation::Node(NodeShare {
            node: self.node.clone(),
            uid: self.uid.clone(),
            store: self.store.clone(),
            epoch,
            store_lost: false,
            pod: String::new(),
            interface: String::new(),
            since: String::new(),
        })
    }
}

/// The addresses of a block that must not be given to anyone, as a bit mask.
pub fn withheld_mask(spec: &BlockSpec) -> u16 {
    mask_of(spec.withheld.keys())
}

/// Which addresses of a shared block somebody has; all of a held one.
pub fn allocated_mask(spec: &BlockSpec) -> u16 {
    match &spec.state {
        BlockState::Held(_) => u16::MAX,
        BlockState::Shared(all) => mask_of(all.keys()),
    }
}

fn mask_of<'a>(offsets: impl Iterator<Item = &'a Offset>) -> u16 {
    offsets.fold(0, |mask, offset| mask | offset.bit())
}

#[cfg(test)]
pub(crate) mod sample {
    use super::*;

    /// A node of that UID.
    pub(crate) fn node(uid: &str) -> Identity {
        let store = "0123456789abcdef0123456789abcdef".parse().unwrap();
        Identity { node: "worker-7".parse().unwrap(), uid: uid.parse().unwrap(), store }
    }
}
