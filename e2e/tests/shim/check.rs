//! CHECK looks at every attachment, or at those that it is told to; STATUS tells from files alone whether a pod could be made.

use std::fs;

use serde_json::json;

use crate::cleanup::{ALL, assert_nothing_left, used_node};
use crate::networks::With;
use crate::node::Node;

// Proves: P-COR-7, MLT-CHK-1
#[test]
fn whichever_attachment_is_broken_check_says_so_and_del_cleans_up() {
    let node = used_node("check");
    let runtime = node.runtime();
    for (link, network) in
        [("eth0", "cluster-wide-network"), ("net1", "storage"), ("net2", "wire"), ("net3", "link")]
    {
        let sandbox = node.sandbox(&format!("broken-{link}"), ALL);
        let before = node.oracle(&[&sandbox.netns]).snapshot().unwrap();
        runtime.add(&sandbox.pod).unwrap().must_succeed();
        runtime.check(&sandbox.pod).unwrap().must_succeed();
        sandbox.netns.exec(&["ip", "address", "flush", "dev", link]).unwrap();
        let outcome = runtime.check(&sandbox.pod).unwrap();
        assert!(!outcome.succeeded(), "the address of {link} is gone, and CHECK is content");
        let text = outcome.error_text();
        assert!(text.contains(&format!("network `{network}`")), "{text}");
        sandbox.netns.exec(&["ip", "link", "delete", link]).unwrap();
        assert!(!runtime.check(&sandbox.pod).unwrap().succeeded());
        runtime.del(&sandbox.pod).unwrap().must_succeed();
        assert_nothing_left(&node, &sandbox, &before);
    }
}

// Proves: P-COR-7
#[test]
fn check_of_several_broken_ones_tells_them_all() {
    let node = used_node("several");
    let sandbox = node.sandbox("cart", ALL);
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    for link in ["net1", "net2"] {
        sandbox.netns.exec(&["ip", "link", "delete", link]).unwrap();
    }
    let text = runtime.check(&sandbox.pod).unwrap().error_text();
    assert!(text.contains("network `storage`") && text.contains("network `wire`"), "{text}");
    assert!(!text.contains("network `link`"), "{text}");
    runtime.del(&sandbox.pod).unwrap().must_succeed();
}

