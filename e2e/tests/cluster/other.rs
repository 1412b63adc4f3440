//! A cluster of one node beside the first, without Manifold: what others run is there before it comes, and stays when it goes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use manifold_e2e::cluster::{Cluster, Node, Place};
use manifold_e2e::controller::NAMESPACE;
use serde_json::{Value, json};

use crate::bed::{Space, cluster};

/// The reference plugins as Debian has them.
const REFERENCE: &str = "/usr/lib/cni";
/// The default network of somebody else.
pub(crate) const PODNET: &str = "podnet";
const CONFLIST: &str = "/etc/cni/net.d/10-podnet.conflist";

/// The cluster, gone with the test.
pub(crate) struct Other {
    pub(crate) cluster: &'static Cluster,
}

impl Other {
    /// With a bridge of the reference plugins as its network. `name` is the test's own.
    pub(crate) fn start(name: &str) -> Self {
        let folder = cluster().place().folder().with_extension(name);
        let own = Cluster::make_machines(&Place::at(&folder), 1).unwrap();
        let other = Self { cluster: Box::leak(Box::new(own)) };
        other.cluster.control_plane().start().unwrap();
        other.cluster.start_nodes().unwrap();
        other.cluster.load_from(cluster()).unwrap();
        other.cluster.route_control_plane().unwrap();
        install_reference(other.node());
        other.cluster.wait_ready().unwrap();
        other
    }

    pub(crate) fn node(&self) -> &'static Node {
        self.cluster.nodes().first().unwrap()
    }

    /// Manifold by its chart, with the network that is there as the default one. `more` are flags of Helm.
    pub(crate) fn install(&self, more: &[&str]) {
        let values = ["defaultNetwork.source=existing", &format!("defaultNetwork.configuration={PODNET}")];
        let flags: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
        self.cluster.install_with(&[&flags[..], more].concat()).unwrap();
        self.cluster.wait_installed().unwrap();
    }

    /// Host ends of the pods that are in the default network.
    pub(crate) fn ports(&self) -> Vec<String> {
        let said = self.node().exec(&["ip", "-o", "link", "show", "master", "cni0"]).unwrap();
        said.lines().map(str::to_owned).collect()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = ["logs", "--namespace", NAMESPACE, "daemonset/manifold-node", "--tail=30"];
            for words in [&["get", "pods", "--all-namespaces", "-o", "wide"][..], &logs] {
                let said = self.cluster.kubectl(words).unwrap_or_else(|error| error.to_string());
                let _ = writeln!(std::io::stderr(), "{said}");
            }
        }
        let ended = Cluster::down(self.cluster.place());
        // A second panic would hide what the first one says.
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

fn install_reference(node: &Node) {
    let folder = node.path("/opt/cni/bin");
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(Path::new(REFERENCE)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    node.write(CONFLIST, &podnet().to_string()).unwrap();
}

pub(crate) fn podnet() -> Value {
    json!({"cniVersion": "1.0.0", "name": PODNET, "plugins": [
        {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
         "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
        {"type": "portmap", "capabilities": {"portMappings": true}}]})
}

/// Names, modes and bytes.
pub(crate) type Content = BTreeMap<String, (u32, Vec<u8>)>;

/// What lies in the folders of the container runtime.
pub(crate) fn content(node: &Node) -> Content {
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

/// The folders are as they were; what differs is named.
#[track_caller]
pub(crate) fn assert_given_back(node: &Node, before: &Content) {
    let after = content(node);
    let names = |all: &Content| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&after), names(before));
    let changed: Vec<_> = before.iter().filter(|(name, was)| after.get(*name) != Some(was)).collect();
    assert!(changed.is_empty(), "{:?}", changed.iter().map(|(name, _)| name).collect::<Vec<_>>());
}

/// Returns when the definition is known to have so many pods.
pub(crate) fn wait_counted(space: &Space, definition: &str, count: &str) {
    let words = ["get", "net-attach-def", definition, "--namespace", &space.name, "--no-headers"];
    let counted = || {
        let row = space.cluster.kubectl(&words)?;
        Ok((row.split_whitespace().nth(2) == Some(count)).then_some(()))
    };
    space.cluster.wait(&format!("{count} pods to be counted"), counted).unwrap();
}
