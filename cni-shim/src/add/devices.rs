//! The pod's devices, where one of its networks asks for some: the one reason to talk to the kubelet.

use std::time::Instant;

use manifold_cni::CniError;
use manifold_plan::{Allocation, Definitions, Wanted};

use super::who::Who;
use crate::config::Limits;
use crate::kubelet;
use crate::shim::Shim;

/// `None` where no network names a resource, and where there is no pod that the kubelet could know.
pub(super) fn of_pod(
    shim: &Shim,
    who: Option<&Who>,
    wanted: &Wanted,
    found: &Definitions,
) -> Result<Option<Allocation>, CniError> {
    let resources = wanted.resources(found);
    let (false, Some(who)) = (resources.is_empty(), who) else { return Ok(None) };
    let deadline = shim.add_deadline().min(Instant::now() + Limits::KUBELET);
    let given = kubelet::devices(&shim.config.pod_resources_socket, &who.pod, &resources, deadline);
    given.map(Some).map_err(|e| {
        let names: Vec<String> = resources.iter().map(|r| format!("`{r}`")).collect();
        CniError::from(e).details(format!(
            "the networks of pod {} use devices of {}",
            who.pod,
            names.join(", ")
        ))
    })
}
