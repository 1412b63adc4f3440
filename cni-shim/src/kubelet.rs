//! The kubelet: which devices it has allocated to a pod, asked over its pod-resources socket.
//!
//! Asked only where a network of the pod names a resource: no other call opens the socket, makes an event loop or a
//! channel. One answer, `Get` for the one pod, is enough; kubelets that lack or refuse it are asked for the `List` of all
//! pods. The whole is bounded by a deadline, every answer in size, and what the kubelet says is parsed before it is used.

mod call;
mod devices;
mod error;
mod messages;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use manifold_crds::ResourceName;
use manifold_plan::Allocation;

pub use error::KubeletError;

use crate::source::PodRef;

/// The pod's devices of these resources.
pub fn devices(
    socket: &Path,
    pod: &PodRef,
    resources: &BTreeSet<ResourceName>,
    deadline: Instant,
) -> Result<Allocation, KubeletError> {
    let found = call::pod_resources(socket, pod, deadline)?;
    devices::allocation(&found, resources)
}
