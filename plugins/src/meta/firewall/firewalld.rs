//! The pod's addresses as sources of a zone of firewalld, told over D-Bus (PLG-FW-4).

use std::time::Instant;

use ipnet::IpNet;
use manifold_cni::CniError;

use super::bus::{Bus, BusError, Call};
use crate::interface::ruleset::LAST_GRACE;

const SERVICE: &str = "org.fedoraproject.FirewallD1";
const PATH: &str = "/org/fedoraproject/FirewallD1";
const ZONE: &str = "org.fedoraproject.FirewallD1.zone";
/// How firewalld begins the sentence about a source that the zone has.
const ALREADY: &str = "ZONE_ALREADY_SET";

/// A bus that is there answers this itself, and at once: the rest of the time is for what is done without it.
pub(super) fn is_there(bus: &str, deadline: Instant) -> bool {
    let deadline = deadline.min(Instant::now() + LAST_GRACE);
    let owned = || -> Result<bool, BusError> {
        let call = Call {
            service: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member: "NameHasOwner",
            arguments: &[SERVICE],
        };
        Ok(is_true(&Bus::connect(bus, deadline)?.call(&call)?))
    };
    owned().unwrap_or(false)
}

pub(super) fn add(bus: &str, zone: &str, addresses: &[IpNet], deadline: Instant) -> Result<(), CniError> {
    let mut bus = connect(bus, deadline)?;
    for ip in addresses {
        match ask(&mut bus, "addSource", zone, *ip) {
            Err(BusError::Refused(said)) if said.contains(ALREADY) => {}
            Err(error) => return Err(told(&error)),
            Ok(_) => {}
        }
    }
    Ok(())
}

pub(super) fn check(bus: &str, zone: &str, addresses: &[IpNet], deadline: Instant) -> Result<(), CniError> {
    let mut bus = connect(bus, deadline)?;
    for ip in addresses {
        if !is_true(&ask(&mut bus, "querySource", zone, *ip).map_err(|error| told(&error))?) {
            return Err(CniError::check(format!(
                "`{ip}` is not a source of firewalld's zone `{zone}` any more"
            )));
        }
    }
    Ok(())
}

/// A source that is gone, or a firewalld that is, leaves nothing to remove. One that does not answer may still have it.
pub(super) fn remove(bus: &str, zone: &str, addresses: &[IpNet], deadline: Instant) -> Result<(), CniError> {
    if addresses.is_empty() {
        return Ok(());
    }
    let mut bus = match Bus::connect(bus, deadline) {
        Ok(bus) => bus,
        Err(BusError::Late) => return Err(told(&BusError::Late)),
        Err(_) => return Ok(()),
    };
    for ip in addresses {
        match ask(&mut bus, "removeSource", zone, *ip) {
            Ok(_) => {}
            Err(BusError::Late) => return Err(told(&BusError::Late)),
            Err(error) => tracing::debug!(%error, %ip, zone, "firewalld did not remove a source"),
        }
    }
    Ok(())
}

fn connect(bus: &str, deadline: Instant) -> Result<Bus, CniError> {
    Bus::connect(bus, deadline).map_err(|error| told(&error))
}

fn ask(bus: &mut Bus, member: &str, zone: &str, ip: IpNet) -> Result<Vec<u8>, BusError> {
    let source = ip.to_string();
    bus.call(&Call { service: SERVICE, path: PATH, interface: ZONE, member, arguments: &[zone, &source] })
}

fn told(error: &BusError) -> CniError {
    CniError::failed(format!("firewalld cannot be given the pod's addresses: {error}"))
}

/// A boolean is a word of four bytes.
fn is_true(body: &[u8]) -> bool {
    body.first_chunk::<4>().is_some_and(|word| u32::from_le_bytes(*word) == 1)
}
