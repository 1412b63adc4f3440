//! The host's end of the pair as a port of the bridge: its mode, its VLANs, and when it works (PLG-BRIDGE-13, -19).

use std::time::{Duration, Instant};

use manifold_cni::CniError;
use manifold_net::{BridgeVlan, Link, LinkChange, Net, VlanOwner};
use manifold_plugin_conf::BridgeConf;

use crate::interface::failure::Told;

/// As long as the reference looks, in all.
const PATIENCE: Duration = Duration::from_millis(2550);
/// A spanning tree with the kernel's usual delay takes three times as long as this, and so much longer than an ADD may.
const SPANNING_TREE_PATIENCE: Duration = Duration::from_secs(10);
const DEFAULT_VLAN: u16 = 1;

/// Makes the link a port, and sets it up last: no frame passes before its VLANs are right.
pub(super) fn join(host: &Net, bridge: &Link, port: &Link, conf: &BridgeConf) -> Result<(), CniError> {
    host.set_master(port.index, bridge.index).told()?;
    if conf.hairpin_mode {
        host.set_hairpin(port.index, true).told()?;
    }
    if conf.port_isolation {
        host.set_isolated(port.index, true).told()?;
    }
    if conf.wants_vlans() {
        set_vlans(host, port, &vlans(conf), conf.preserve_default_vlan)?;
    }
    host.change(port.index, &LinkChange { up: Some(true), ..LinkChange::default() }).told()
}

pub(super) fn set_vlans(
    host: &Net,
    port: &Link,
    vlans: &[BridgeVlan],
    preserve_default: bool,
) -> Result<(), CniError> {
    let owner = VlanOwner::Port(port.index);
    if !preserve_default {
        // Whatever the bridge gave the port by default; the kernel passes over those it does not have.
        host.del_bridge_vlans(owner, &[BridgeVlan::tagged_range(1, 4094)]).told()?;
    }
    host.add_bridge_vlans(owner, vlans).told()
}

/// The one that untagged frames belong to, then the tagged ones as ranges.
pub(super) fn vlans(conf: &BridgeConf) -> Vec<BridgeVlan> {
    let access = conf.vlan.get().unwrap_or(DEFAULT_VLAN);
    let mut vlans = vec![BridgeVlan::access(access)];
    // Said again as tagged, the first would lose its untagged frames.
    for id in conf.vlan_trunk.ids().iter().copied().filter(|id| *id != access) {
        match vlans.last_mut() {
            Some(run) if !run.pvid && run.last + 1 == id => run.last = id,
            _ => vlans.push(BridgeVlan::tagged(id)),
        }
    }
    vlans
}

pub(super) fn wait_until_up(host: &Net, port: &Link, deadline: Instant) -> Result<(), CniError> {
    let patience = deadline.min(Instant::now() + PATIENCE);
    if host.wait_link_oper_up(port.index, patience).told()? {
        return Ok(());
    }
    let state = match host.link_by_index(port.index).told()? {
        None => "is gone",
        Some(link) if link.up => "has no carrier",
        Some(_) => "was set down",
    };
    let text =
        format!("the bridge port `{}` did not come up: it {state}; find out what else changes it", port.name);
    Err(CniError::failed(text))
}

/// On a bridge with a spanning tree a new port is deaf and mute while it listens and learns. A pod that started meanwhile would
/// have no network, and its announcement would reach nobody (COMPAT-37). The pod's network works later in any case, so
/// nothing here fails an ADD.
pub(super) fn wait_until_it_forwards(host: &Net, bridge: &Link, port: &Link, deadline: Instant) {
    let Some(delay) = bridge.forward_delay else { return };
    let takes = delay * 2;
    let until = deadline.min(Instant::now() + SPANNING_TREE_PATIENCE);
    let waits = takes <= SPANNING_TREE_PATIENCE;
    if waits && host.wait_bridge_port_forwards(port.index, until).unwrap_or(false) {
        return;
    }
    tracing::warn!(
        bridge = bridge.name,
        port = port.name,
        "the bridge has a spanning tree, whose ports forward only after {} s, so the pod has no network until then; set its \
         forward delay to {} s or less, or switch the tree off where the bridge is in no loop",
        takes.as_secs(),
        SPANNING_TREE_PATIENCE.as_secs() / 2
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(conf: &str, expected: &[BridgeVlan]) {
        let conf: BridgeConf = serde_json::from_str(conf).unwrap();
        assert_eq!(vlans(&conf), expected);
    }

    // Proves: PLG-BRIDGE-13
    #[test]
    fn a_vlan_is_untagged_a_trunk_is_tagged_and_a_trunk_alone_keeps_vlan_1_for_untagged_frames() {
        check(r#"{"vlan": 100}"#, &[BridgeVlan::access(100)]);
        check(
            r#"{"vlanTrunk": [{"minID": 10, "maxID": 12}, {"id": 20}]}"#,
            &[BridgeVlan::access(1), BridgeVlan::tagged_range(10, 12), BridgeVlan::tagged(20)],
        );
        check(
            r#"{"vlan": 100, "vlanTrunk": [{"id": 101}]}"#,
            &[BridgeVlan::access(100), BridgeVlan::tagged(101)],
        );
        check(r#"{"vlan": 100, "vlanTrunk": [{"id": 100}]}"#, &[BridgeVlan::access(100)]);
    }
}
