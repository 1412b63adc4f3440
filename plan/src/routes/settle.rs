//! With the results at hand: what is to be done in the pod, and what the results say after it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use manifold_cni::{CniResult, Route};

use super::{Family, Intent, RouteChange, RouteIntent};
use crate::Refusal;

/// The kernel's main table; other tables have default routes of their own, which are nobody's business here.
const MAIN_TABLE: u32 = 254;

/// What to do in the pod, in order: removals first, so that a new route never meets an old one. The results are changed to
/// tell what will be true then: they are what CHECK compares and the status is made of (MLT-GW-7).
/// A refusal comes with the place of its attachment.
///
/// # Errors
/// If a gateway cannot be reached by the attachment of that place.
pub fn settle(
    intents: &[RouteIntent],
    results: &mut [CniResult],
) -> Result<Vec<RouteChange>, (usize, Refusal)> {
    let had: Vec<[bool; 2]> =
        results.iter().map(|r| Family::BOTH.map(|family| has_default(r, family))).collect();
    let has = |place: usize, family: Family| {
        let [v4, v6] = had.get(place).copied().unwrap_or_default();
        if family == Family::V4 { v4 } else { v6 }
    };
    let mut changes = Vec::new();
    for (attachment, (intent, result)) in intents.iter().zip(results.iter_mut()).enumerate() {
        for family in Family::BOTH {
            let gateway = match intent.get(family) {
                Intent::Keep => continue,
                Intent::YieldTo(other) if !has(other, family) => continue,
                Intent::YieldTo(_) | Intent::Remove => None,
                Intent::Via(gateway) => Some(gateway),
            };
            if let Some(gateway) = gateway {
                reachable(result, gateway).map_err(|e| (attachment, e))?;
            }
            rewrite(result, family, gateway);
            changes.push(RouteChange { attachment, family, gateway });
        }
    }
    changes.sort_by_key(|change| change.gateway.is_some());
    Ok(changes)
}

fn is_default(route: &Route, family: Family) -> bool {
    let main = matches!(route.table, None | Some(0 | MAIN_TABLE));
    route.is_default() && main && Family::of(route.dst.addr()) == family
}

fn has_default(result: &CniResult, family: Family) -> bool {
    result.routes.iter().any(|r| is_default(r, family))
}

fn rewrite(result: &mut CniResult, family: Family, gateway: Option<IpAddr>) {
    result.routes.retain(|r| !is_default(r, family));
    let everything = match family {
        Family::V4 => IpNet::new_assert(Ipv4Addr::UNSPECIFIED.into(), 0),
        Family::V6 => IpNet::new_assert(Ipv6Addr::UNSPECIFIED.into(), 0),
    };
    result.routes.extend(gateway.map(|gw| Route::new(everything, Some(gw))));
}

/// The kernel takes a gateway only if the link leads to it; this says so in better words. A result without addresses
/// (they come later, or from elsewhere) is believed.
fn reachable(result: &CniResult, gateway: IpAddr) -> Result<(), Refusal> {
    let link_local = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let on_link = result.routes.iter().filter(|r| r.gw.is_none() && !r.is_default()).map(|r| r.dst);
    let mut nets = result.ips.iter().map(|ip| ip.address).chain(on_link);
    if link_local || result.ips.is_empty() || nets.any(|net| net.contains(&gateway)) {
        return Ok(());
    }
    let own: Vec<String> = result.ips.iter().map(|ip| format!("`{}`", ip.address)).collect();
    Err(Refusal::new(
        format!(
            "`default-route` names the gateway `{gateway}`, which is in no subnet of the interface; it has {}",
            own.join(", ")
        ),
        "name a gateway of that network in the pod's annotation",
    ))
}
