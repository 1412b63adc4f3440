//! What an attacker finds on a node, and how far it leads: the token, the files, the processes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use manifold_e2e::api_client::ApiClient;
use manifold_e2e::cluster::{Cluster, Node};
use manifold_e2e::controller::NAMESPACE;
use serde_json::{Value, json};

use crate::bed::{STATUS, Space, cluster, is_ready, text};
use crate::processes::Process;

const TOKEN: &str = "/var/lib/cni/manifold/credentials/token";
const DEFINITIONS: &str = "/apis/k8s.cni.cncf.io/v1";
/// By the kernel's number.
const NET_ADMIN: u64 = 1 << 12;

/// Somebody who read a node's disk.
struct Thief(ApiClient);

impl Thief {
    fn on(node: &Node) -> Self {
        let token = fs::read_to_string(node.path(TOKEN)).unwrap();
        Self(cluster().control_plane().client_with_token(&token).unwrap())
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> u16 {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        self.0.call(method, path, kind, body.to_string().as_bytes()).unwrap().status
    }

    /// Whether a status may be written for a pod: what the shim does.
    fn publish(&self, pod: &str) -> u16 {
        self.send("PATCH", &format!("{pod}/status"), &json!({"metadata": {"annotations": {STATUS: "[]"}}}))
    }
}

/// Everything else that could be done to or by the other node's pod; the status may be written for one's own.
fn attempts(space: &Space, pod: &str, node: &str) -> Vec<(&'static str, String, Value)> {
    let label = json!({"metadata": {"labels": {"stolen": "yes"}}});
    let annotation = json!({"metadata": {"annotations": {"stolen": "yes"}}});
    let finalizer = json!({"metadata": {"finalizers": ["example.org/stolen"]}});
    let definition = format!("{DEFINITIONS}/namespaces/{}/network-attachment-definitions", space.name);
    let mut all = vec![
        ("PATCH", format!("{pod}/status"), label.clone()),
        ("PATCH", format!("{pod}/status"), finalizer),
        ("PATCH", format!("{pod}/status"), json!({"status": {"phase": "Failed"}})),
        ("PATCH", pod.to_owned(), annotation.clone()),
        ("DELETE", pod.to_owned(), json!({})),
        ("POST", format!("{pod}/eviction"), json!({"metadata": {"name": "of-b"}})),
        ("POST", space.path("pods"), json!({"metadata": {"name": "more"}})),
        ("PATCH", format!("/api/v1/nodes/{node}"), label.clone()),
        ("PATCH", format!("/api/v1/nodes/{node}/status"), annotation.clone()),
        ("PATCH", format!("{definition}/{}", space.network("green")), label),
        ("PATCH", format!("{definition}/{}", space.network("green")), json!({"spec": {"config": "{}"}})),
        ("DELETE", format!("{definition}/{}", space.network("green")), json!({})),
        ("POST", definition.clone(), json!({"metadata": {"name": "more"}})),
        ("PATCH", format!("/api/v1/namespaces/{}", space.name), annotation),
    ];
    let lists = ["/api/v1/pods", "/api/v1/nodes", "/api/v1/secrets", "/api/v1/configmaps"].map(str::to_owned);
    let more = [definition, format!("{DEFINITIONS}/network-attachment-definitions"), space.path("pods")];
    for list in lists.into_iter().chain(more) {
        all.push(("GET", format!("{list}?limit=1"), json!({})));
        all.push(("GET", format!("{list}?watch=true&timeoutSeconds=1"), json!({})));
    }
    all.push(("GET", format!("/api/v1/namespaces/{NAMESPACE}/secrets/manifold-webhook"), json!({})));
    all.extend(tokens(node));
    all
}

/// Tokens of every account of ours: bound to the other node, and bound to nothing.
fn tokens(node: &str) -> Vec<(&'static str, String, Value)> {
    let bound = json!({"apiVersion": "v1", "kind": "Node", "name": node});
    let accounts = ["manifold-shim", "manifold-node", "manifold-cluster"];
    let ask = |account: &str, bound: &Value| {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token");
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600, "boundObjectRef": bound}});
        ("POST", path, body)
    };
    let both = |account| [ask(account, &bound), ask(account, &Value::Null)];
    accounts.into_iter().flat_map(both).collect()
}