// Shows part of: COMPAT-24
#[test]
fn without_being_told_check_looks_at_the_default_network_alone_and_off_is_off() {
    let mut node = used_node("scope");
    let sandbox = node.sandbox("cart", ALL);
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let result = runtime.result_of(&sandbox.pod);
    let input = runtime.attachment_input(&sandbox.pod, result);
    drop(runtime);
    let mut check = |scope: &str| {
        node.entry.insert("check".into(), json!(scope));
        let input = input.clone().with("check", json!(scope));
        node.runtime().call("CHECK", Some(&sandbox.pod), input).unwrap()
    };
    sandbox.netns.exec(&["ip", "link", "delete", "net1"]).unwrap();
    check("default").must_succeed();
    assert!(!check("all").succeeded());
    sandbox.netns.exec(&["ip", "link", "delete", "eth0"]).unwrap();
    let text = check("default").error_text();
    assert!(text.contains("network `cluster-wide-network`") && !text.contains("network `storage`"), "{text}");
    check("off").must_succeed();
    check("none").must_fail_with(7);
    node.entry.remove("check");
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

#[test]
fn check_of_a_sandbox_that_was_never_attached_or_without_a_result_fails() {
    let node = used_node("never");
    let sandbox = node.sandbox("cart", "storage");
    let runtime = node.runtime();
    runtime.check(&sandbox.pod).unwrap().must_fail_with(7);
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let text = node.runtime().check(&sandbox.pod).unwrap().must_fail_with(7);
    assert!(text.contains("`prevResult`"), "{text}");
    let mut other = sandbox.pod.clone();
    other.container_id = "another".into();
    let input = runtime.attachment_input(&sandbox.pod, runtime.result_of(&sandbox.pod));
    let text = runtime.call("CHECK", Some(&other), input).unwrap().must_fail_with(101);
    assert!(text.contains("sandbox `another` is not attached"), "{text}");
    runtime.del(&sandbox.pod).unwrap().must_succeed();
}

/// STATUS of this node with this change of its entry.
#[track_caller]
fn status(node: &Node<'_>, key: &str, value: serde_json::Value, expected: Option<u64>) -> String {
    let mut entry = node.entry.clone();
    entry.insert(key.into(), value);
    let outcome = node.runtime().call("STATUS", None, entry.into()).unwrap();
    match expected {
        None => drop(outcome.must_succeed()),
        Some(code) => drop(outcome.must_fail_with(code)),
    }
    outcome.error_text()
}

// Proves: MLT-STA-1
#[test]
fn status_is_told_from_files_and_by_the_default_network() {
    let mut node = Node::new("status");
    node.cut_off();
    node.install_fakes(&["fake"]);
    // The definition is known to the API server only, which is not asked: nothing speaks against an ADD.
    node.runtime().status().unwrap().must_succeed();
    node.entry.remove("clusterNetwork");
    let fake = node.fake(&json!({}));
    let conf = |more: serde_json::Value| {
        let whole = more.with("trace", fake["fake"]["trace"].clone());
        json!([fake.clone().with("name", json!("cluster")).with("fake", whole)])
    };
    status(&node, "delegates", conf(json!({})), None);
    for code in [50, 51] {
        let unready = json!({"STATUS": {"behave": "fail", "code": code, "msg": "no daemon"}});
        let text = status(&node, "delegates", conf(unready), Some(code));
        assert!(text.contains("no daemon"), "{text}");
    }
    let text =
        status(&node, "delegates", json!([{"cniVersion": "1.1.0", "name": "c", "type": "absent"}]), Some(50));
    assert!(text.contains("`absent`"), "{text}");
    node.entry.insert("delegates".into(), conf(json!({})));
    fs::write(node.folder("file"), "").unwrap();
    status(&node, "stateDir", json!(node.folder("file/below")), Some(50));
    status(&node, "readinessindicatorfile", json!(node.folder("not-yet")), Some(50));
    status(&node, "cniVersion", json!("1.0.0"), Some(1));
    node.entry.remove("kubeconfig");
    node.entry.remove("delegates");
    let text = status(&node, "clusterNetwork", json!("flannel"), Some(50));
    assert!(text.contains("flannel"), "a node without Kubernetes has nobody else to ask: {text}");
}

// Proves: MLT-RDY-1, MLT-DEL-4, NPWG-6.1.2-1
#[test]
fn add_waits_for_the_readiness_file_and_del_does_not() {
    let mut node = Node::new("ready");
    let file = node.folder("default-network-is-ready");
    node.entry.insert("readinessindicatorfile".into(), json!(file));
    let sandbox = node.sandbox("cart", "");
    let outcome = std::thread::scope(|scope| {
        let add = scope.spawn(|| node.runtime().add(&sandbox.pod).unwrap());
        node.wait_for_start(&sandbox.pod.container_id, &add);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        assert_eq!(sandbox.links(), Vec::<String>::new());
        fs::write(&file, "").unwrap();
        add.join().unwrap()
    });
    outcome.must_succeed();
    assert!(outcome.wall.as_millis() >= 1500, "{:?}", outcome.wall);
    fs::remove_file(&file).unwrap();
    let outcome = node.runtime().del(&sandbox.pod).unwrap();
    outcome.must_succeed();
    // ADD would wait for 45 s.
    assert!(outcome.wall.as_secs() < 30, "{:?}", outcome.wall);
    // Without the file STATUS says so at once.
    let text = node.runtime().status().unwrap().must_fail_with(50);
    assert!(text.contains("default-network-is-ready"), "{text}");
}

// Shows part of: MLT-RDY-1
#[test]
fn what_the_default_network_took_to_get_ready_is_not_taken_from_the_api_servers_time() {
    let mut node = Node::new("ready-late");
    node.define("storage", &node.bridge("mf-storage", &["10.50.0.0/24"]));
    let file = node.folder("default-network-is-ready");
    node.entry.insert("readinessindicatorfile".into(), json!(file));
    let sandbox = node.sandbox("cart", "storage");
    std::thread::scope(|scope| {
        let add = scope.spawn(|| node.runtime().add(&sandbox.pod).unwrap());
        // More than an ADD may ask the API server for.
        std::thread::sleep(std::time::Duration::from_secs(11));
        fs::write(&file, "").unwrap();
        add.join().unwrap().must_succeed();
    });
    assert_eq!(sandbox.links(), ["eth0", "net1"]);
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

// Shows part of: F-RUN-3
#[test]
fn del_does_not_wait_for_the_default_network_that_add_waits_for() {
    let mut node = Node::new("ready-never");
    node.entry.insert("readinessindicatorfile".into(), json!(node.folder("not-yet")));
    let sandbox = node.sandbox("cart", "");
    std::thread::scope(|scope| {
        let begun = std::time::Instant::now();
        let add = scope.spawn(|| node.runtime().add(&sandbox.pod).unwrap());
        while !add.is_finished() {
            node.runtime().del(&sandbox.pod).unwrap().must_succeed();
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let text = add.join().unwrap().must_fail_with(11);
        assert!(text.contains("ADD stops"), "{text}");
        assert!(begun.elapsed().as_secs() < 40, "{:?}", begun.elapsed());
    });
}
