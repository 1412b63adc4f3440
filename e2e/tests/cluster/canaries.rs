//! Secrets are never said: canaries in every place where a secret can be, and then in no log.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifold_e2e::cluster::{Cluster, Node};
use manifold_e2e::controller::NAMESPACE;
use serde_json::{Value, json};

use crate::bed::{Space, cluster, text};
use crate::processes::Process;

/// What the shim writes at its most talkative, on every node.
const LOG: &str = "/var/lib/cni/shim.log";
const CANARY: &str = "canary-8c1f";
/// A plugin that is not bundled: it is executed, with the configuration as its input.
const FOREIGN: &str = "foreign-plugin";

/// On a node, until this is dropped.
struct Foreign(PathBuf);

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn install_foreign(node: &Node) -> Foreign {
    let inside = format!("/opt/cni/bin/{FOREIGN}");
    let answer = json!({"cniVersion": "1.0.0", "code": 100, "msg": "out of order"});
    node.write(
        &inside,
        &format!("#!/bin/sh\ncat >/dev/null\n[ $CNI_COMMAND != DEL ] || exit 0\necho '{answer}'\nexit 1\n"),
    )
    .unwrap();
    let path = node.path(&inside);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Foreign(path)
}

/// The shim says everything until this is dropped.
struct Talkative(&'static Cluster);

impl Talkative {
    fn new(cluster: &'static Cluster) -> Self {
        let talkative = Self(cluster);
        cluster.set(&format!("node.log.level=debug,node.log.file={LOG}")).unwrap();
        cluster.wait_installed().unwrap();
        for node in cluster.nodes() {
            let configured = || Ok(configuration(node).contains(LOG).then_some(()));
            cluster.wait("the shim to be told", configured).unwrap();
        }
        talkative
    }

    fn end(&self) -> anyhow::Result<()> {
        self.0.set("node.log.level=error,node.log.file=")?;
        self.0.wait_installed()?;
        for node in self.0.nodes() {
            let quiet = || Ok((!configuration(node).contains(LOG)).then_some(()));
            self.0.wait("the shim to be quiet", quiet)?;
            let _ = fs::remove_file(node.path(LOG));
        }
        Ok(())
    }
}

impl Drop for Talkative {
    fn drop(&mut self) {
        let ended = self.end();
        // A second panic would hide what the first one says.
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

fn configuration(node: &Node) -> String {
    fs::read_to_string(node.path("/etc/cni/net.d/00-manifold.conflist")).unwrap_or_default()
}

/// By what they are: the tokens of every node, and what is in the release's Secrets.
fn real_secrets(cluster: &Cluster) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for node in cluster.nodes() {
        let shim = fs::read_to_string(node.path("/var/lib/cni/manifold/credentials/token")).unwrap();
        let role = Process::wait_node_role(cluster, node);
        let role = role.path("root/var/run/secrets/kubernetes.io/serviceaccount/token");
        let role = fs::read_to_string(role).unwrap();
        for (whose, token) in [("shim", shim), ("node agent", role)] {
            // Who has the signature has all.
            let signature = token.trim().rsplit('.').next().unwrap().to_owned();
            found.insert(format!("token of the {whose} of {}", node.name()), signature);
        }
    }
    let secret = cluster.get(&format!("/api/v1/namespaces/{NAMESPACE}/secrets/manifold-webhook")).unwrap();
    let data = secret.unwrap();
    for (key, value) in data.pointer("/data").and_then(Value::as_object).unwrap() {
        let bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
        let said = String::from_utf8_lossy(&bytes).into_owned();
        // A line from the middle: logs escape line ends.
        let lines: Vec<&str> = said.lines().filter(|line| line.len() > 40).collect();
        found.insert(
            format!("secret `{key}`"),
            lines.get(lines.len() / 2).map_or(said.clone(), |l| (*l).into()),
        );
    }
    found.insert("the canary".into(), CANARY.into());
    assert!(found.values().all(|secret| secret.len() >= CANARY.len()), "{:?}", found.keys());
    found
}

/// Everything that anybody says on the nodes, and about objects.
fn logs(cluster: &Cluster) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for node in cluster.nodes() {
        for file in below(&node.path("/var/log/pods")) {
            found.insert(file.display().to_string(), read(&file));
        }
        for file in [LOG, "/var/lib/cni/manifold/.spool/outcomes"] {
            found.insert(format!("{} of {}", file, node.name()), read(&node.path(file)));
        }
        found.insert(format!("configuration of {}", node.name()), configuration(node));
        for component in ["containerd", "kubelet"] {
            let log = cluster.place().log(&format!("{component}-{}", node.name()));
            found.insert(format!("{component} of {}", node.name()), read(&log));
        }
    }
    for (what, path) in [("events", "/api/v1/events"), ("pods", "/api/v1/pods")] {
        let mut objects = cluster.list(path).unwrap();
        for object in &mut objects {
            // What the user wrote there is not ours.
            let annotations = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
            annotations.map(|annotations| annotations.remove(crate::bed::NETWORKS));
        }
        found.insert(what.to_owned(), json!(objects).to_string());
    }
    found
}

/// Damaged text hides no secret.
fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let mut left = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(path) = left.pop() {
        match fs::read_dir(&path) {
            Ok(entries) => left.extend(entries.flatten().map(|entry| entry.path())),
            Err(_) => files.push(path),
        }
    }
    files
}

