//! The pod's default routes: applied once, after every network is attached, and verified by what the kernel says then.

use manifold_cni::{CniError, CniResult, code};
use manifold_net::route::{MAIN_TABLE, NextHop};
use manifold_net::{Net, NetError, Netns, Route, RouteAdd, RouteFilter};
use manifold_plan::{Family, Plan, RouteChange};

use manifold_ledger::{Entry, Exact};

/// Settles whose default routes stay, applies it, and lets the recorded results say what is true now, so that CHECK
/// expects it. Nothing is opened when nobody asked for anything.
pub(crate) fn settle(plan: &Plan, entry: &mut Entry, netns: &Netns) -> Result<(), CniError> {
    if plan.attachments.iter().all(|a| a.default_route.is_keep()) {
        return Ok(());
    }
    let mut results = results(entry)?;
    let changes = plan.settle_routes(&mut results)?;
    let net = Net::inside(netns).map_err(failed)?;
    for change in &changes {
        apply(&net, plan, change)?;
    }
    for change in &changes {
        verify(&net, plan, change)?;
    }
    for (attachment, result) in entry.attachments.iter_mut().zip(&results) {
        attachment.result = Some(Exact(result.to_json(attachment.version)?));
    }
    Ok(())
}

fn results(entry: &Entry) -> Result<Vec<CniResult>, CniError> {
    let parse = |a: &manifold_ledger::Recorded| {
        let raw = a.result.as_ref().map_or(b"{}".as_slice(), Exact::as_slice);
        CniResult::parse(raw, a.version).map(|(result, _)| result)
    };
    entry.attachments.iter().map(parse).collect()
}

fn apply(net: &Net, plan: &Plan, change: &RouteChange) -> Result<(), CniError> {
    let Some(link) = link(net, plan, change)? else {
        return if change.gateway.is_none() { Ok(()) } else { Err(no_interface(plan, change)) };
    };
    for route in defaults(net, link, change)? {
        remove(net, &route, link)?;
    }
    if let Some(gateway) = change.gateway {
        let route =
            Route { gateway: Some(gateway), oif: Some(link), ..Route::default_of(family(change.family)) };
        net.add_route(&route, RouteAdd::Create).map_err(|e| unreachable(plan, change, e))?;
    }
    Ok(())
}

/// Takes the ways over one link out of a route, and leaves those of other networks: the kernel keeps equal IPv6 default
/// routes as one with several ways, and a route of several ways goes as a whole unless one of them is named.
fn remove(net: &Net, route: &Route, link: u32) -> Result<(), CniError> {
    let gone = |route: &Route| match net.del_route(route) {
        Err(e) if !e.is_not_found() => Err(failed(e)),
        _ => Ok(()),
    };
    let of_one = |hop: &NextHop| Route {
        gateway: hop.gateway,
        oif: Some(hop.oif),
        multipath: Vec::new(),
        ..route.clone()
    };
    if route.multipath.is_empty() {
        return gone(route);
    }
    if route.family() == manifold_net::Family::V6 {
        return route.multipath.iter().filter(|hop| hop.oif == link).try_for_each(|hop| gone(&of_one(hop)));
    }
    gone(route)?;
    let left: Vec<NextHop> = route.multipath.iter().filter(|hop| hop.oif != link).copied().collect();
    let rest = match left.as_slice() {
        [] => return Ok(()),
        [only] => of_one(only),
        _ => Route { multipath: left, ..route.clone() },
    };
    net.add_route(&rest, RouteAdd::Create).map_err(failed)
}

/// A dump, after everything was applied: exactly the wanted ways out are there.
fn verify(net: &Net, plan: &Plan, change: &RouteChange) -> Result<(), CniError> {
    let Some(link) = link(net, plan, change)? else { return Ok(()) };
    let found = defaults(net, link, change)?;
    let right = match change.gateway {
        None => found.is_empty(),
        Some(gateway) => matches!(found.as_slice(), [only] if only.gateway == Some(gateway)),
    };
    if right {
        return Ok(());
    }
    let msg = format!(
        "the {} default route over `{}` is not what was set a moment ago",
        change.family,
        name(plan, change)
    );
    Err(CniError::failed(msg).details("fix: look for another agent that changes routes in pods"))
}

fn defaults(net: &Net, link: u32, change: &RouteChange) -> Result<Vec<Route>, CniError> {
    let filter =
        RouteFilter { family: Some(family(change.family)), table: Some(MAIN_TABLE), oif: Some(link) };
    let routes = net.routes(filter).map_err(failed)?;
    Ok(routes.into_iter().filter(Route::is_default).collect())
}

fn link(net: &Net, plan: &Plan, change: &RouteChange) -> Result<Option<u32>, CniError> {
    Ok(net.link(&name(plan, change)).map_err(failed)?.map(|link| link.index))
}

fn name(plan: &Plan, change: &RouteChange) -> String {
    plan.attachments.get(change.attachment).map(|a| a.ifname.to_string()).unwrap_or_default()
}

fn no_interface(plan: &Plan, change: &RouteChange) -> CniError {
    let msg = format!(
        "`default-route` was asked for on interface `{}`, which its plugin did not make",
        name(plan, change)
    );
    CniError::config(msg).details("fix: remove `default-route` from that network's element of the annotation")
}

fn unreachable(plan: &Plan, change: &RouteChange, e: NetError) -> CniError {
    let Some(gateway) = change.gateway.filter(|_| e.is_unreachable()) else { return failed(e) };
    let msg = format!(
        "gateway `{gateway}` of `default-route` cannot be reached over interface `{}`",
        name(plan, change)
    );
    CniError::config(msg).details("fix: name a gateway inside a subnet of that network")
}

fn failed(e: impl std::fmt::Display) -> CniError {
    CniError::new(code::FAILED, format!("the pod's default route: {e}"))
}

fn family(family: Family) -> manifold_net::Family {
    match family {
        Family::V4 => manifold_net::Family::V4,
        Family::V6 => manifold_net::Family::V6,
    }
}
