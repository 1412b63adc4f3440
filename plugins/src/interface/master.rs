//! The link below a macvlan, ipvlan or VLAN: which one it is, how large its frames may be, whether it is still there.

use manifold_cni::{CniError, IfName};
use manifold_net::{Link, Net, RouteFilter, route};

use super::failure::Told;

/// The link named, or that of the default route.
pub(crate) fn find(home: &Net, named: Option<&IfName>) -> Result<Link, CniError> {
    if let Some(name) = named {
        let found = home.link(name.as_str()).told()?;
        return found.ok_or_else(|| missing(name.as_str()));
    }
    let routes =
        home.routes(RouteFilter { table: Some(route::MAIN_TABLE), ..RouteFilter::default() }).told()?;
    let by_default = routes
        .iter()
        .filter(|route| route.is_default())
        .find_map(|route| route.oif.or_else(|| route.multipath.first().map(|hop| hop.oif)));
    let found = by_default.map_or(Ok(None), |index| home.link_by_index(index)).told()?;
    found.ok_or_else(|| {
        CniError::failed("`master` is not given, and there is no default route to take it from; name it")
    })
}

pub(crate) fn missing(name: &str) -> CniError {
    CniError::failed(format!("there is no link `{name}` to be the `master`; create it, or name another one"))
}

pub(crate) fn check_mtu(mtu: Option<u32>, master: &Link) -> Result<(), CniError> {
    match mtu {
        Some(mtu) if mtu > master.mtu => Err(CniError::config(format!(
            "`mtu` {mtu} is above that of the master `{}`; use 0 to {}",
            master.name, master.mtu
        ))),
        _ => Ok(()),
    }
}

/// For CHECK: the link is still on the master that is named, or on one that exists.
pub(crate) fn check(home: &Net, named: Option<&IfName>, link: &Link) -> Result<(), CniError> {
    let parent = link.peer_or_parent.map_or(Ok(None), |index| home.link_by_index(index)).told()?;
    match (named, parent) {
        (Some(named), Some(parent)) if parent.name != named.as_str() => Err(CniError::check(format!(
            "interface `{}` is on link `{}`, not on the master `{named}`",
            link.name, parent.name
        ))),
        (Some(named), None) => Err(CniError::check(format!("the master `{named}` does not exist any more"))),
        (None, None) => {
            Err(CniError::check(format!("the master of interface `{}` does not exist any more", link.name)))
        }
        (_, Some(_)) => Ok(()),
    }
}
