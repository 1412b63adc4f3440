//! The networks of a bed, and what its pods ask for.

use std::path::Path;

use serde_json::{Value, json};

use crate::executable;
use crate::netns::HostNs;

/// How many addresses the network `exact` has.
pub const EXACT: usize = 8;

/// Which networks a pod of a bed has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// The default network alone: a bridge with IPv4 and IPv6.
    Plain,
    /// The default network with host ports, a second bridge, and a macvlan.
    Bridges,
    /// The default network, and a ptp that masquerades.
    Masquerade,
    /// The default network, a plugin that is executed, and a macvlan.
    Executed,
}

impl Topology {
    pub const ALL: [Self; 4] = [Self::Plain, Self::Bridges, Self::Masquerade, Self::Executed];

    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "default network",
            Self::Bridges => "host ports, bridge, macvlan",
            Self::Masquerade => "ptp with masquerading",
            Self::Executed => "executed plugin, macvlan",
        }
    }

    /// The annotation.
    pub(super) fn selection(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bridges => "storage,wire",
            Self::Masquerade => "link",
            Self::Executed => "other,wire",
        }
    }

    pub(super) fn ports(self) -> Value {
        match self {
            Self::Bridges => json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]),
            _ => json!([]),
        }
    }

    /// All definitions, as YAML. Leases lie where host-local has them by default, which is the bed's folder.
    pub(super) fn manifests(self, host: &HostNs) -> String {
        let ipam = |subnets: &[&str]| {
            let ranges: Vec<Value> = subnets.iter().map(|subnet| json!([{"subnet": subnet}])).collect();
            json!({"type": "host-local", "ranges": ranges})
        };
        let bridge = |name: &str, link: &str, subnets: &[&str]| json!({"type": "bridge", "bridge": link, "name": name, "ipam": ipam(subnets)});
        let mut default =
            bridge("cluster-wide-network", "mf-cluster", &["10.244.0.0/16", "fd00:10:244::/64"]);
        if let Some(object) = default.as_object_mut() {
            object.insert("isDefaultGateway".into(), true.into());
        }
        let mut chain = vec![default];
        if self == Self::Bridges {
            chain.push(
                json!({"type": "portmap", "capabilities": {"portMappings": true}, "backend": "nftables"}),
            );
        }
        let list = |name: &str, plugins: Vec<Value>| json!({"cniVersion": "1.1.0", "name": name, "plugins": plugins});
        let trace = host.folder().join("trace");
        let all = [
            ("kube-system", "cluster-wide-network", list("cluster-wide-network", chain)),
            ("default", "storage", list("storage", vec![bridge("storage", "mf-storage", &["10.50.0.0/16"])])),
            (
                "default",
                "wire",
                list(
                    "wire",
                    vec![json!({
                        "type": "macvlan", "master": "eth1", "mode": "bridge", "ipam": ipam(&["10.60.0.0/16"]),
                    })],
                ),
            ),
            (
                "default",
                "link",
                list(
                    "link",
                    vec![json!({
                        "type": "ptp", "ipMasq": true, "ipMasqBackend": "nftables", "ipam": ipam(&["10.70.0.0/16", "fd00:70::/64"]),
                    })],
                ),
            ),
            (
                "default",
                "exact",
                list(
                    "exact",
                    vec![json!({
                        "type": "bridge", "bridge": "mf-exact", "name": "exact", "ipam": {
                            "type": "host-local",
                            "ranges": [[{"subnet": "10.80.0.0/24", "rangeStart": "10.80.0.101", "rangeEnd": "10.80.0.108"}]],
                        },
                    })],
                ),
            ),
            (
                "default",
                "other",
                list(
                    "other",
                    vec![json!({
                        "type": "fake", "fake": {"*": {"work": true}, "trace": trace},
                    })],
                ),
            ),
        ];
        all.iter().map(|(namespace, name, config)| definition(namespace, name, config)).collect()
    }

    pub(super) fn install(self, folder: &Path) -> anyhow::Result<()> {
        match self {
            Self::Executed => executable::install(&executable::fake_delegate()?, folder, &["fake"]),
            _ => Ok(()),
        }
    }
}

fn definition(namespace: &str, name: &str, config: &Value) -> String {
    let object = json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "namespace": namespace}, "spec": {"config": config.to_string()},
    });
    format!("---\n{object}\n")
}
