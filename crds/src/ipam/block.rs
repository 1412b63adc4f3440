//! AddressBlock: who has the 16 addresses of one block. Held by one node as a whole, or shared, address by address.
//!
//! No object means that nobody has any of it. Every write is a create, or a replace or delete with the version that was
//! read; the name and that version are the only locks of the cluster.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

mod wire;

pub use wire::{BadBlock, Wire};

use super::{BlockCidr, DOMAIN_LABEL, Domain, HELD_BY_LABEL_PREFIX, NodeName, NodeUid, Offset, StoreId};

/// `kind` of the object.
pub const KIND: &str = "AddressBlock";
/// How paths of the API name it.
pub const PLURAL: &str = "addressblocks";

/// `spec` of a block. What it is serialized from and to is [`Wire`]; a state with the fields of the other is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct BlockSpec {
    /// In which its addresses are given once.
    pub domain: Domain,
    /// Which addresses.
    pub cidr: BlockCidr,
    /// Addresses that nobody may be given, whoever has them: somebody who lives shows them.
    pub withheld: BTreeMap<Offset, Withheld>,
    /// Who has them.
    pub state: BlockState,
}

/// Who has the addresses of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockState {
    /// One node gives all of them.
    Held(Held),
    /// Each address for itself. What is not in the map is free.
    Shared(BTreeMap<Offset, Allocation>),
}

/// A block that one node gives of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// That node.
    pub holder: Holder,
    /// The cluster wants it back.
    pub recall: Option<Recall>,
}

/// The node that holds a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// For people.
    pub node: NodeName,
    /// Which Node object of that name.
    pub uid: NodeUid,
    /// Which folder of that node. Another one knows nothing of the leases in this block.
    pub store: StoreId,
    /// Raised by the holder when it confirms the block anew: the version moves, so no earlier request of its can land.
    #[serde(default)]
    pub epoch: u64,
    /// RFC 3339, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub since: String,
}

/// That, and why, a block is wanted back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recall {
    /// Why.
    pub reason: RecallReason,
    /// RFC 3339, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub since: String,
}

/// Why a block is wanted back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RecallReason {
    /// Its pool has too few free addresses.
    PoolShort,
    /// Somebody asks for an address of it by name.
    FixedAddress,
    /// The holder's folder of leases was lost.
    StoreLost,
    /// The holder's Node object is gone.
    NodeLost,
}

/// Who shows an address that the holder of the block did not give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// `namespace/name`.
    pub pod: String,
}

/// Who has one address of a shared block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Allocation {
    /// An IPAMClaim: the address stays with it, whatever pods and nodes do.
    Claim {
        /// Which.
        claim: Claim,
    },
    /// Nobody of ours: a pod that was there before, or one whose node or folder was lost.
    Foreign {
        /// Who.
        foreign: Foreign,
    },
    /// A node, which gives it to its pods.
    Node(NodeShare),
}

/// An address that a node has of a shared block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeShare {
    /// For people.
    pub node: NodeName,
    /// Which Node object of that name.
    pub uid: NodeUid,
    /// Which folder of that node.
    pub store: StoreId,
    /// As that of a holder.
    #[serde(default)]
    pub epoch: u64,
    /// The folder was lost: the node asks the leader to find out whether somebody who lives has the address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub store_lost: bool,
    /// The first pod that got it, as `namespace/name`. For people: the node gives it to others without a word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pod: String,
    /// That pod's interface. For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub interface: String,
    /// RFC 3339, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub since: String,
}

/// An IPAMClaim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claim {
    /// Of the claim.
    pub namespace: String,
    /// Of the claim.
    pub name: String,
    /// A claim that was deleted and made again is another one.
    pub uid: String,
}

/// Somebody who has an address that we did not give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// Who gave it, or how it was found.
    pub by: String,
    /// `namespace/name`.
    pub pod: String,
    /// What the giver knows the pod by; for a pod that was found, its UID.
    pub id: String,
}

impl BlockSpec {
    /// `metadata.name`.
    pub fn object_name(&self) -> String {
        self.cidr.object_name(&self.domain)
    }

    /// `metadata.labels`, all of them ours: the domain, and a key for each node with a part in the block.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let key = |uid: &NodeUid| (format!("{HELD_BY_LABEL_PREFIX}{uid}"), String::new());
        let mut labels: BTreeMap<_, _> = self.nodes().into_iter().map(key).collect();
        labels.insert(DOMAIN_LABEL.to_owned(), self.domain.to_string());
        labels
    }

    /// The UIDs of the nodes with a part in the block.
    pub fn nodes(&self) -> BTreeSet<&NodeUid> {
        match &self.state {
            BlockState::Held(held) => BTreeSet::from([&held.holder.uid]),
            BlockState::Shared(allocations) => {
                allocations.values().filter_map(Allocation::node).map(|share| &share.uid).collect()
            }
        }
    }
}

impl Allocation {
    /// The node that has it, if one has.
    pub fn node(&self) -> Option<&NodeShare> {
        if let Self::Node(share) = self { Some(share) } else { None }
    }
}

#[cfg(test)]
mod tests;
