//! Which place of the gate a call needs: one for plain pods, or one that its further networks share.

use std::time::Instant;

use manifold_cni::CniError;
use manifold_ledger::Entry;
use manifold_ledger::gate::{Gate, Pass};

use crate::config::{Config, DefaultNetwork};
use crate::shim::Shim;

/// One network of a pod: what people call it, and whether it is the pod's default network.
pub(crate) type Network<'a> = (&'a str, bool);

/// The networks of an entry.
pub(crate) fn of(entry: &Entry) -> Vec<Network<'_>> {
    entry.attachments.iter().map(|a| (a.display.as_str(), a.default)).collect()
}

/// Waits for a place. `go_on` ends the wait by its error.
pub(crate) fn enter(
    shim: &Shim,
    gate: Gate,
    networks: &[Network<'_>],
    deadline: Instant,
    go_on: &dyn Fn() -> Result<(), CniError>,
) -> Result<Pass, CniError> {
    let further: Vec<&str> = networks.iter().filter(|n| is_further(&shim.config, n)).map(|n| n.0).collect();
    let deadline = deadline.min(Instant::now() + Gate::PATIENCE);
    Ok(gate.enter(&shim.config.state_dir, &further, deadline, go_on)?)
}

/// Whether the pod's author chose it. What the node's configuration gives every pod is nobody's choice: if that hangs, all
/// pods hang.
fn is_further(config: &Config, (network, is_default): &Network<'_>) -> bool {
    let is_of_node = match &config.default_network {
        DefaultNetwork::Cluster(value) => [value].into_iter().chain(&config.default_networks).any(|value| {
            value == network || network.split_once('/') == Some((config.multus_namespace.as_str(), value))
        }),
        DefaultNetwork::Delegates(list) => list.iter().any(|conf| {
            conf.get("name")
                .is_some_and(|raw| serde_json::from_str(raw.get()).is_ok_and(|n: String| n == *network))
        }),
    };
    // A default network from disk goes by the name in its file; one that a pod chose is a definition.
    !is_of_node && (!is_default || network.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn further(keys: &str, network: &str, is_default: bool) -> bool {
        let entry = format!(r#"{{"cniVersion":"1.1.0","name":"m",{keys}}}"#);
        is_further(&Config::parse(entry.as_bytes()).unwrap(), &(network, is_default))
    }

    // Shows part of: F-RUN-8
    #[test]
    fn what_the_node_gives_every_pod_is_plain_and_what_a_pod_chooses_is_not() {
        let cluster = r#""clusterNetwork":"cluster-wide-network","multusNamespace":"system","defaultNetworks":["logs"]"#;
        for network in ["system/cluster-wide-network", "cluster-wide-network"] {
            assert!(!further(cluster, network, true), "{network}");
        }
        assert!(!further(cluster, "system/logs", false));
        assert!(further(cluster, "shop/cluster-wide-network", true), "the pod's own default network");
        assert!(further(cluster, "shop/storage", false) && further(cluster, "shop/logs", false));
        let path = r#""clusterNetwork":"/etc/cni/net.d/10-flannel.conflist""#;
        assert!(!further(path, "cbr0", true) && further(path, "shop/storage", true));
        let inline = r#""delegates":[{"name":"cbr0","type":"flannel"},{"name":"logs","type":"macvlan"}]"#;
        assert!(!further(inline, "cbr0", true) && !further(inline, "logs", false));
        assert!(further(inline, "shop/logs", false));
    }
}
