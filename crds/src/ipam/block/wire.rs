//! How a block is written, and what is refused when it is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Allocation, BlockSpec, BlockState, Held, Holder, Recall, Withheld};
use crate::ipam::{BlockCidr, Domain, Offset};

/// `spec` as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wire {
    domain: Domain,
    start: BlockCidr,
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder: Option<Holder>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recall: Option<Recall>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    withheld: BTreeMap<Offset, Withheld>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    allocations: BTreeMap<Offset, Allocation>,
}

/// A block whose state and fields do not fit. Nothing of it may be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "block `{start}` of domain `{domain}` {why}; delete the object, and the nodes that have addresses of it create it again"
)]
pub struct BadBlock {
    domain: Domain,
    start: BlockCidr,
    why: &'static str,
}

impl TryFrom<Wire> for BlockSpec {
    type Error = BadBlock;

    fn try_from(wire: Wire) -> Result<Self, BadBlock> {
        let Wire { domain, start, state, holder, recall, withheld, allocations } = wire;
        let bad = |why| Err(BadBlock { domain: domain.clone(), start, why });
        let state = match (state.as_str(), holder) {
            ("Held", None) => return bad("is Held and has no `holder`"),
            ("Held", Some(_)) if !allocations.is_empty() => return bad("is Held and has `allocations`"),
            ("Held", Some(holder)) => BlockState::Held(Held { holder, recall }),
            ("Shared", Some(_)) => return bad("is Shared and has a `holder`"),
            ("Shared", None) if recall.is_some() => return bad("is Shared and has a `recall`"),
            ("Shared", None) => BlockState::Shared(allocations),
            _ => return bad("has a `state` that is neither Held nor Shared"),
        };
        Ok(Self { domain, cidr: start, withheld, state })
    }
}

impl From<BlockSpec> for Wire {
    fn from(spec: BlockSpec) -> Self {
        let BlockSpec { domain, cidr, withheld, state } = spec;
        let empty = Self {
            domain,
            start: cidr,
            state: String::new(),
            holder: None,
            recall: None,
            withheld,
            allocations: BTreeMap::new(),
        };
        match state {
            BlockState::Held(Held { holder, recall }) => {
                Self { state: "Held".to_owned(), holder: Some(holder), recall, ..empty }
            }
            BlockState::Shared(allocations) => Self { state: "Shared".to_owned(), allocations, ..empty },
        }
    }
}
