//! The way that most people go: `helm install` with nothing but defaults, and `helm uninstall`. The first test of all.
//!
//! The pods of Manifold itself live in the built-in network then, which goes with it.

use std::fs;
use std::io::Write;

use manifold_e2e::cluster::{Cluster, Node, PATIENCE, Place};
use manifold_e2e::controller::NAMESPACE;

use crate::bed::{Space, cluster, text};

const CONFLIST: &str = "/etc/cni/net.d/00-manifold.conflist";
const MARK: &str = "manifold.network/uninstall";

/// Two nodes without any network, beside the cluster of the other tests; gone with the test.
pub(crate) struct Bare(pub(crate) &'static Cluster);

impl Bare {
    /// `name` is the test's own.
    pub(crate) fn start(name: &str) -> Self {
        let folder = cluster().place().folder().with_extension(name);
        let own = Cluster::make_machines(&Place::at(&folder), 2).unwrap();
        let bare = Self(Box::leak(Box::new(own)));
        bare.0.control_plane().start().unwrap();
        bare.0.start_nodes().unwrap();
        bare.0.load_from(cluster()).unwrap();
        bare.0.route_control_plane().unwrap();
        bare
    }

    fn install(&self) {
        self.0.install_defaults().unwrap();
        self.0.wait_installed().unwrap();
    }

    /// Of the controller.
    fn own_pods(&self) -> Vec<serde_json::Value> {
        let label = "labelSelector=app.kubernetes.io/name=manifold-controller";
        self.0.list(&format!("/api/v1/namespaces/{NAMESPACE}/pods?{label}")).unwrap()
    }

    /// What `helm uninstall` says when it does not.
    fn refusal(&self) -> String {
        self.0.uninstall().unwrap_err().to_string()
    }

    /// Nothing of Manifold is left, neither in the cluster nor on this node.
    fn assert_gone(&self, nodes: &[&Node], before: &[Vec<String>]) {
        assert_eq!(nodes.iter().map(|node| folders(node)).collect::<Vec<_>>(), before);
        let gone = || {
            let left = self.0.list(&format!("/api/v1/namespaces/{NAMESPACE}/pods"))?;
            let on = |pod: &&serde_json::Value| nodes.iter().any(|n| n.name() == text(pod, "/spec/nodeName"));
            Ok((!left.iter().any(|pod| on(&pod))).then_some(()))
        };
        self.0.wait("the pods of Manifold to be gone", gone).unwrap();
        let release = self.0.helm(&["list", "--all-namespaces", "--short"]).unwrap();
        assert!(release.status.success(), "{}", String::from_utf8_lossy(&release.stderr));
        assert_eq!(String::from_utf8_lossy(&release.stdout).trim(), "");
    }

    fn wait_down(&self, node: &Node) {
        let path = format!("/api/v1/nodes/{}", node.name());
        // The scheduler goes by this taint; the condition comes a moment before.
        let given_up = || {
            let object = self.0.get(&path)?.unwrap_or_default();
            let taints = object.pointer("/spec/taints").and_then(|all| all.as_array()).cloned();
            let mut taints = taints.unwrap_or_default().into_iter();
            let is_it = |taint: serde_json::Value| {
                text(&taint, "/key") == "node.kubernetes.io/unreachable"
                    && text(&taint, "/effect") == "NoSchedule"
            };
            Ok(taints.any(is_it).then_some(()))
        };
        self.0.wait("the node to be given up", given_up).unwrap();
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = ["logs", "--namespace", NAMESPACE, "daemonset/manifold-node", "--tail=30"];
            let events = ["get", "events", "--namespace", NAMESPACE];
            for words in [&["get", "pods", "--all-namespaces", "-o", "wide"][..], &logs, &events] {
                let said = self.0.kubectl(words).unwrap_or_else(|error| error.to_string());
                let _ = writeln!(std::io::stderr(), "{said}");
            }
        }
        let ended = Cluster::down(self.0.place());
        // A second panic would hide what the first one says.
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

/// What lies in the folders of the container runtime.
fn folders(node: &Node) -> Vec<String> {
    let read = |folder| fs::read_dir(node.path(folder)).into_iter().flatten().flatten();
    let all = ["/opt/cni/bin", "/etc/cni/net.d"].into_iter().flat_map(read);
    let mut names: Vec<String> = all.map(|entry| entry.path().display().to_string()).collect();
    names.sort();
    names
}

/// Users' pods are in the way, by name, and nothing is touched for them.
fn refused_for_pods(bare: &Bare, node: &Node) {
    let space = Space::on(bare.0, "defaults");
    space.pod("shop", node, "");
    space.wait_ready("shop");
    let refusal = bare.refusal();
    assert!(refusal.contains(&format!("{}/shop", space.name)), "{refusal}");
    assert!(refusal.contains("1 pods have networks"), "its own pods are not in its way: {refusal}");
    assert!(node.path(CONFLIST).exists());
    bare.0.wait_installed().unwrap();
    space.delete("shop");
}

/// As an uninstall that ended half way leaves it: the nodes have given back, and the pods of Manifold wait for their networks
/// to be taken down.
fn break_off(bare: &Bare) {
    let mark = format!("{MARK}=leave@broken");
    let words = ["annotate", "net-attach-def", "cluster-wide-network", "--namespace", NAMESPACE, &mark];
    bare.0.kubectl(&words).unwrap();
    let given_back = || Ok((!bare.0.nodes().iter().any(|node| node.path(CONFLIST).exists())).then_some(()));
    bare.0.wait("the folders to be given back", given_back).unwrap();
    bare.0
        .kubectl(&["scale", "deployment/manifold-controller", "--namespace", NAMESPACE, "--replicas=0"])
        .unwrap();
    let stuck = || {
        let all = bare.own_pods();
        Ok(all.iter().any(|pod| pod.pointer("/metadata/deletionTimestamp").is_some()).then_some(()))
    };
    bare.0.wait("pods that are to end", stuck).unwrap();
}

// Proves: COMPAT-26
#[test]
fn what_is_installed_with_defaults_is_uninstalled_also_after_a_break_and_beside_a_node_that_is_down() {
    let bare = Bare::start("defaults");
    let [one, two] = bare.0.nodes() else { panic!("two nodes") };
    let before = [folders(one), folders(two)];
    bare.install();
    assert!(bare.own_pods().iter().all(|pod| text(pod, "/status/podIP").starts_with("10.244.")));
    refused_for_pods(&bare, one);

    bare.0.uninstall().unwrap();
    bare.assert_gone(&[one, two], &before);

    bare.install();
    break_off(&bare);
    bare.0.uninstall().unwrap();
    bare.assert_gone(&[one, two], &before);

    bare.install();
    two.power_off().unwrap();
    bare.wait_down(two);
    let refusal = bare.refusal();
    assert!(
        refusal.contains("`node2`")
            && refusal.contains(" down, ")
            && refusal.contains("uninstall.leave=true"),
        "{refusal}"
    );
    assert!(one.path(CONFLIST).exists(), "nothing is given back for a removal that cannot end");
    bare.0.keep().unwrap();
    bare.0.set("uninstall.leave=true").unwrap();
    let begin = std::time::Instant::now();
    bare.0.uninstall().unwrap();
    assert!(begin.elapsed() < PATIENCE, "nobody waits for the node that is down");
    bare.assert_gone(&[one], &before[..1]);
}
