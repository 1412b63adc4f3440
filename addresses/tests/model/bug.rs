//! Faults that are planted where the crate is driven, to show that the model finds each of their kind.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The address is chosen in one step and its lease made in another.
    LeaseAfterChoice,
    /// Writes do not name the version that was read.
    MissingVersion,
    /// A create of a block that exists replaces it.
    CreateReplaces,
    /// Addresses that leave are given all the same.
    ClosingIgnored,
    /// Holdings forget what leaves when they are read again after a kill.
    ClosingNotDurable,
    /// Holdings count whatever boot they were confirmed in.
    ConfirmationSkipped,
    /// Holdings are used by a Node object that was made anew.
    OtherNodeAccepted,
    /// A folder that was deleted comes back under the same id.
    StoreIdKept,
    /// Holdings are taken up when the request is sent.
    TakenBeforeYes,
    /// What a read shows is taken up, without a write that outdates what is on its way.
    TakenOnRead,
    /// Lost folders are reclaimed without looking at living pods.
    ReclaimBlind,
    /// Nodes are taken for gone by a list from the start.
    NodesNotListed,
    /// Foreign allocations are removed without looking at pods.
    CollectBlind,
    /// A whole block is given back without allocations for what is leased.
    LeasedForgotten,
    /// Idle blocks are never given back.
    NothingReleased,
    /// What a request brought after it timed out is never found.
    OrphansIgnored,
}

pub(crate) const SAFETY: &[Bug] = &[
    Bug::LeaseAfterChoice,
    Bug::MissingVersion,
    Bug::CreateReplaces,
    Bug::ClosingIgnored,
    Bug::ClosingNotDurable,
    Bug::ConfirmationSkipped,
    Bug::OtherNodeAccepted,
    Bug::StoreIdKept,
    Bug::TakenBeforeYes,
    Bug::TakenOnRead,
    Bug::ReclaimBlind,
    Bug::NodesNotListed,
    Bug::CollectBlind,
    Bug::LeasedForgotten,
];

pub(crate) const LIVENESS: &[Bug] = &[Bug::NothingReleased, Bug::OrphansIgnored];
