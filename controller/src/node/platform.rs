//! Whether the container runtime looks into the folders that are configured, as far as the Node object tells which platform
//! this is. What is put elsewhere, no pod ever sees.

use std::path::Path;

use k8s_openapi::api::core::v1::Node;

use super::config::Host;

/// A platform whose runtime has folders of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    K3s,
    Microk8s,
    Gke,
}

impl Platform {
    /// By the version of the kubelet, which k3s and GKE mark, and by a label of microk8s.
    pub fn of(node: &Node) -> Option<Self> {
        let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
        let kubelet = info.map_or("", |info| info.kubelet_version.as_str());
        let has_label =
            |label: &str| node.metadata.labels.as_ref().is_some_and(|all| all.contains_key(label));
        if kubelet.contains("+k3s") {
            Some(Self::K3s)
        } else if kubelet.contains("-gke.") {
            Some(Self::Gke)
        } else {
            has_label("microk8s.io/cluster").then_some(Self::Microk8s)
        }
    }

    /// Its name in the chart's values.
    fn name(self) -> &'static str {
        match self {
            Self::K3s => "k3s",
            Self::Microk8s => "microk8s",
            Self::Gke => "gke",
        }
    }

    /// Executables and configurations, as the chart's `platform` sets them.
    pub fn folders(self) -> [&'static str; 2] {
        match self {
            Self::K3s => ["/var/lib/rancher/k3s/data/cni", "/var/lib/rancher/k3s/agent/etc/cni/net.d"],
            Self::Microk8s => {
                ["/var/snap/microk8s/current/opt/cni/bin", "/var/snap/microk8s/current/args/cni-network"]
            }
            Self::Gke => ["/home/kubernetes/bin", "/etc/cni/net.d"],
        }
    }

    /// What is wrong, where a folder is the usual one of other platforms. One that somebody named is believed.
    pub fn warning(self, host: &Host) -> Option<String> {
        let usual = Host::default();
        let own = self.folders();
        let missed = |given: &Path, usual: &Path, own: &str| given == usual && given != Path::new(own);
        let is_wrong =
            missed(&host.bin_dir, &usual.bin_dir, own[0]) || missed(&host.conf_dir, &usual.conf_dir, own[1]);
        is_wrong.then(|| {
            format!(
                "this node is one of {name}, whose container runtime looks for plugins in `{}` and for configurations in `{}`, \
                 but Manifold puts them into `{}` and `{}`; set the chart's value `platform` to `{name}`",
                own[0],
                own[1],
                host.bin_dir.display(),
                host.conf_dir.display(),
                name = self.name()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(kubelet: &str, labels: &[&str]) -> Node {
        let labels: serde_json::Map<String, serde_json::Value> =
            labels.iter().map(|label| ((*label).to_owned(), "true".into())).collect();
        let info = serde_json::json!({
            "containerRuntimeVersion": "containerd://1.7.22", "architecture": "", "bootID": "", "kernelVersion": "",
            "kubeProxyVersion": "", "kubeletVersion": kubelet, "machineID": "", "operatingSystem": "", "osImage": "",
            "systemUUID": "",
        });
        let node = serde_json::json!({"metadata": {"labels": labels}, "status": {"nodeInfo": info}});
        serde_json::from_value(node).unwrap()
    }

    // Proves: COMPAT-39
    #[test]
    fn usual_folders_on_a_platform_with_its_own_are_told_with_the_value() {
        for (kubelet, label, expected) in [
            ("v1.31.2+k3s1", None, Some(Platform::K3s)),
            ("v1.30.5-gke.1443001", None, Some(Platform::Gke)),
            ("v1.31.1", Some("microk8s.io/cluster"), Some(Platform::Microk8s)),
            ("v1.31.2+rke2r1", None, None),
            ("v1.31.2+k0s", None, None),
            ("v1.31.2", None, None),
        ] {
            let found = Platform::of(&node(kubelet, label.as_slice()));
            assert_eq!(found, expected, "{kubelet}");
            let Some(platform) = found else { continue };
            let told = platform.warning(&Host::default()).unwrap();
            assert!(told.contains(&format!("`platform` to `{}`", platform.name())), "{told}");
            let [bin_dir, conf_dir] = platform.folders().map(Into::into);
            let own = Host { bin_dir, conf_dir, ..Host::default() };
            assert_eq!(platform.warning(&own), None);
            let named = Host { bin_dir: "/opt/mine".into(), conf_dir: "/etc/mine".into(), ..Host::default() };
            assert_eq!(platform.warning(&named), None, "somebody knows better");
        }
    }
}
