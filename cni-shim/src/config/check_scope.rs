//! What CHECK looks at (`check`).

use manifold_cni::CniError;

use super::keys::Keys;

/// Which attachments of a sandbox CHECK checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckScope {
    /// The default network alone. CRI-O calls CHECK after each ADD and for every sandbox at its own restart, and drops the
    /// addresses of a pod whose CHECK fails; a workload may have changed its further interfaces for good by then.
    #[default]
    Default,
    /// Every attachment.
    All,
    /// Nothing.
    Off,
}

impl CheckScope {
    pub(super) fn read(entry: &Keys<'_>) -> Result<Self, CniError> {
        match entry.text("check")?.unwrap_or_default().as_str() {
            "" | "default" => Ok(Self::Default),
            "all" => Ok(Self::All),
            "off" => Ok(Self::Off),
            _ => Err(entry.wrong("check", "`default`, `all` or `off`")),
        }
    }
}
