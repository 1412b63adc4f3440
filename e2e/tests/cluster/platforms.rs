//! Nodes whose container runtime has other folders than usual, as k3s and microk8s have them, and the chart's `platform`.

use std::fs;
use std::os::unix::fs::symlink;

use manifold_e2e::cluster::Node;
use serde_json::json;

use crate::all_defaults::Bare;
use crate::bed::{Space, text};

struct Platform {
    name: &'static str,
    bin: &'static str,
    conf: &'static str,
}

const K3S: Platform = Platform {
    name: "k3s",
    bin: "/var/lib/rancher/k3s/data/cni",
    conf: "/var/lib/rancher/k3s/agent/etc/cni/net.d",
};
/// Below `current`, which is a link to a folder that has the number of the revision.
const MICROK8S: Platform = Platform {
    name: "microk8s",
    bin: "/var/snap/microk8s/current/opt/cni/bin",
    conf: "/var/snap/microk8s/current/args/cni-network",
};

fn link_to_revision(node: &Node) {
    let folder = node.path("/var/snap/microk8s");
    fs::create_dir_all(folder.join("7000")).unwrap();
    symlink("7000", folder.join("current")).unwrap();
}

fn names(node: &Node, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(node.path(folder)).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Installed with the platform's name and nothing else, pods get their networks; uninstalled, the folders are empty again.
fn comes_and_goes(bare: &Bare, platform: &Platform) {
    let Platform { name, bin, conf } = platform;
    let cluster = bare.0;
    cluster.set_cni_folders(bin, conf).unwrap();
    let value = format!("platform={name}");
    cluster.install_with(&["--set", &value]).unwrap();
    cluster.wait_installed().unwrap();
    let space = Space::on(cluster, name);
    let config = json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "eth0",
        "ipam": {"type": "host-local", "subnet": "10.69.0.0/24"}});
    space.definition("green", &config);
    for node in cluster.nodes() {
        assert!(names(node, bin).contains(&"manifold".to_owned()), "{name}");
        assert_eq!(names(node, conf), ["00-manifold.conflist"], "{name}");
        let pod = format!("on-{}", node.name());
        space.pod(&pod, node, "green");
        space.wait_ready(&pod);
        let status = space.status(&pod);
        let told: Vec<&str> = status.iter().map(|entry| text(entry, "/interface")).collect();
        assert_eq!(told, ["eth0", "net1"], "{name}");
    }
    for node in cluster.nodes() {
        space.delete(&format!("on-{}", node.name()));
    }
    crate::other::wait_counted(&space, "green", "0");
    cluster.uninstall().unwrap();
    for node in cluster.nodes() {
        assert_eq!([names(node, bin), names(node, conf)], [Vec::<String>::new(), Vec::new()], "{name}");
        for usual in ["/opt/cni/bin", "/etc/cni/net.d"] {
            assert_eq!(names(node, usual), [""; 0], "{name}");
        }
    }
}

// Proves: COMPAT-30
#[test]
fn the_folders_of_k3s_and_of_microk8s_are_served_by_naming_the_platform() {
    let bare = Bare::start("platforms");
    bare.0.nodes().iter().for_each(link_to_revision);
    comes_and_goes(&bare, &K3S);
    comes_and_goes(&bare, &MICROK8S);
}
