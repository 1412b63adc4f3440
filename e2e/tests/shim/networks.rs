//! Configurations of networks, whose leases lie on the test's node and not on the machine.

use serde_json::{Value, json};

use crate::node::Node;

impl Node<'_> {
    pub(crate) fn default_network(&self) -> Value {
        self.bridge("mf-cluster", &["10.244.0.0/24", "fd00:10:244::/64"])
            .with("isDefaultGateway", json!(true))
            .with("name", json!("cluster-wide-network"))
    }

    pub(crate) fn bridge(&self, bridge: &str, subnets: &[&str]) -> Value {
        json!({"cniVersion": "1.1.0", "type": "bridge", "bridge": bridge, "ipam": self.ipam(subnets)})
    }

    pub(crate) fn macvlan(&self, subnets: &[&str]) -> Value {
        json!({
            "cniVersion": "1.1.0", "type": "macvlan", "master": "eth1", "mode": "bridge",
            "capabilities": {"mac": true, "ips": true}, "ipam": self.ipam(subnets),
        })
    }

    pub(crate) fn ptp(&self, subnets: &[&str]) -> Value {
        json!({"cniVersion": "1.1.0", "type": "ptp", "ipMasq": true, "ipMasqBackend": "nftables", "ipam": self.ipam(subnets)})
    }

    /// Leases lie on this node, not on the machine.
    pub(crate) fn ipam(&self, subnets: &[&str]) -> Value {
        let ranges: Vec<Value> = subnets.iter().map(|subnet| json!([{"subnet": subnet}])).collect();
        json!({"type": "host-local", "dataDir": self.folder("networks"), "ranges": ranges})
    }
}

/// A JSON object with one key more, or another value.
pub(crate) trait With {
    fn with(self, key: &str, value: Value) -> Self;
}

impl With for Value {
    fn with(mut self, key: &str, value: Value) -> Self {
        self.as_object_mut().unwrap().insert(key.into(), value);
        self
    }
}