/// Networks whose configurations hold secrets: one that works, two whose plugins fail, and one that cannot be read, which
/// is refused. Returns what the refusal says.
fn define(space: &Space) -> String {
    let secret = json!({"password": CANARY, "credentials": {"key": CANARY}});
    let with = |name: &str, master: &str| {
        let ipam = json!({"type": "host-local", "subnet": "10.87.0.0/24", "apiToken": CANARY});
        let mut config = json!({"cniVersion": "1.0.0", "name": space.network(name), "type": "macvlan",
            "master": master, "ipam": ipam});
        config.as_object_mut().unwrap().extend(secret.as_object().unwrap().clone());
        config
    };
    space.definition("good", &with("good", "eth0"));
    space.definition("failing", &with("failing", "absent0"));
    let mut executed = with("executed", "eth0");
    executed.as_object_mut().unwrap().insert("type".into(), FOREIGN.into());
    space.definition("executed", &executed);
    let object = json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "torn", "namespace": space.name},
        "spec": {"config": format!("{{\"cniVersion\": \"1.0.0\", \"password\": \"{CANARY}\", ")}});
    // Not by kubectl, which repeats what it was given.
    let path = format!("/apis/k8s.cni.cncf.io/v1/namespaces/{}/network-attachment-definitions", space.name);
    let client = space.cluster.client();
    let refused = || {
        let answer = client.call("POST", &path, "application/json", object.to_string().as_bytes())?;
        // Who asks for two seconds and hears nothing goes on without: on a busy machine it is asked again.
        if answer.ok() {
            client.call("DELETE", &format!("{path}/torn"), "application/json", b"")?;
        }
        Ok((answer.status == 403).then(|| answer.text()))
    };
    space.cluster.wait("the torn definition to be refused", refused).unwrap()
}

/// A pod that cannot start, once everybody has said so.
fn wait_told(space: &Space, pod: &str) {
    let told = || {
        let events = space.cluster.list(&space.path("events"))?;
        let of = |reason: &str| {
            let mut found = events.iter().filter(|event| text(event, "/involvedObject/name") == pod);
            found.any(|event| text(event, "/reason") == reason)
        };
        Ok((of("NetworksNotAttached") && of("FailedCreatePodSandBox")).then_some(()))
    };
    space.cluster.wait(&format!("events about `{pod}`"), told).unwrap();
}

// Proves: S-2
#[test]
fn no_log_event_or_status_says_a_secret() {
    let _talkative = Talkative::new(cluster());
    let space = Space::new("canaries");
    let node = &space.cluster.nodes()[0];
    let refusal = define(&space);
    assert!(refusal.contains("never closed") && !refusal.contains(CANARY), "{refusal}");
    let asked = json!([{"name": "good", "cni-args": {"password": CANARY}}]).to_string();
    space.pod("good", node, &asked);
    let _foreign = install_foreign(node);
    for pod in ["failing", "executed"] {
        space.pod(pod, node, pod);
    }
    space.wait_ready("good");
    for pod in ["failing", "executed"] {
        wait_told(&space, pod);
    }
    let before = real_secrets(space.cluster);
    // The token is refused, so that it is renewed and spoken about.
    fs::write(node.path("/var/lib/cni/manifold/credentials/refused"), "now").unwrap();
    let renewed = || Ok((!node.path("/var/lib/cni/manifold/credentials/refused").exists()).then_some(()));
    space.cluster.wait("another token", renewed).unwrap();
    for pod in ["good", "failing", "executed"] {
        space.delete(pod);
    }
    let logs = logs(space.cluster);
    let shim = logs.iter().find(|(name, _)| name.starts_with(LOG)).unwrap().1;
    assert!(shim.contains("DEBUG") && shim.contains(&space.name), "the shim says much: {shim}");
    assert!(logs["events"].contains("absent0"), "the failure is told");
    for (what, secret) in before.iter().chain(&real_secrets(space.cluster)) {
        for (place, said) in &logs {
            let line = said.lines().find(|line| line.contains(secret)).unwrap_or_default();
            assert_eq!(line, "", "{what} in {place}");
        }
    }
}
