//! The folders are given back when the mark is there, and not under pods that have more networks.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use manifold_controller::connect;
use manifold_controller::node::config::Config;
use manifold_controller::uninstall::uninstall;
use manifold_e2e::api_server::ApiServer;
use manifold_e2e::kubeconfig::{self, User};
use manifold_e2e::project;
use manifold_ledger::{BootId, Entry, Ledger, PodIdentity, Stage};
use serde_json::{Value, json};

use super::bed::{BRIDGE, Node, define, edit, files, server};

/// A configuration in which pods of the default network belong to somebody else.
pub(super) const EXISTING: &str = "{defaultNetwork: {source: existing}}";

fn mark(value: &str) -> Value {
    json!({"metadata": {"annotations": {"manifold.network/uninstall": value}}})
}

// Proves: F-NOD-8, P-UP-11
#[test]
fn the_folders_are_given_back_byte_for_byte() {
    let api = server();
    define(&api, None);
    let node = Node::new(&api, "node-goes", json!({"executable": {"source": "/bin/true", "links": ["all"]}}));
    fs::write(node.conf("10-plain.conflist"), BRIDGE).unwrap();
    fs::write(node.bin("bridge"), "the reference's").unwrap();
    fs::write(node.bin("manifold"), "by hand, of an older release").unwrap();
    fs::set_permissions(node.bin("manifold"), fs::Permissions::from_mode(0o750)).unwrap();
    let before = (files(&node.bin("")), files(&node.conf("")));
    let node = node.serving();
    assert!(node.bin("macvlan").exists() && files(&node.bin("")).len() > 10);
    two_networks(&node);
    edit(&api, &mark("now"));
    // Nodes of other tests have pods of such names too.
    let refused = || node.events("manifold-system", "NodeNotUninstalled", "cluster-wide-network");
    node.wait("a refusal", || {
        refused().iter().any(|told| told.contains("node-goes") && told.contains("`shop/cart-7`"))
    });
    assert!(node.conf("00-manifold.conflist").exists());
    edit(&api, &mark("leave"));
    let done = || node.events("manifold-system", "NodeUninstalled", "cluster-wide-network");
    node.wait("a report", || done().iter().any(|t| t.contains("node-goes")));
    assert_eq!((files(&node.bin("")), files(&node.conf(""))), before);
    assert!(!node.state("credentials/token").exists(), "no token is left");
    assert!(node.page("/readyz").unwrap().1.contains("uninstalled"));
    // Nothing comes back while the mark is there, also not after a restart.
    node.kill();
    node.start();
    node.wait("uninstalled", || node.page("/readyz").is_some_and(|(_, body)| body.contains("uninstalled")));
    assert_eq!((files(&node.bin("")), files(&node.conf(""))), before);
    edit(&api, &json!({"metadata": {"annotations": {"manifold.network/uninstall": null}}}));
    node.wait("installed again", || node.conf("00-manifold.conflist").exists());
}

// Proves: F-NOD-8
#[test]
fn the_command_waits_for_the_nodes_names_the_silent_and_lets_the_cluster_go() {
    let api = server();
    define(&api, None);
    let node = Node::new(&api, "node-hook", json!({}));
    fs::write(node.conf("10-plain.conflist"), BRIDGE).unwrap();
    let before = files(&node.conf(""));
    let node = node.serving();
    let hook = Hook::new(&api);
    let run = |leave: bool, seconds: u64| hook.run(EXISTING, leave, seconds);
    // A network of somebody that pods use.
    let shop = api.namespace("hook").unwrap();
    let all = format!("/apis/k8s.cni.cncf.io/v1/namespaces/{}/network-attachment-definitions", shop.name());
    // Only the controller may add the finalizer; what is restored from a backup may have it.
    let definition = json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "left", "finalizers": ["manifold.network/in-use"]},
        "spec": {"config": r#"{"cniVersion":"1.0.0","type":"macvlan"}"#},
    });
    api.client().send("POST", &all, &definition).unwrap();
    let left = format!("{all}/left");
    let used = json!({"status": {"pods": 1, "podNames": ["hook/cart-7"]}});
    api.client().send("PATCH", &format!("{left}/status"), &used).unwrap();
    let told = format!("{:#}", run(false, 1).unwrap_err());
    assert!(told.contains("`hook/cart-7`") && told.contains("--leave"), "{told}");
    // A node whose role does not answer.
    let silent = Node::new(&api, "node-silent", json!({}));
    let told = format!("{:#}", run(true, 1).unwrap_err());
    assert!(told.contains("node-silent: no answer"), "{told}");
    assert!(
        !node.get(&left).unwrap()["metadata"]["finalizers"].is_null(),
        "nothing of the cluster is touched yet"
    );
    drop(silent);
    run(true, 120).unwrap();
    assert_eq!(files(&node.conf("")), before);
    assert!(node.get(&left).unwrap()["metadata"]["finalizers"].is_null());
    assert!(node.get(super::bed::DEFAULT).is_none());
    // The definition is gone with its mark, and the node stays as it is.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(files(&node.conf("")), before);
}

/// The command, with the account and the rights that the hook has.
pub(super) struct Hook {
    folder: tempfile::TempDir,
}

impl Hook {
    pub(super) fn new(api: &ApiServer) -> Self {
        let manifests = fs::read_to_string(project::root().join("deploy/uninstall.yaml")).unwrap();
        let documents = manifests.split("\n---\n").filter(|text| !text.contains("kind: Job"));
        api.apply(&documents.collect::<Vec<_>>().join("\n---\n")).unwrap();
        let hook = Self { folder: tempfile::tempdir().unwrap() };
        let token = hook.folder.path().join("token");
        api.write_token("manifold-system", "manifold-uninstall", &token).unwrap();
        let user = User::TokenFile(&token);
        kubeconfig::write(&hook.kubeconfig(), api.port(), api.authority(), &user).unwrap();
        hook
    }

