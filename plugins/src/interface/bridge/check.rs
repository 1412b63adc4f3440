//! CHECK of a bridge attachment: the bridge, both ends of the pair, addresses, routes and the gateway (PLG-BRIDGE-21,
//! COMPAT-27).

use manifold_cni::{Attachment, CniError, CniResult, Input, IpConfig};
use manifold_net::{Link, Net};
use manifold_plugin_conf::BridgeConf;

use crate::interface::failure::Told;
use crate::interface::masquerade::{self, Key};
use crate::interface::ownership::has_mac;
use crate::interface::{spoof_check, verify};

pub(super) fn check(input: &Input, at: &Attachment, conf: &BridgeConf) -> Result<(), CniError> {
    let prev = input.require_prev_result()?;
    let host = Net::here().told()?;
    let bridge = bridge(&host, prev, conf)?;
    let found = verify::interface(input, at, "veth")?;
    port(&host, prev, &bridge, &found.link)?;
    found.addresses_and_routes()?;
    gateway(&host, &bridge, conf, found.own_ips())?;
    let key = Key::of(input, at);
    if conf.macspoofchk {
        spoof_check::check(&key, input.deadline)?;
    }
    if conf.ip_masq {
        let addresses: Vec<_> = found.own_ips().map(|ip| conf.masqueraded_beyond(ip.address)).collect();
        masquerade::check(conf.ip_masq_backend, &key, &addresses, input.deadline)?;
    }
    Ok(())
}

/// Where the bridge is the pod's gateway: it still has the address, and the link that has it is up.
fn gateway<'a>(
    host: &Net,
    bridge: &Link,
    conf: &BridgeConf,
    ips: impl Iterator<Item = &'a IpConfig>,
) -> Result<(), CniError> {
    let gateways: Vec<_> = ips.filter_map(|ip| ip.gateway).collect();
    if !conf.is_gateway() || gateways.is_empty() {
        return Ok(());
    }
    let in_vlan = match conf.vlan.get() {
        Some(id) => Some(leg_in_vlan(host, bridge, id)?),
        None => None,
    };
    let link = in_vlan.as_ref().unwrap_or(bridge);
    let there = host.addresses(link.index).told()?;
    for gateway in gateways {
        if !there.iter().any(|address| address.ip.addr() == gateway) {
            let text = format!("`{}` has lost the address `{gateway}` of the pods' gateway", link.name);
            return Err(CniError::check(text));
        }
    }
    Ok(())
}

fn leg_in_vlan(host: &Net, bridge: &Link, id: u16) -> Result<Link, CniError> {
    let name = format!("{}.{id}", bridge.name);
    match host.link(&name).told()? {
        Some(link) if link.up => Ok(link),
        Some(_) => Err(CniError::check(format!("the gateway's interface `{name}` is down"))),
        None => Err(CniError::check(format!("the gateway's interface `{name}` does not exist any more"))),
    }
}

fn bridge(host: &Net, prev: &CniResult, conf: &BridgeConf) -> Result<Link, CniError> {
    let name = conf.bridge.as_str();
    let differs = |how: String| Err(CniError::check(format!("bridge `{name}` {how}")));
    let Some(link) = host.link(name).told()? else { return differs("does not exist any more".into()) };
    if !link.is_kind("bridge") {
        return differs("is not a bridge any more".into());
    }
    let told = prev.interfaces.iter().find(|told| told.name == name && told.sandbox.is_empty());
    let Some(told) = told else { return differs("is not in `prevResult`".into()) };
    if !told.mac.is_empty() && !has_mac(&link, told) {
        let found = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
        return differs(format!("has MAC address `{found}`, and had `{}`", told.mac));
    }
    if !link.up {
        return differs("is down".into());
    }
    if link.promisc != conf.promisc_mode {
        return differs(format!("has promiscuous mode `{}`, not `{}`", link.promisc, conf.promisc_mode));
    }
    Ok(link)
}

/// One of the host's links in the result is the other end, and a port of the bridge.
fn port(host: &Net, prev: &CniResult, bridge: &Link, inner: &Link) -> Result<(), CniError> {
    for told in prev.interfaces.iter().filter(|told| told.sandbox.is_empty() && told.name != bridge.name) {
        match host.link(&told.name).told()? {
            Some(link) if link.is_kind("veth") && inner.peer_or_parent == Some(link.index) => {
                let fault = match link.master == Some(bridge.index) {
                    true if link.up => return Ok(()),
                    true => "is down".to_owned(),
                    false => format!("is not a port of bridge `{}` any more", bridge.name),
                };
                let text = format!("the host's end `{}` of interface `{}` {fault}", link.name, inner.name);
                return Err(CniError::check(text));
            }
            _ => {}
        }
    }
    Err(CniError::check(format!("the host's end of interface `{}` is not there any more", inner.name)))
}
