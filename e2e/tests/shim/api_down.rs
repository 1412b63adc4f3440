//! The API server cannot be reached, says nothing or says nonsense: pods with networks are told to try again, and a
//! plain pod starts all the same.

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifold_e2e::forward::{Forward, Mode};
use serde_json::{Value, json};

use crate::networks::With;
use crate::node::Node;
use crate::proxy::{Fate, Proxy};
use crate::sandbox::Sandbox;

fn node_with_storage(prefix: &str) -> Node<'static> {
    let node = Node::new(prefix);
    node.define("storage", &node.bridge("mf-storage", &["10.50.0.0/24"]));
    node
}

/// What the node agent keeps on disk for times like these.
pub(crate) fn mirror(node: &Node<'_>) {
    let nad = json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "cluster-wide-network", "namespace": node.ns.name()},
        "spec": {"config": node.default_network().to_string()},
    });
    fs::create_dir_all(node.folder("state")).unwrap();
    fs::write(node.folder("state/cluster-wide-network.json"), nad.to_string()).unwrap();
}

/// Refused with 11 and within the budget of ten seconds, to which a busy machine adds its own; nothing was touched.
#[track_caller]
fn told_to_try_again(node: &Node<'_>, sandbox: &Sandbox, parts: &[&str]) -> Duration {
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    let outcome = node.runtime().add(&sandbox.pod).unwrap();
    let text = outcome.must_fail_with(11);
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    node.assert_clean(&oracle, &before);
    assert!(outcome.wall < Duration::from_secs(40), "{:?}", outcome.wall);
    outcome.wall
}

// Proves: F-API-1
#[test]
fn a_plain_pod_starts_without_a_single_connection() {
    let node = node_with_storage("plain-down");
    mirror(&node);
    let sandbox = node.sandbox("cart", "");
    let forward = node.forward.as_ref().unwrap();
    forward.set(Mode::Close);
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(sandbox.links(), ["eth0"]);
    assert_eq!(node.outcomes().last().unwrap()["outcome"], "unpublished");
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(forward.connections(), 0);
}

// Proves: F-API-2, F-API-7
#[test]
fn a_plain_pod_starts_without_credentials_and_one_with_networks_is_told_who_writes_them() {
    let node = node_with_storage("credentials");
    mirror(&node);
    let kubeconfig = fs::read_to_string(&node.access.kubeconfig).unwrap();
    let cuts = [0, 1, kubeconfig.len() / 3, kubeconfig.len() / 2, kubeconfig.len() - 40];
    let plain = node.sandbox("plain", "");
    let asking = node.sandbox("asking", "storage");
    for cut in cuts {
        fs::write(&node.access.kubeconfig, &kubeconfig[..cut]).unwrap();
        told_to_try_again(&node, &asking, &["the node agent"]);
    }
    fs::remove_file(&node.access.kubeconfig).unwrap();
    told_to_try_again(&node, &asking, &["node agent", &node.access.kubeconfig.display().to_string()]);
    node.runtime().add(&plain.pod).unwrap().must_succeed();
    node.runtime().del(&plain.pod).unwrap().must_succeed();
    fs::write(&node.access.kubeconfig, &kubeconfig).unwrap();
    fs::remove_file(&node.access.token_file).unwrap();
    told_to_try_again(&node, &asking, &["node agent", &node.access.token_file.display().to_string()]);
}

/// A pod that meets this on the way to the server is told to try again when the budget ends, and not before.
fn given_up(prefix: &str, way: Option<Mode>, part: &str) {
    let mut node = node_with_storage(prefix);
    let sandbox = node.sandbox("cart", "storage");
    match way {
        Some(mode) => node.forward.as_ref().unwrap().set(mode),
        None => node.cut_off(),
    }
    let wall = told_to_try_again(&node, &sandbox, &["the API server", part]);
    assert!(wall > Duration::from_secs(7), "{prefix}: it gave up after {wall:?}");
    let tries = node.forward.as_ref().map_or(2, Forward::connections);
    assert!(tries >= 2, "{prefix}: it was asked {tries} times");
}

