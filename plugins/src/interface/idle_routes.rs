//! Routes that lead nowhere: of a family of which the pod has no address, and through no gateway (COMPAT-12).
//!
//! Definitions often carry `0.0.0.0/0` and `::/0` side by side and a range of one family only. The kernel refuses an IPv6
//! route on a link whose IPv6 is off, and no packet could take it anyway, so such a route must not fail the pod.

use manifold_cni::{CniError, CniResult, Route};
use manifold_net::{Family, Net};

use super::failure::Told;

/// Takes them out of the result, so that CHECK does not look for them. `own` is the index of the link among its interfaces.
pub(crate) fn leave_out(result: &mut CniResult, own: usize, pod: &Net) -> Result<(), CniError> {
    let (v4, v6) = (has_own(result, own, Family::V4), has_own(result, own, Family::V6));
    let idle = |route: &Route, v4: bool| {
        route.gw.is_none()
            && match Family::of(route.dst.addr()) {
                Family::V4 => !v4,
                Family::V6 => !v6,
            }
    };
    if !result.routes.iter().any(|route| idle(route, v4)) {
        return Ok(());
    }
    // An IPv4 packet may leave by this link with the address of another one of the pod.
    let v4 = v4 || has_ipv4(pod)?;
    let (out, kept) = std::mem::take(&mut result.routes).into_iter().partition(|route| idle(route, v4));
    result.routes = kept;
    for Route { dst, .. } in out {
        tracing::warn!(%dst, "a route was left out because the pod has no address of its family");
    }
    Ok(())
}

fn has_own(result: &CniResult, own: usize, family: Family) -> bool {
    let mut own = result.ips.iter().filter(|ip| ip.interface == Some(own));
    own.any(|ip| Family::of(ip.address.addr()) == family)
}

fn has_ipv4(pod: &Net) -> Result<bool, CniError> {
    for link in pod.links().told()?.iter().filter(|link| link.name != "lo") {
        if pod.addresses(link.index).told()?.iter().any(|address| address.ip.addr().is_ipv4()) {
            return Ok(true);
        }
    }
    Ok(false)
}
