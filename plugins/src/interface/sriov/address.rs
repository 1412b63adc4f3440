//! How a virtual function's link gets a MAC address, and how it becomes again what it was (PLG-SRIOV-6, -9).
//!
//! Drivers differ. Some let the link take any address; others only the one that the physical function gave, and that
//! only when they start. So a driver that refuses is started anew, under which the link loses its name and its MTU.

use std::path::Path;

use manifold_cni::CniError;
use manifold_net::{Link, LinkChange, Mac, Net};

use super::{function, link_of};
use crate::interface::failure::Told;

/// A link of the host before a pod had it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Was<'a> {
    pub(super) name: &'a str,
    pub(super) mac: Option<Mac>,
    pub(super) mtu: u32,
}

/// The link with that address: under its name, though its driver may have been started anew.
pub(super) fn put_on(
    host: &Net,
    function: &Path,
    device: &str,
    link: &Link,
    mac: Mac,
) -> Result<Link, CniError> {
    if link.mac != Some(mac) && host.set_mac(link.index, mac).is_err() {
        function::start_driver_anew(function, device)?;
    }
    let mut now = link_of(host, function)?;
    if now.mac != Some(mac) {
        host.set_mac(now.index, mac).told()?;
        now.mac = Some(mac);
    }
    let name = Some(link.name.as_str()).filter(|name| *name != now.name);
    let mtu = Some(link.mtu).filter(|mtu| *mtu != now.mtu);
    host.change(now.index, &LinkChange { name, mtu, ..LinkChange::default() }).told()?;
    now.name.clone_from(&link.name);
    Ok(now)
}

/// Down, under its name, with its address.
pub(super) fn restore(
    host: &Net,
    function: &Path,
    device: &str,
    link: &Link,
    was: &Was<'_>,
) -> Result<(), CniError> {
    let change = LinkChange {
        up: Some(false),
        name: Some(was.name).filter(|name| *name != link.name),
        alias: Some(""),
        mtu: Some(was.mtu).filter(|mtu| *mtu != link.mtu),
        ..LinkChange::default()
    };
    host.change(link.index, &change).told()?;
    let named = Link { name: was.name.to_owned(), mtu: was.mtu, ..link.clone() };
    was.mac.map_or(Ok(()), |mac| put_on(host, function, device, &named, mac).map(drop))
}
