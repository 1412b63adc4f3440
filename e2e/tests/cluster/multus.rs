//! Multus on a node: its configuration, and what it leaves of each pod below `/var/lib/cni/multus`.
//!
//! `MANIFOLD_MULTUS` may name the executable of a Multus 4 (thin). Without it [`Multus::attach`] does for a pod that
//! runs what that program would have done at its start, so that leases, interfaces and files are real all the same.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifold_e2e::cluster::Node;
use serde_json::{Value, json};

use crate::bed::{Space, text};
use crate::other::{Other, PODNET, podnet};

const CONFIGURATION: &str = "/etc/cni/net.d/00-multus.conf";
const KUBECONFIG: &str = "/etc/cni/net.d/multus.d/multus.kubeconfig";
const STATE: &str = "/var/lib/cni/multus";
const VARIABLE: &str = "MANIFOLD_MULTUS";
/// What the event of a pod has in it that somebody tried to start through the one that stands in.
pub(crate) const ASKED: &str = "Multus was asked";

/// As clusters have it that never saw Manifold.
const CRD: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: network-attachment-definitions.k8s.cni.cncf.io}
spec:
  group: k8s.cni.cncf.io
  scope: Namespaced
  names:
    plural: network-attachment-definitions
    singular: network-attachment-definition
    kind: NetworkAttachmentDefinition
    shortNames: [net-attach-def]
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          apiVersion: {type: string}
          kind: {type: string}
          metadata: {type: object}
          spec: {type: object, properties: {config: {type: string}}}
";

/// A network of a pod: how Multus calls it, the interface that the pod asked for (empty: none), and its configuration.
pub(crate) type Asked<'a> = (&'a str, &'a str, &'a Value);

/// The Multus of a cluster's node.
pub(crate) struct Multus {
    node: &'static Node,
    kubeconfig: PathBuf,
}

impl Multus {
    /// The definition of definitions, which is the standard's. The node is not touched yet.
    pub(crate) fn of(other: &Other) -> Self {
        other.cluster.apply(CRD).unwrap();
        let words = [
            "wait",
            "--for=condition=Established",
            "--timeout=180s",
            "crd/network-attachment-definitions.k8s.cni.cncf.io",
        ];
        other.cluster.kubectl(&words).unwrap();
        Self { node: other.node(), kubeconfig: other.cluster.place().kubeconfig() }
    }

    /// The file that makes the runtime call it, which its installer would write. Pods that start from now on are its own.
    pub(crate) fn configure(&self) {
        let node = self.node;
        node.write(KUBECONFIG, &fs::read_to_string(&self.kubeconfig).unwrap()).unwrap();
        let text = json!({
            "cniVersion": "1.0.0", "name": "multus-cni-network", "type": "multus",
            "capabilities": {"portMappings": true}, "kubeconfig": KUBECONFIG, "delegates": [podnet()],
        });
        // The runtime looks whenever something appears: half a file would be an error in its log.
        node.write("/run/multus.conf", &text.to_string()).unwrap();
        node.exec(&[
            "sh",
            "-c",
            &format!("cp /run/multus.conf {CONFIGURATION}.new && mv {CONFIGURATION}.new {CONFIGURATION}"),
        ])
        .unwrap();
    }

    /// Puts the program itself on the node.
    pub(crate) fn install(&self) {
        let program = env::var_os(VARIABLE).filter(|set| !set.is_empty());
        let program =
            program.unwrap_or_else(|| panic!("`{VARIABLE}` must name the executable of a Multus 4"));
        fs::copy(Path::new(&program), self.node.path("/opt/cni/bin/multus")).unwrap();
    }