// Proves: S-4, S-5, P-SEC-2
#[test]
fn the_token_on_a_nodes_disk_changes_nothing_of_another_node() {
    let space = Space::new("stolen");
    space.macvlan("green", 84);
    let [a, b] = cluster().nodes() else { panic!("two nodes") };
    for (name, node) in [("of-a", a), ("of-b", b)] {
        space.pod(name, node, &space.network("green"));
        space.wait_ready(name);
    }
    let [own, other] = ["of-a", "of-b"].map(|name| space.path(&format!("pods/{name}")));
    let before = (space.status("of-b"), text(&space.get("of-b").unwrap(), "/metadata/uid").to_owned());
    let thief = Thief::on(a);
    assert_eq!(thief.publish(&other), 403, "a status of the other node's pod");
    for (method, path, body) in attempts(&space, &other, b.name()) {
        assert_eq!(thief.send(method, &path, &body), 403, "{method} {path} {body}");
    }
    // What the node is there for, and no more of its own either.
    assert_eq!(thief.publish(&own), 200, "a status of its own pod");
    let label = json!({"metadata": {"labels": {"stolen": "yes"}}});
    assert_eq!(thief.send("PATCH", &own, &label), 403);
    assert_eq!(thief.send("DELETE", &own, &json!({})), 403);
    let pod = space.get("of-b").unwrap();
    let now = (space.status("of-b"), text(&pod, "/metadata/uid").to_owned());
    assert_eq!((before, is_ready(&pod)), (now, true));
    assert_eq!(Thief::on(b).publish(&other), 200, "it is not the request that is refused");
    for pod in ["of-a", "of-b"] {
        space.delete(pod);
    }
}

/// What root wrote on a node for us, with what it may be read by at most. Tests put configurations of their own there.
fn readable_by_others(node: &Node) -> Vec<String> {
    let mut left = ["/var/lib/cni/manifold", "/var/lib/cni/networks", "/var/lib/cni/results"]
        .map(|f| node.path(f))
        .to_vec();
    left.push(node.path("/etc/cni/net.d/00-manifold.conflist"));
    left.extend(fs::read_dir(node.path("/var/lib/cni")).unwrap().map(|entry| entry.unwrap().path()));
    left.extend(fs::read_dir(node.path("/opt/cni/bin")).unwrap().map(|entry| entry.unwrap().path()));
    let mut wrong = Vec::new();
    let mut seen = 0;
    while let Some(path) = left.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        seen += 1;
        let right = if meta.is_dir() {
            0o700
        } else if path.parent().is_some_and(|folder| folder.ends_with("opt/cni/bin")) {
            0o755
        } else {
            0o600
        };
        let mode = meta.permissions().mode() & 0o7777;
        if mode != right || (meta.uid(), meta.gid()) != (0, 0) {
            wrong.push(format!("{} {mode:o} of {}:{}", path.display(), meta.uid(), meta.gid()));
        }
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    assert!(seen > 20, "{seen} files");
    wrong
}

// Proves: S-3
#[test]
fn every_file_of_ours_on_a_node_is_for_root_alone() {
    let space = Space::new("modes");
    space.bridge("wire", 85);
    space.macvlan("green", 86);
    let node = &space.cluster.nodes()[0];
    let networks = [space.network("wire"), space.network("green")].join(",");
    let ports = json!([{"name": "main", "image": manifold_e2e::cluster::POD, "imagePullPolicy": "Never",
        "command": ["/bin/sleep", "1000000"], "ports": [{"containerPort": 80, "hostPort": 18081}]}]);
    space.pod_with("three", &networks, &json!({"nodeName": node.name(), "containers": ports}));
    space.pod("lost", node, "nowhere");
    space.wait_ready("three");
    let failed = || Ok(fs::metadata(node.path("/var/lib/cni/manifold/.spool")).ok());
    space.cluster.wait("the spool", failed).unwrap();
    assert_eq!(readable_by_others(node), Vec::<String>::new(), "while it runs");
    for pod in ["three", "lost"] {
        space.delete(pod);
    }
    assert_eq!(readable_by_others(node), Vec::<String>::new(), "after it");
}

