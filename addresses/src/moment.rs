//! Time on a node: which boot, and seconds of that boot's clock. A wall clock that jumps changes nothing.

use manifold_cni::name_type;

name_type!(
    /// What the kernel calls this boot.
    BootId, "boot id", |raw| {
        let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (raw.is_empty() || raw.len() > 64 || !raw.bytes().all(ok)).then_some("it must have 1 to 64 letters, digits and `-`")
    }
);

/// Seconds since some start that the caller chose: the node's boot, or the start of the leader.
pub type Seconds = u64;

/// A moment on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Which boot.
    pub boot: BootId,
    /// On that boot's clock, suspension included.
    pub seconds: Seconds,
}
