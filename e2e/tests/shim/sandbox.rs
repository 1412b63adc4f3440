//! A pod at the API server with its sandbox on the node.

use manifold_e2e::netns::TestNetns;
use manifold_e2e::runtime::Pod;
use serde_json::Value;

use crate::node::{NETWORKS, Node, STATUS};

pub(crate) struct Sandbox {
    pub(crate) netns: TestNetns,
    pub(crate) pod: Pod,
}

impl Node<'_> {
    /// A pod that asks for these networks; none: an empty text.
    pub(crate) fn sandbox(&self, name: &str, networks: &str) -> Sandbox {
        let annotations: &[(&str, &str)] = if networks.is_empty() { &[] } else { &[(NETWORKS, networks)] };
        self.sandbox_with(name, annotations)
    }

    pub(crate) fn sandbox_with(&self, name: &str, annotations: &[(&str, &str)]) -> Sandbox {
        let uid = self.ns.pod(name, annotations).unwrap();
        let netns = TestNetns::new().unwrap();
        let pod = annotations
            .iter()
            .fold(Pod::new(&netns, self.ns.name(), name).with_uid(&uid), |pod, (key, value)| {
                pod.annotated(key, value)
            });
        Sandbox { netns, pod }
    }

    /// The status annotation, as the API server has it now.
    pub(crate) fn status(&self, pod: &str) -> Option<Vec<Value>> {
        let text = self.ns.annotation(pod, STATUS).unwrap()?;
        Some(serde_json::from_str(&text).unwrap())
    }
}

impl Sandbox {
    /// The pod's interfaces but `lo`, in the order in which they were made.
    pub(crate) fn links(&self) -> Vec<String> {
        let links = crate::kernel::ip(&self.netns, "link show");
        let mut names: Vec<(u64, String)> = links
            .iter()
            .map(|link| (link["ifindex"].as_u64().unwrap(), link["ifname"].as_str().unwrap().to_string()))
            .filter(|(_, name)| name != "lo")
            .collect();
        names.sort();
        names.into_iter().map(|(_, name)| name).collect()
    }
}