// Proves: F-API-2
#[test]
fn a_server_that_is_down_or_silent_or_talks_nonsense_is_asked_again_until_the_budget_ends() {
    std::thread::scope(|scope| {
        scope.spawn(|| given_up("refused", None, "gave no usable answer to `get` of network"));
        scope.spawn(|| given_up("silent", Some(Mode::Silence), "none within"));
        let other = Mode::Answer(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec());
        scope.spawn(|| given_up("nonsense", Some(other), "gave no usable answer"));
        scope.spawn(an_answer_without_end_is_not_read_to_the_end);
    });
}

fn an_answer_without_end_is_not_read_to_the_end() {
    let mut node = node_with_storage("endless");
    let sandbox = node.sandbox("cart", "storage");
    let large = format!("{{\"kind\": \"{}\"}}", "x".repeat(8 << 20));
    let _proxy = Proxy::new(&mut node, move |_, _| Fate::Answer(200, "", large.clone()));
    told_to_try_again(&node, &sandbox, &["is larger than", "make the object smaller"]);
}

// Proves: F-API-2
#[test]
fn a_server_that_is_back_after_four_seconds_costs_the_pod_nothing_but_time() {
    let mut node = node_with_storage("back");
    let sandbox = node.sandbox("cart", "storage");
    node.cut_off();
    let (host, port) = (&node.host, node.ns.api().port());
    let outcome = std::thread::scope(|scope| {
        let add = scope.spawn(|| node.runtime().add(&sandbox.pod).unwrap());
        node.wait_for_start(&sandbox.pod.container_id, &add);
        std::thread::sleep(Duration::from_secs(4));
        let forward = Forward::new(host, port).unwrap();
        let outcome = add.join().unwrap();
        drop(forward);
        outcome
    });
    outcome.must_succeed();
    assert_eq!(sandbox.links(), ["eth0", "net1"], "all networks that were asked for");
    assert!(outcome.wall > Duration::from_secs(3), "{:?}", outcome.wall);
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: F-API-3
#[test]
fn a_slow_connection_is_one_connection_and_succeeds() {
    let node = node_with_storage("slow");
    for name in ["b", "c", "d"] {
        node.define(name, &node.macvlan(&[]).with("ipam", json!({})));
    }
    let sandbox = node.sandbox("cart", "storage,b,c,d");
    let forward = node.forward.as_ref().unwrap();
    forward.set(Mode::Delay(Duration::from_millis(250)));
    let outcome = node.runtime().add(&sandbox.pod).unwrap();
    outcome.must_succeed();
    assert_eq!(forward.connections(), 1, "five definitions and one patch");
    // TLS is one round trip, the definitions are one, the patch is one; what more there is are pieces of answers. The
    // rest, and more than that on a busy machine, is for what is attached.
    assert!(outcome.wall < Duration::from_secs(20), "{:?}", outcome.wall);
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: F-API-8
#[test]
fn a_server_that_cannot_prove_who_it_is_is_not_talked_to() {
    let node = node_with_storage("other-ca");
    let sandbox = node.sandbox("cart", "storage");
    let other = manifold_e2e::certificates::Authority::new(&node.folder("other-ca")).unwrap();
    let text = fs::read_to_string(&node.access.kubeconfig).unwrap();
    let mut kubeconfig: Value = serde_yaml::from_str(&text).unwrap();
    kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"] = json!(STANDARD.encode(other.pem()));
    fs::write(&node.access.kubeconfig, kubeconfig.to_string()).unwrap();
    let wall = told_to_try_again(&node, &sandbox, &["cannot be trusted", "certificate authority", "clock"]);
    assert!(wall < Duration::from_secs(9), "a certificate does not become valid by waiting: {wall:?}");
}
