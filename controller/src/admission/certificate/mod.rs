//! The webhook's own certificates: issued by the leader, stored in one Secret, served by every replica.
//!
//! Each certificate has an authority of its own, whose key is thrown away as soon as it has signed: there is nothing to
//! steal that could sign another. A successor is made when a third of the time is left, and served only after the API
//! server has been told to trust it; the old authority stays trusted until its certificate has ended.

pub(super) mod issue;
pub(super) mod keep;
pub(super) mod plan;
pub(super) mod serving;
pub(super) mod stored;
pub(super) mod trust;