    fn kubeconfig(&self) -> std::path::PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub(super) fn run(&self, config: &str, leave: bool, seconds: u64) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = connect::client(Some(&self.kubeconfig())).await?;
            let config = Config::parse(config).unwrap();
            uninstall(&client, &config, leave, Duration::from_secs(seconds)).await
        })
    }
}

/// A Deployment as the chart has it; nobody makes pods of it here.
fn deploy(api: &ApiServer) -> String {
    let all = "/apis/apps/v1/namespaces/manifold-system/deployments";
    let labels = json!({"app.kubernetes.io/name": "manifold-controller"});
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "manifold-controller"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "main", "image": "none"}]}}},
    });
    api.client().create_if_missing(all, &object).unwrap();
    format!("{all}/manifold-controller")
}

// Shows part of: COMPAT-26
#[test]
fn refused_by_every_node_it_leaves_the_cluster_as_it_was() {
    let api = server();
    define(&api, None);
    let deployment = deploy(&api);
    let node = Node::new(&api, "node-refuses", json!({}));
    fs::write(node.conf("10-plain.conflist"), BRIDGE).unwrap();
    let node = node.serving();
    let hook = Hook::new(&api);
    // The definitions do not know of the pod yet; the node does.
    two_networks(&node);
    let told = format!("{:#}", hook.run(EXISTING, false, 5).unwrap_err());
    assert!(told.contains("node-refuses: 1 pods have networks") && told.contains("`shop/cart-7`"), "{told}");
    assert_eq!(node.get(&deployment).unwrap()["spec"]["replicas"], 2);
    let marked = node.get(super::bed::DEFAULT).unwrap();
    assert!(marked["metadata"]["annotations"]["manifold.network/uninstall"].is_null(), "{marked}");
    node.wait("serving again", || node.page("/readyz").is_some_and(|(status, _)| status == 200));
    hook.run(EXISTING, true, 120).unwrap();
    assert_eq!(node.get(&deployment).unwrap()["spec"]["replicas"], 0);
    api.client().call("DELETE", &deployment, "application/json", b"").unwrap();
}

// Shows part of: COMPAT-26
#[test]
fn without_its_definition_the_nodes_are_told_all_the_same() {
    let api = server();
    define(&api, None);
    let node = Node::new(&api, "node-again", json!({}));
    fs::write(node.conf("10-plain.conflist"), BRIDGE).unwrap();
    let before = files(&node.conf(""));
    let node = node.serving();
    // A removal that was broken off after its last step but one.
    api.client().call("DELETE", super::bed::DEFAULT, "application/json", b"").unwrap();
    let hook = Hook::new(&api);
    for _ in 0..2 {
        hook.run(EXISTING, false, 120).unwrap();
        assert_eq!(files(&node.conf("")), before);
        assert!(node.get(super::bed::DEFAULT).is_none());
    }
}

// Shows part of: COMPAT-26
#[test]
fn pods_of_the_built_in_network_and_nodes_that_are_down_are_named() {
    let api = server();
    define(&api, None);
    let node = Node::new(&api, "node-down", json!({}));
    let hook = Hook::new(&api);
    let built_in = "{defaultNetwork: {source: builtIn}}";
    let shop = api.namespace("inside").unwrap();
    let pods = format!("/api/v1/namespaces/{}/pods", shop.name());
    let pod = |name: &str, spec: Value| {
        let mut object = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"automountServiceAccountToken": false, "containers": [{"name": "one", "image": "one"}]},
        });
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        api.client().send("POST", &pods, &object).unwrap();
    };
    pod("inside", json!({"nodeName": "node-down"}));
    pod("of-the-host", json!({"nodeName": "node-down", "hostNetwork": true}));
    pod("nowhere", json!({}));
    let told = format!("{:#}", hook.run(built_in, false, 1).unwrap_err());
    assert!(told.contains(&format!("`{}/inside`", shop.name())) && told.contains("leave=true"), "{told}");
    assert!(!told.contains("of-the-host") && !told.contains("nowhere"), "{told}");
    // With another source they belong to somebody else, and only the node is in the way.
    let condition = json!({"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "",
        "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = json!({"status": {"conditions": [condition]}});
    api.client().send("PATCH", "/api/v1/nodes/node-down/status", &status).unwrap();
    let told = format!("{:#}", hook.run(EXISTING, false, 1).unwrap_err());
    assert!(told.contains("the node `node-down` is down"), "{told}");
    assert!(node.get(super::bed::DEFAULT).is_some());
    hook.run(built_in, true, 1).unwrap();
    assert!(node.get(super::bed::DEFAULT).is_none());
}

fn two_networks(node: &Node<'_>) {
    let attachment = |n: usize| {
        json!({
            "display": format!("shop/net-{n}"), "network": format!("net-{n}"), "ifname": format!("net{n}"),
            "version": "1.0.0", "plugins": [],
        })
    };
    let boot = BootId::read("/proc/sys/kernel/random/boot_id".as_ref()).unwrap();
    let mut entry: Entry = serde_json::from_value(json!({
        "boot": boot, "container": "c1", "created": 1_790_000_000_u64, "config_name": "manifold",
        "attachments": [attachment(0), attachment(1)],
    }))
    .unwrap();
    let uid = Some("0f1e2d3c-0000-4000-8000-0123456789ab".to_owned());
    entry.pod = Some(PodIdentity { namespace: "shop".into(), name: "cart-7".into(), uid });
    let mut pen = Ledger::open(&node.state("")).unwrap().write(&entry).unwrap();
    entry.stage = Stage::Complete;
    pen.save(&entry).unwrap();
}
