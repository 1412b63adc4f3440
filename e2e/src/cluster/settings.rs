//! What the kubelet and containerd are told.

use super::{cgroups, images};

/// Understood by every containerd since 1.5. The runtime's process may not lower anybody's score here.
pub(super) const CONTAINERD: &str = r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/local/pod:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"#;

/// Where containerd looks for plugins and configurations, instead of the usual folders.
pub(super) fn cni_folders(bin: &str, conf: &str) -> String {
    format!(
        "  [plugins.\"io.containerd.grpc.v1.cri\".cni]\n    bin_dir = \"{bin}\"\n    conf_dir = \"{conf}\"\n"
    )
}

pub(super) fn kubelet(address: &str, cgroup: &str, authority: &str) -> String {
    debug_assert!(CONTAINERD.contains(images::POD));
    let old_cgroups = if cgroups::is_unified() { "" } else { "failCgroupV1: false\n" };
    format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: "{address}"
healthzBindAddress: 127.0.0.1
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: "{authority}"}}
authorization: {{mode: Webhook}}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
{old_cgroups}cgroupDriver: cgroupfs
cgroupRoot: /{cgroup}
cgroupsPerQOS: true
enforceNodeAllocatable: [pods]
failSwapOn: false
oomScoreAdj: 0
resolvConf: ""
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
staticPodPath: /var/lib/kubelet/manifests
volumePluginDir: /var/lib/kubelet/volume-plugins
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
maxPods: 250
syncFrequency: 10s
nodeStatusUpdateFrequency: 5s
registryPullQPS: 0
"#
    )
}
