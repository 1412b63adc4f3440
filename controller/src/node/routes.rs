//! Routes to the pods of the other nodes, of the same subnet. They carry a protocol number of ours, so that the next life of the
//! node agent knows them, and nobody else's route is ever touched.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use manifold_net::route::MAIN_TABLE;
use manifold_net::{Net, NetError, Route, RouteAdd, RouteFilter};

/// The protocol of our routes.
pub const OURS: u8 = 77;

/// What one look brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routed {
    pub changed: usize,
    /// A sentence for each that cannot be.
    pub left: Vec<String>,
}

/// Makes the routes of the main table as they should be.
pub fn apply(net: &Net, wanted: &BTreeMap<IpNet, IpAddr>) -> Result<Routed, NetError> {
    let all = net.routes(RouteFilter { table: Some(MAIN_TABLE), ..RouteFilter::default() })?;
    let (ours, others): (Vec<Route>, Vec<Route>) =
        all.into_iter().partition(|route| route.protocol == Some(OURS));
    let mut routed = Routed::default();
    for stale in ours.iter().filter(|route| !wanted.contains_key(&route.dst)) {
        match net.del_route(stale) {
            Err(why) if !why.is_not_found() => return Err(why),
            _ => routed.changed += 1,
        }
    }
    for (cidr, gateway) in wanted {
        if ours.iter().any(|route| route.dst == *cidr && route.gateway == Some(*gateway)) {
            continue;
        }
        if others.iter().any(|route| route.dst == *cidr) {
            routed.left.push(format!("`{cidr}` already has a route of another program, which stays"));
            continue;
        }
        match way(net, *gateway)? {
            Some(oif) => {
                let route = Route {
                    gateway: Some(*gateway),
                    oif: Some(oif),
                    protocol: Some(OURS),
                    ..Route::new(*cidr)
                };
                net.add_route(&route, RouteAdd::Replace)?;
                routed.changed += 1;
            }
            None => routed.left.push(format!(
                "the node of the pods `{cidr}` has the address `{gateway}`, which is not on a subnet of this node; the built-in \
                 network needs nodes that reach each other directly, so use another default network here"
            )),
        }
    }
    Ok(routed)
}

/// The link over which this address is a neighbour.
fn way(net: &Net, gateway: IpAddr) -> Result<Option<u32>, NetError> {
    match net.route_to(gateway) {
        Ok(Some(route)) if route.gateway.is_none() => Ok(route.oif),
        Ok(_) => Ok(None),
        Err(why) if why.is_unreachable() => Ok(None),
        Err(why) => Err(why),
    }
}
