//! Says which pods use which network, and keeps that true on the definitions.
//!
//! Two feeds come in: every pod that has not ended, as metadata (`crate::feed`, `pod.rs`, `uses.rs`), and every definition. The
//! index (`index.rs`) counts. For each definition whose users or text changed, `decide.rs` says what its status and
//! finalizer should be, `queue.rs` when it is written, and `apply.rs` writes it. `missing.rs` finds pods that run
//! without the networks they asked for, and `rounds.rs` asks about them. Only the leader runs this, and asks its term before every write.
//!
//! No count means anything before the first complete list, so nothing is written before it.

mod apply;
mod decide;
mod index;
mod metrics;
mod missing;
mod observed;
mod pod;
mod queue;
mod rounds;
mod users;
mod uses;
mod worker;

pub use decide::Reason;
pub use metrics::Metrics;
pub use missing::Patience;
pub(crate) use pod::Uid;
pub use queue::Limits;
pub(crate) use worker::PODS_THAT_COUNT;
pub use worker::{Pace, run, run_at};
