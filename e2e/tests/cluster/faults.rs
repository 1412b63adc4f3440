//! What fails while pods start: the runtime is killed, the token is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use manifold_e2e::cluster::Node;
use serde_json::json;

use crate::bed::{STATUS, Space, annotation, is_ready, text};
use crate::left::wait_nothing_left;
use crate::processes::Process;

const PODS: usize = 16;
const CREDENTIALS: &str = "/var/lib/cni/manifold/credentials";

// Shows part of: T-10, T-11
#[test]
fn a_runtime_that_is_killed_while_pods_start_starts_them_all_and_leaves_nothing() {
    let space = Space::new("starting");
    space.macvlan("green", 88);
    let node = &space.cluster.nodes()[1];
    let names: Vec<String> = (0..PODS).map(|n| format!("p{n}")).collect();
    for name in &names {
        space.pod(name, node, &space.network("green"));
    }
    let some = || Ok((!space.leases(node, "green").is_empty()).then_some(()));
    space.cluster.wait("some pods to start", some).unwrap();
    node.daemon("containerd").kill().unwrap();
    let pods = space.cluster.list(&space.path("pods"));
    // First of all: without it, every test that follows would fail too.
    node.start_runtime().unwrap();
    assert!(pods.unwrap().iter().filter(|pod| is_ready(pod)).count() < PODS, "not all had started");
    for name in &names {
        space.wait_ready(name);
        assert_eq!(space.status(name).len(), 2, "{name}");
    }
    names.iter().for_each(|name| space.ask_to_delete(name));
    names.iter().for_each(|name| space.wait_gone(name));
    wait_nothing_left(space.cluster);
    assert_eq!(space.leases(node, "green"), Vec::<String>::new());
}

fn token(node: &Node) -> PathBuf {
    node.path(&format!("{CREDENTIALS}/token"))
}

// Proves: F-API-5, P-UP-6
#[test]
fn a_token_that_is_refused_is_renewed_on_the_shims_word_and_the_pod_starts() {
    let space = Space::new("refused");
    space.macvlan("green", 89);
    let node = &space.cluster.nodes()[0];
    let real = fs::read_to_string(token(node)).unwrap();
    // As after the server's key was changed: the form is right, the signature is not.
    let (signed, signature) = real.trim().rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    let beside = node.path(&format!("{CREDENTIALS}/.forged"));
    fs::write(&beside, &forged).unwrap();
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&beside, token(node)).unwrap();
    space.pod("asks", node, &space.network("green"));
    let pod = space.wait_ready("asks");
    assert!(text(&pod, "/status/podIP").starts_with("10.244."));
    space.wait_event_with("asks", "FailedCreatePodSandBox", "401");
    let now = fs::read_to_string(token(node)).unwrap();
    assert!(now != forged && now != real, "another token");
    let mark = node.path(&format!("{CREDENTIALS}/refused"));
    space.cluster.wait("the mark to be taken", || Ok((!mark.exists()).then_some(()))).unwrap();
    assert_eq!(space.status("asks").len(), 2);
    space.delete("asks");
}

/// The API server takes no status from nodes for the pods of a namespace, until this is dropped.
struct Refusal<'a>(&'a Space);

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

impl<'a> Refusal<'a> {
    fn new(space: &'a Space) -> Self {
        let shim = "system:serviceaccount:manifold-system:manifold-shim";
        let own = json!({"matchLabels": {"kubernetes.io/metadata.name": space.name}});
        let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": space.name}, "spec": {
                "matchConstraints": {"namespaceSelector": own, "resourceRules": [{"apiGroups": [""],
                    "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods/status"]}]},
                "validations": [{"expression": format!("request.userInfo.username != '{shim}'"),
                    "message": "not today"}]}});
        let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": space.name},
            "spec": {"policyName": space.name, "validationActions": ["Deny"]}});
        space.cluster.client().send("POST", POLICIES, &policy).unwrap();
        space.cluster.client().send("POST", BINDINGS, &binding).unwrap();
        Self(space)
    }
}

impl Drop for Refusal<'_> {
    fn drop(&mut self) {
        for kind in [BINDINGS, POLICIES] {
            let path = format!("{kind}/{}", self.0.name);
            let _ = self.0.cluster.client().call("DELETE", &path, "application/json", b"");
        }
    }
}

/// A page of the node agent.
fn metrics(node: &Node) -> anyhow::Result<String> {
    let script = "printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 5 127.0.0.1 9431";
    node.exec(&["sh", "-c", script])
}

// Proves: F-API-10
#[test]
fn a_status_that_cannot_be_published_keeps_no_pod_from_starting_is_told_and_is_made_up_for() {
    let space = Space::new("unpublished");
    space.macvlan("green", 90);
    let node = &space.cluster.nodes()[0];
    let refusal = Refusal::new(&space);
    // A policy is known to the server a moment after it was made.
    let mut tried = 0;
    let pod = loop {
        let pod = format!("p{tried}");
        space.pod(&pod, node, &space.network("green"));
        let ready = space.wait_ready(&pod);
        if annotation(&ready, STATUS).is_none() {
            break pod;
        }
        space.delete(&pod);
        tried += 1;
        assert!(tried < 20, "the policy has no effect");
    };
    // After a minute.
    space.wait_event_with(&pod, "NetworkStatusNotPublished", "not today");
    let counted = || Ok(metrics(node)?.contains("\nmanifold_node_statuses_unpublished 1\n").then_some(()));
    space.cluster.wait("the metric", counted).unwrap();
    assert_eq!(annotation(&space.get(&pod).unwrap(), STATUS), None);
    drop(refusal);
    // The next one tries at once; this one would after a minute more.
    Process::wait_node_role(space.cluster, node).kill();
    assert_eq!(space.status(&pod).len(), 2, "what was owed is published");
    space.delete(&pod);
    space.cluster.wait_installed().unwrap();
}
