//! The bridge itself: there already, or made now (PLG-BRIDGE-12).
//!
//! It is never removed, not even when the ADD that made it fails: by then another pod may be on it.

use manifold_cni::CniError;
use manifold_net::{BridgeSpec, Link, LinkChange, Mac, Net, sysctl};
use manifold_plugin_conf::BridgeConf;

use crate::interface::failure::Told;
use crate::interface::sysfs::Sysfs;

/// One that is there keeps its MTU and its VLAN filtering: they are the administrator's, or an earlier pod's.
pub(super) fn ensure(host: &Net, conf: &BridgeConf) -> Result<Link, CniError> {
    let name = conf.bridge.as_str();
    let (mut bridge, was_there) = match host.link(name).told()? {
        Some(found) => (found, true),
        None => (create(host, conf)?, false),
    };
    if !bridge.is_kind("bridge") {
        let kind = bridge.kind.as_deref().unwrap_or("hardware");
        let text =
            format!("link `{name}` is of kind `{kind}`, not a bridge; choose another `bridge`, or remove it");
        return Err(CniError::failed(text));
    }
    if was_there {
        fix_mac(host, conf, &mut bridge)?;
    }
    ignore_router_advertisements(name)?;
    let change = LinkChange {
        up: (!bridge.up).then_some(true),
        promisc: (conf.promisc_mode && !bridge.promisc).then_some(true),
        ..LinkChange::default()
    };
    if change != LinkChange::default() {
        host.change(bridge.index, &change).told()?;
    }
    Ok(bridge)
}

fn create(host: &Net, conf: &BridgeConf) -> Result<Link, CniError> {
    let name = conf.bridge.as_str();
    let spec = BridgeSpec {
        name,
        // With an address of its own it keeps it. Without, it would take that of a port, and change it as pods come
        // and go: neighbours would lose the gateway, and every CHECK would find another bridge.
        mac: Some(Mac::random()),
        mtu: conf.mtu.get(),
        vlan_filtering: conf.wants_vlans(),
        up: false,
    };
    match host.add_bridge(&spec) {
        // Another pod's ADD was faster.
        Err(error) if error.is_exists() => {
            let found = host.link(name).told()?;
            found.ok_or_else(|| CniError::new(manifold_cni::code::TRY_AGAIN, error.to_string()))
        }
        Err(error) if error.is_unsupported() && conf.wants_vlans() => Err(CniError::failed(format!(
            "{error}; the kernel may lack bridge VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING), which `vlan` and \
             `vlanTrunk` need"
        ))),
        made => made.told(),
    }
}

/// A bridge whose address nobody has set takes the lowest one of its ports. So it would take a pod's, change it as pods
/// come and go, and neighbours would lose the node or the gateway (COMPAT-18). It gets the one that it has, before a port is
/// added; once, as setting it makes the host forget the bridge's neighbours. Only a bridge that is empty and carries no
/// gateway stays open: its first uplink may come after the first pod, and is to give it its address.
fn fix_mac(host: &Net, conf: &BridgeConf, bridge: &mut Link) -> Result<(), CniError> {
    if Sysfs::real().has_fixed_mac(bridge) == Some(true) {
        return Ok(());
    }
    let links = host.links().told()?;
    let ports = links.iter().filter(|link| link.master == Some(bridge.index));
    let follows_its_ports = match ports.map(|port| port.mac).min() {
        None => conf.is_gateway(),
        Some(lowest) => lowest == bridge.mac,
    };
    if follows_its_ports {
        // One that lost its last port has none.
        let mac = bridge.mac.filter(|mac| !mac.is_zero()).unwrap_or_else(Mac::random);
        host.set_mac(bridge.index, mac).told()?;
        bridge.mac = Some(mac);
    }
    Ok(())
}

fn ignore_router_advertisements(name: &str) -> Result<(), CniError> {
    let setting = ["net", "ipv6", "conf", name, "accept_ra"];
    match sysctl::get(&setting) {
        Ok(value) if value == "0" => Ok(()),
        Err(error) if error.is_not_found() => Ok(()), // No IPv6 in this kernel.
        _ => sysctl::set(&setting, "0").told(),
    }
}
