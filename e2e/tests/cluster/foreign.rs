//! A cluster that has a CNI plugin of somebody else: it is taken by name, Manifold comes beside it, and goes without a trace.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use manifold_e2e::cluster::{Cluster, Node, Place};
use serde_json::json;

use crate::bed::{Space, cluster, leases, ledger, text};

/// The reference plugins as Debian has them.
const REFERENCE: &str = "/usr/lib/cni";
const CONFLIST: &str = "/etc/cni/net.d/10-podnet.conflist";

/// A cluster of one node, gone with the test.
struct Other {
    cluster: &'static Cluster,
}

impl Other {
    fn start() -> Self {
        let folder = cluster().place().folder().with_extension("foreign");
        let own = Cluster::make_machines(&Place::at(&folder), 1).unwrap();
        own.control_plane().start().unwrap();
        own.start_nodes().unwrap();
        own.load_from(cluster()).unwrap();
        own.route_control_plane().unwrap();
        Self { cluster: Box::leak(Box::new(own)) }
    }

    fn node(&self) -> &Node {
        self.cluster.nodes().first().unwrap()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        Cluster::down(self.cluster.place()).unwrap();
    }
}

/// Names, bytes and modes.
fn content(node: &Node) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut left = ["/etc/cni", "/opt/cni"].map(|folder| node.path(folder)).to_vec();
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let bytes = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        found.insert(path.display().to_string(), (meta.permissions().mode(), bytes));
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

fn install_reference(node: &Node) {
    let folder = node.path("/opt/cni/bin");
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(Path::new(REFERENCE)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let conflist = json!({"cniVersion": "1.0.0", "name": "podnet", "plugins": [
        {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
         "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
        {"type": "portmap", "capabilities": {"portMappings": true}}]});
    node.write(CONFLIST, &conflist.to_string()).unwrap();
}

/// Returns when the definition is known to have so many pods.
fn wait_counted(space: &Space, definition: &str, count: &str) {
    let words = ["get", "net-attach-def", definition, "--namespace", &space.name, "--no-headers"];
    let counted = || {
        let row = space.cluster.kubectl(&words)?;
        Ok((row.split_whitespace().nth(2) == Some(count)).then_some(()))
    };
    space.cluster.wait(&format!("{count} pods to be counted"), counted).unwrap();
}

// Shows part of: T-16, P-UP-11, F-NOD-8
#[test]
fn a_foreign_default_network_is_taken_by_name_and_its_folders_are_given_back_byte_for_byte() {
    let other = Other::start();
    let node = other.node();
    install_reference(node);
    other.cluster.wait_ready().unwrap();
    let before = content(node);
    let values = [
        "defaultNetwork.source=existing",
        "defaultNetwork.configuration=podnet",
        "node.resources.limits.memory=400Mi",
    ];
    let flags: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
    other.cluster.install_with(&flags).unwrap();
    other.cluster.wait_installed().unwrap();

    let space = Space::on(other.cluster, "foreign");
    space.definition(
        "green",
        &json!({"cniVersion": "1.0.0", "name": space.network("green"), "type": "macvlan", "master": "eth0",
                "ipam": {"type": "host-local", "subnet": "10.66.0.0/24"}}),
    );
    space.pod("two", node, "green");
    space.wait_ready("two");
    let status = space.status("two");
    let told: Vec<&str> = status.iter().map(|entry| text(entry, "/interface")).collect();
    assert_eq!(told, ["eth0", "net1"]);
    let bridges = node.exec(&["ip", "-o", "link", "show", "master", "cni0"]).unwrap();
    assert!(bridges.contains("veth"), "the foreign bridge carries the pod: {bridges}");
    // One that outlives Manifold: who takes it down knows its network only.
    space.pod("plain", node, "");
    let plain = space.wait_ready("plain");
    wait_counted(&space, "green", "1");
    let refusal = other.cluster.uninstall().unwrap_err().to_string();
    assert!(refusal.contains(&format!("{}/two", space.name)), "{refusal}");
    assert!(node.path("/opt/cni/bin/manifold").exists(), "a refusal touches nothing");
    space.delete("two");
    assert_eq!(space.leases(node, "green"), Vec::<String>::new());
    wait_counted(&space, "green", "0");

    other.cluster.uninstall().unwrap();
    let (after, names) = (content(node), |all: &BTreeMap<String, _>| all.keys().cloned().collect::<Vec<_>>());
    assert_eq!(names(&after), names(&before));
    assert!(after == before, "bytes and modes are as they were");
    assert_eq!(ledger(node).len(), 1, "a Manifold that comes back would know the pod that is left");
    assert_eq!(leases(node, "podnet"), [text(&plain, "/status/podIP")], "of all pods it alone is left");
    space.pod("next", node, "");
    let next = space.wait_ready("next");
    let reached = space.exec("next", &["ping", "-c", "1", "-W", "5", text(&plain, "/status/podIP")]);
    assert!(reached.contains(" 0% packet loss"), "the old pod is reached by one without Manifold: {reached}");
    assert_ne!(text(&next, "/status/podIP"), text(&plain, "/status/podIP"));
    for pod in ["plain", "next"] {
        space.delete(pod);
    }
    assert_eq!(leases(node, "podnet"), Vec::<String>::new());
    assert_eq!(node.exec(&["ip", "-o", "link", "show", "master", "cni0"]).unwrap(), "");
}
