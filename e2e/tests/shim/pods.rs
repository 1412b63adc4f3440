//! What becomes of pods and sandboxes meanwhile: not found, made anew, attached twice, retried, deleted by whoever.

use manifold_e2e::netns::TestNetns;
use manifold_e2e::runtime::Pod;
use serde_json::json;

use crate::kernel;
use crate::networks::With;
use crate::node::{NETWORKS, Node};

fn node_with_storage(prefix: &str) -> Node<'static> {
    let node = Node::new(prefix);
    node.install_fakes(&["fake"]);
    node.define("storage", &node.bridge("mf-storage", &["10.50.0.0/24"]));
    let warm = node.sandbox("warm", "storage");
    node.runtime().add(&warm.pod).unwrap().must_succeed();
    node.runtime().del(&warm.pod).unwrap().must_succeed();
    node
}

// Proves: F-POD-3, P-COR-3, MLT-POD-3
#[test]
fn a_pod_that_is_gone_or_another_one_is_told_to_try_again_and_never_given_a_result() {
    let node = node_with_storage("reborn");
    let mut runtime = node.runtime();
    runtime.pass_annotations = false;
    let sandbox = node.sandbox("cart", "storage");
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    node.ns.delete_pod("cart").unwrap();
    let text = runtime.add(&sandbox.pod).unwrap().must_fail_with(11);
    assert!(text.contains(&format!("pod `{}/cart` is not at the API server", node.ns.name())), "{text}");
    let new = node.ns.pod("cart", &[(NETWORKS, "storage")]).unwrap();
    let text = runtime.add(&sandbox.pod).unwrap().must_fail_with(11);
    let old = sandbox.pod.uid.clone().unwrap();
    assert!(text.contains(&new) && text.contains(&old), "both UIDs are named: {text}");
    node.assert_clean(&oracle, &before);
    runtime.del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: F-API-11, P-COR-2, P-COR-5, MLT-STS-1
#[test]
fn the_status_of_a_pod_that_was_replaced_or_deleted_meanwhile_is_dropped() {
    let node = node_with_storage("superseded");
    for gone in ["replaced", "deleted"] {
        let sandbox = node.sandbox(gone, "storage");
        node.ns.delete_pod(gone).unwrap();
        if gone == "replaced" {
            node.ns.pod(gone, &[(NETWORKS, "storage")]).unwrap();
        }
        // The runtime brought the annotations, so the pod is not asked for.
        node.runtime().add(&sandbox.pod).unwrap().must_succeed();
        assert_eq!(node.outcomes().last().unwrap()["outcome"], "superseded", "{gone}");
        if gone == "replaced" {
            assert_eq!(node.status(gone), None, "the other pod got no status of ours");
        }
        node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    }
}

// Proves: F-POD-4, MLT-POD-3
#[test]
fn a_static_pod_is_not_compared_with_its_mirror_and_left_to_the_node_role() {
    let node = node_with_storage("static");
    let source = [(NETWORKS, "storage"), ("kubernetes.io/config.source", "file")];
    for pass_annotations in [false, true] {
        let name = format!("etcd-{pass_annotations}");
        let mut sandbox = node.sandbox_with(&name, &source);
        sandbox.pod.uid = Some("0123456789abcdef0123456789abcdef".into());
        let mut runtime = node.runtime();
        runtime.pass_annotations = pass_annotations;
        runtime.add(&sandbox.pod).unwrap().must_succeed();
        assert_eq!(node.outcomes().last().unwrap()["outcome"], "unpublished");
        assert_eq!(node.status(&name), None);
        runtime.del(&sandbox.pod).unwrap().must_succeed();
    }
}

// Proves: F-POD-6
#[test]
fn a_second_add_of_a_living_sandbox_is_refused_and_leaves_it_alone() {
    let node = node_with_storage("twice");
    let sandbox = node.sandbox("cart", "storage");
    let oracle = node.oracle(&[&sandbox.netns]);
    let empty = oracle.snapshot().unwrap();
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let attached = oracle.snapshot().unwrap();
    let text = runtime.add(&sandbox.pod).unwrap().must_fail_with(102);
    assert!(text.contains("is attached already; it needs a DEL"), "{text}");
    let leaks = node.leaks(&oracle, &attached);
    assert!(leaks.is_empty(), "{leaks:#?}");
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    node.assert_clean(&oracle, &empty);
}

// Proves: F-POD-5
#[test]
fn a_retried_pod_with_a_new_sandbox_shares_nothing_with_the_old_one() {
    let node = node_with_storage("retried");
    let old = node.sandbox("cart", "storage");
    let new_netns = TestNetns::new().unwrap();
    let id = Pod::named("x", "y").container_id;
    let new = Pod { container_id: id, netns: Some(new_netns.path().into()), ..old.pod.clone() };
    let oracle = node.oracle(&[&old.netns, &new_netns]);
    let empty = oracle.snapshot().unwrap();
    let runtime = node.runtime();
    runtime.add(&old.pod).unwrap().must_succeed();
    runtime.add(&new).unwrap().must_succeed();
    let (first, second) = (kernel::addresses(&old.netns, "net1"), kernel::addresses(&new_netns, "net1"));
    assert_ne!(first, second);
    runtime.del(&old.pod).unwrap().must_succeed();
    assert_eq!(kernel::addresses(&new_netns, "net1"), second);
    runtime.check(&new).unwrap().must_succeed();
    assert_eq!(node.status("cart").unwrap()[1]["ips"], json!(second), "the newest sandbox is what is told");
    runtime.del(&new).unwrap().must_succeed();
    node.assert_clean(&oracle, &empty);
}

// Proves: F-POD-7, P-DEL-5
#[test]
fn del_of_a_sandbox_without_an_entry_still_asks_the_default_network() {
    let mut node = node_with_storage("unknown");
    node.entry.remove("clusterNetwork");
    node.entry.insert("delegates".into(), json!([node.fake(&json!({})).with("name", json!("cluster"))]));
    let oracle = node.oracle(&[]);
    let before = oracle.snapshot().unwrap();
    let netns = TestNetns::new().unwrap();
    let mut without_args = node.runtime();
    without_args.env.push(("CNI_ARGS".into(), "".into()));
    let mut odd_args = node.runtime();
    odd_args.env.push(("CNI_ARGS".into(), "K8S_POD_NAME=a=b;;=;FOO".into()));
    let known = Pod::new(&netns, node.ns.name(), "old");
    let late = known.clone().without_netns();
    for (n, (runtime, pod)) in
        [(node.runtime(), &known), (node.runtime(), &late), (without_args, &late), (odd_args, &late)]
            .iter()
            .enumerate()
    {
        runtime.del(pod).unwrap().must_succeed();
        assert_eq!(node.trace(), vec!["DEL eth0"; n + 1]);
    }
    let calls = manifold_e2e::trace::read(&node.folder("trace")).unwrap();
    assert!(calls.iter().all(|call| call.var("CNI_CONTAINERID") == known.container_id));
    node.assert_clean(&oracle, &before);
}

// Shows part of: CNI-ENV-9, S-18
#[test]
fn del_of_a_sandbox_without_an_entry_touches_nothing_in_our_own_namespace() {
    let mut node = node_with_storage("own");
    let default = node.default_network();
    node.entry.remove("clusterNetwork");
    node.entry.insert("delegates".into(), json!([default]));
    let mut pod = Pod::named(node.ns.name(), "odd");
    pod.netns = Some(node.host.path().to_path_buf());
    // A link of the node, of the kind that the default network makes.
    pod.ifname = "eth1".into();
    node.runtime().del(&pod).unwrap().must_fail_with(8);
    node.host.exec(&["ip", "link", "show", "eth1"]).unwrap();
}

// Proves: MLT-POD-5
#[test]
fn a_pair_of_cni_args_that_nobody_knows_is_refused_on_add_unless_it_is_to_be_ignored() {
    let mut node = node_with_storage("unknown-pair");
    node.entry.remove("clusterNetwork");
    let work = json!({"ADD": {"work": true, "address": "10.1.0.2/24"}, "DEL": {"work": true}});
    node.entry.insert("delegates".into(), json!([node.fake(&work).with("name", json!("cluster"))]));
    let netns = TestNetns::new().unwrap();
    let pod = Pod::new(&netns, node.ns.name(), "odd");
    let with = |args: &str| {
        let mut runtime = node.runtime();
        runtime.env.push(("CNI_ARGS".into(), args.into()));
        runtime
    };
    let refused = with("FOO=1").add(&pod).unwrap();
    assert!(refused.error_text().contains("unknown key `FOO`"), "{refused}");
    assert_eq!(node.trace(), Vec::<String>::new());
    with("FOO=1").del(&pod).unwrap().must_succeed();
    with("IgnoreUnknown=1;FOO=1").add(&pod).unwrap().must_succeed();
    with("FOO=1").del(&pod).unwrap().must_succeed();
    assert_eq!(node.trace(), ["DEL eth0", "ADD eth0", "DEL eth0"]);
}

// Proves: F-DSK-6, F-POD-7
#[test]
fn with_the_whole_state_folder_gone_del_still_frees_the_default_network() {
    let mut node = node_with_storage("wiped");
    let default = node.default_network();
    node.entry.remove("clusterNetwork");
    node.entry.insert("delegates".into(), json!([default]));
    let sandbox = node.sandbox("cart", "");
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    std::fs::remove_dir_all(node.folder("state")).unwrap();
    assert_eq!(node.leases("cluster-wide-network").len(), 2);
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    node.assert_clean(&oracle, &before);
    let next = node.sandbox("next", "storage");
    node.runtime().add(&next.pod).unwrap().must_succeed();
    node.runtime().del(&next.pod).unwrap().must_succeed();
}

// Proves: F-POD-8
#[test]
fn another_namespace_at_the_same_path_is_never_touched() {
    let node = node_with_storage("reused");
    let sandbox = node.sandbox("cart", "storage");
    let oracle = node.oracle(&[]);
    let before = oracle.snapshot().unwrap();
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    sandbox.netns.delete();
    std::fs::write(sandbox.netns.path(), "").unwrap();
    let unshare = format!(
        "unshare --net={} sh -c 'ip link add eth0 type bridge; ip link add net1 type bridge'",
        sandbox.netns.path().display()
    );
    let made = std::process::Command::new("sh").args(["-c", &unshare]).status().unwrap();
    assert!(made.success());
    let text = runtime.check(&sandbox.pod).unwrap().must_fail_with(101);
    assert!(text.contains("is not the network namespace in which"), "{text}");
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(sandbox.links(), ["eth0", "net1"], "they are somebody else's");
    node.assert_clean(&oracle, &before);
}
