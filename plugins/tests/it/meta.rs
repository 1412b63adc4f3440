//! Plugins that are chained behind one that makes an interface: what they change, and what stays of it.

mod bandwidth;
mod differential;
mod firewall;
mod host_ports;
mod portmap;
mod portmap_udp;
mod sbr;
mod tools;
mod tuning;
mod vrf;

use manifold_cni::CniResult;
use serde_json::{Value, json};

use crate::bed::{Bed, Pod, with, with_result};

/// The plugin in front: a routed pair, which needs nothing of the host.
pub(crate) fn ptp(bed: &Bed) -> Value {
    let routes = json!([{"dst": "0.0.0.0/0"}]);
    json!({"cniVersion": "1.1.0", "name": "blue", "type": "ptp",
        "ipam": with(&bed.host_local("10.1.0.0/24"), json!({"routes": routes}))})
}

/// The plugin under test, of the same network.
pub(crate) fn chained(kind: &str, further: Value) -> Value {
    with(&json!({"cniVersion": "1.1.0", "name": "blue", "type": kind}), further)
}

/// ADD of the first, then of the second with the first's result.
pub(crate) fn add_both(bed: &Bed, first: &Value, second: &Value, pod: &Pod) -> (CniResult, CniResult) {
    let made = bed.add(first, pod).unwrap();
    let changed = bed.add(&with_result(second, &made), pod).unwrap();
    (made, changed)
}
