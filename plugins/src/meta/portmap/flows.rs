//! UDP flows that the kernel tracks. They go on to where their first packet went, whatever the rules say by now.

use std::net::IpAddr;

use manifold_cni::{Detachment, Input};
use manifold_net::Family;
use manifold_net::conntrack::{Answered, UdpFlows, forget_udp};
use manifold_plugin_conf::portmap::{PortMapping, Protocol, mappings};

use super::wish::Wish;
use crate::interface::masquerade::known_addresses;
use crate::interface::sandbox;

/// After ADD: these ports lead to another pod than before (PLG-PORTMAP-9).
pub(super) fn forget_those_to_ports(wish: &Wish) {
    let ports = udp_ports(&wish.mappings);
    if !ports.is_empty() {
        forget(UdpFlows { family: wish.family(), to: Some(&ports), answered: Answered::ByAnyone });
    }
}

/// After DEL: a client that goes on sending would reach the next pod that gets the address. Only a pod that had rules
/// or mappings can have such flows, so no other pays for the look.
pub(super) fn forget_those_of_pod(input: &Input, at: &Detachment, had_rules: bool) {
    let mappings = mappings(&input.config).unwrap_or_default();
    let ports = udp_ports(&mappings);
    // Without mappings in the configuration, ports are unknown, and the address alone says which flows are the pod's.
    let to = (!mappings.is_empty()).then_some(ports.as_slice());
    if to.map_or(!had_rules, <[u16]>::is_empty) {
        return;
    }
    let addresses = addresses(input, at);
    for address in &addresses {
        forget(UdpFlows { family: Family::of(*address), to, answered: Answered::By(*address) });
    }
    // Where nobody knows the pod's addresses, the ports of the host say which flows were mapped.
    if addresses.is_empty() && to.is_some() {
        for family in [Family::V4, Family::V6] {
            forget(UdpFlows { family, to, answered: Answered::ByAnother });
        }
    }
}

fn udp_ports(mappings: &[PortMapping]) -> Vec<u16> {
    let udp = mappings.iter().filter(|mapping| mapping.protocol == Protocol::Udp);
    udp.map(|mapping| mapping.host_port).collect()
}

fn addresses(input: &Input, at: &Detachment) -> Vec<IpAddr> {
    let pod = sandbox::find(at.netns.as_deref()).ok().flatten();
    let known = known_addresses(input, at, pod.as_ref()).unwrap_or_default();
    known.into_iter().map(|ip| ip.addr()).collect()
}

/// That it fails is no reason to refuse or to keep a pod.
fn forget(flows: UdpFlows<'_>) {
    if let Err(error) = forget_udp(flows) {
        tracing::warn!(%error, ?flows, "tracked UDP flows may go on to an earlier pod");
    }
}
