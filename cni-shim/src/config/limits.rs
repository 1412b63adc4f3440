//! How long and how many (`limits`), and the budgets that are not configured.

use std::time::Duration;

use manifold_cni::CniError;

use super::keys::Keys;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One plugin call.
    pub delegate: Duration,
    /// One whole ADD.
    pub add: Duration,
    pub networks_per_pod: usize,
}

impl Limits {
    /// Everything an ADD asks the API server before it attaches.
    pub const API: Duration = Duration::from_secs(10);
    /// What the kubelet may take to tell a pod's devices.
    pub const KUBELET: Duration = Duration::from_secs(10);
    /// The status.
    pub const PUBLISH: Duration = Duration::from_secs(2);

    pub(super) fn read(entry: &Keys<'_>) -> Result<Self, CniError> {
        let object = entry.object("limits")?.unwrap_or_default();
        let keys = Keys::inside(&object, "limits");
        let networks = keys.number("networksPerPod", 32, 256)?;
        Ok(Self {
            delegate: Duration::from_secs(keys.number("delegateSeconds", 30, 3600)?),
            add: Duration::from_secs(keys.number("addSeconds", 90, 3600)?),
            networks_per_pod: usize::try_from(networks).unwrap_or(32),
        })
    }
}