    /// Puts something in its place that says when it is asked for a pod, and makes none.
    pub(crate) fn stand_in(&self) {
        let program = "/opt/cni/bin/multus";
        let script = format!(
            "#!/bin/sh\n[ \"$CNI_COMMAND\" = ADD ] || exit 0\n\
             echo '{}'\nexit 1\n",
            json!({"cniVersion": "1.0.0", "code": 100, "msg": ASKED})
        );
        self.node.write(program, &script).unwrap();
        fs::set_permissions(self.node.path(program), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Gives more networks to a pod that has the default one, and leaves the files that Multus leaves.
    pub(crate) fn attach(&self, space: &Space, pod: &str, networks: &[Asked<'_>]) {
        let sandbox = Sandbox::of(self.node, &space.name, pod);
        let folder = format!("{STATE}/results");
        let first = format!("{PODNET}-{}-eth0", sandbox.id);
        let known = fs::read_to_string(self.node.path(&format!("/var/lib/cni/results/{first}"))).unwrap();
        self.node.write(&format!("{folder}/{first}"), &known).unwrap();
        let mut state = vec![delegate(PODNET, "", &json!({}), &podnet(), &podnet())];
        for (number, (name, asked, config)) in networks.iter().enumerate() {
            let numbered = format!("net{}", number + 1);
            let ifname = if asked.is_empty() { numbered.as_str() } else { asked };
            let cached = sandbox.add(self.node, ifname, config);
            let network = text(config, "/name");
            self.node
                .write(&format!("{folder}/{network}-{}-{ifname}", sandbox.id), &cached.to_string())
                .unwrap();
            state.push(delegate(name, asked, config, &json!({}), config));
        }
        self.node.write(&format!("{STATE}/{}", sandbox.id), &json!(state).to_string()).unwrap();
        for (path, mode) in [(STATE, 0o700), (&format!("{STATE}/{}", sandbox.id), 0o600)] {
            fs::set_permissions(self.node.path(path), fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    /// Every file of its state on the node: of pods that were not taken down yet.
    pub(crate) fn state(&self) -> Vec<String> {
        let names = |folder: &str| -> Vec<String> {
            let entries = fs::read_dir(self.node.path(folder)).into_iter().flatten().flatten();
            let files = entries.filter(|entry| entry.path().is_file());
            files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        };
        let mut all = [names(STATE), names(&format!("{STATE}/results"))].concat();
        all.sort();
        all
    }
}

/// One network as Multus writes it down. Exactly one of the two forms is filled; `Bytes` is the whole configuration.
fn delegate(name: &str, ifname: &str, single: &Value, list: &Value, whole: &Value) -> Value {
    let mut entry = json!({
        "Conf": single, "ConfList": list, "Name": name, "IsFilterV4Gateway": false, "IsFilterV6Gateway": false,
        "Bytes": STANDARD.encode(whole.to_string()),
    });
    if !ifname.is_empty() {
        entry.as_object_mut().unwrap().insert("ifnameRequest".into(), ifname.into());
    }
    entry
}

/// What the runtime calls a pod.
pub(crate) fn sandbox(node: &Node, space: &Space, pod: &str) -> String {
    Sandbox::of(node, &space.name, pod).id
}

/// A pod as the runtime has it.
struct Sandbox {
    id: String,
    netns: String,
}

impl Sandbox {
    fn of(node: &Node, namespace: &str, pod: &str) -> Self {
        let filter = format!(
            r#"labels."io.kubernetes.pod.name"=={pod},labels."io.kubernetes.pod.namespace"=={namespace},labels."io.cri-containerd.kind"==sandbox"#
        );
        let words = ["ctr", "--namespace", "k8s.io", "containers", "list", "--quiet", &filter];
        let said = node.exec(&words).unwrap();
        // One of before a boot is known for a while, without its namespace.
        let mut alive = said.lines().filter_map(|id| Self::known(node, id)).filter(|sandbox| {
            node.machine()
                .try_exec(&["test", "-e", &sandbox.netns])
                .is_ok_and(|answer| answer.status.success())
        });
        alive.next().unwrap_or_else(|| panic!("`{pod}` has no sandbox"))
    }

    /// None when it has gone meanwhile.
    fn known(node: &Node, id: &str) -> Option<Self> {
        let told = node.exec(&["ctr", "--namespace", "k8s.io", "containers", "info", id]).ok()?;
        let told: Value = serde_json::from_str(&told).unwrap();
        let all = told.pointer("/Spec/linux/namespaces").and_then(Value::as_array).unwrap();
        let netns = all.iter().find(|namespace| text(namespace, "/type") == "network").unwrap();
        Some(Self { id: id.to_owned(), netns: text(netns, "/path").to_owned() })
    }

    /// Executes a plugin, and returns what libcni keeps of it.
    fn add(&self, node: &Node, ifname: &str, config: &Value) -> Value {
        node.write("/run/network", &config.to_string()).unwrap();
        let plugin = format!("exec /opt/cni/bin/{} < /run/network", text(config, "/type"));
        let call = [
            "CNI_COMMAND=ADD",
            "CNI_PATH=/opt/cni/bin",
            &format!("CNI_CONTAINERID={}", self.id),
            &format!("CNI_NETNS={}", self.netns),
            &format!("CNI_IFNAME={ifname}"),
        ];
        let said = node.exec(&[&["env"], &call[..], &["sh", "-c", &plugin]].concat()).unwrap();
        let result: Value = serde_json::from_str(&said).unwrap();
        json!({"kind": "cniCacheV1", "containerId": self.id, "config": STANDARD.encode(config.to_string()),
            "ifName": ifname, "networkName": config["name"], "netns": self.netns, "result": result})
    }
}
