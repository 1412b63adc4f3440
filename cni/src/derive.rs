//! The configuration that one plugin gets for one call, derived from the list it stands in.

/// GC's list of living attachments (CNI-GC-1).
pub const VALID_ATTACHMENTS: &str = "cni.dev/valid-attachments";
/// The same under the name that an early text gave it; libcni writes both (CNI-GC-2).
pub const ATTACHMENTS: &str = "cni.dev/attachments";