/// The folders of the node that a container sees.
fn folders_of_host(process: &Process, node: &Node) -> BTreeSet<String> {
    let mounts = fs::read_to_string(process.path("mountinfo")).unwrap();
    let disk = node.path("/");
    let disk = disk.components().as_path();
    let end = Path::new(disk.parent().unwrap().file_name().unwrap()).join(node.name());
    let end = format!("/{}/", end.display());
    let roots = mounts.lines().filter_map(|line| line.split(' ').nth(3));
    let inside = roots.filter_map(|root| Some(format!("/{}", root.split_once(&end)?.1)));
    // What the kubelet and the runtime make for each container: its volumes, /etc/hosts and the like.
    let own = ["/var/lib/kubelet/pods/", "/var/lib/containerd/"];
    inside.filter(|path| !own.iter().any(|own| path.starts_with(own))).collect()
}

fn capabilities(process: &Process) -> [u64; 5] {
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
        .map(|key| u64::from_str_radix(&process.status(key), 16).unwrap())
}

/// What holds for both roles: seccomp's filter, no way to more rights, a root that cannot be written.
fn assert_confined(process: &Process) {
    assert_eq!((process.status("Seccomp"), process.status("NoNewPrivs")), ("2".into(), "1".into()));
    let mounts = fs::read_to_string(process.path("mountinfo")).unwrap();
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
    assert!(root.split(' ').nth(5).unwrap().split(',').any(|option| option == "ro"), "{root}");
    let ours = fs::read_link("/proc/self/ns/pid").unwrap();
    assert_ne!(fs::read_link(process.path("ns/pid")).unwrap(), ours, "a process namespace of its own");
}

fn pods(cluster: &Cluster, name: &str) -> Vec<Value> {
    let selector = format!("labelSelector=app.kubernetes.io/name%3D{name}");
    let pods = cluster.list(&format!("/api/v1/namespaces/{NAMESPACE}/pods?{selector}")).unwrap();
    pods.into_iter().filter(is_ready).collect()
}

// Proves: S-20, P-SEC-2
#[test]
fn both_roles_have_the_rights_that_are_written_down_and_no_other() {
    let cluster = cluster();
    for node in cluster.nodes() {
        let role = Process::wait_node_role(cluster, node);
        assert_eq!(role.status("Uid"), "0\t0\t0\t0");
        // For routes to other nodes' pods: the built-in network.
        assert_eq!(capabilities(&role), [0, NET_ADMIN, NET_ADMIN, NET_ADMIN, 0]);
        assert_confined(&role);
        let folders = ["/etc/cni/net.d", "/opt/cni/bin", "/var/lib/cni"];
        assert_eq!(folders_of_host(&role, node), folders.map(str::to_owned).into());
    }
    let replicas = pods(cluster, "manifold-controller");
    assert!(!replicas.is_empty());
    for pod in replicas {
        let name = text(&pod, "/metadata/name");
        // After a boot the server may know it longer than it runs.
        let replica = cluster.wait("the replica to run", || Ok(Process::of_cluster_role(name))).unwrap();
        let node = cluster.node(text(&pod, "/spec/nodeName")).unwrap();
        assert_eq!(replica.status("Uid"), "65532\t65532\t65532\t65532");
        assert_eq!(replica.status("Gid"), "65532\t65532\t65532\t65532");
        assert_eq!(capabilities(&replica), [0; 5]);
        assert_confined(&replica);
        assert_eq!(folders_of_host(&replica, node), BTreeSet::new());
        let netns = |path: &Path| fs::metadata(path).unwrap().ino();
        assert_ne!(netns(&replica.path("ns/net")), netns(&node.machine().netns()), "a network of its own");
    }
}
