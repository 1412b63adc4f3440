//! An ADD in which a delegate fails, hangs, talks nonsense or is not there: everything is undone, the sentence tells
//! which, and nothing is left.

use std::collections::BTreeSet;
use std::fs::File;
use std::time::Duration;

use serde_json::{Value, json};

use crate::networks::With;
use crate::node::Node;
use crate::sandbox::Sandbox;

/// The k-th network of every pod fails after it has made its link; the others are bundled plugins and fakes.
fn node_with_networks(prefix: &str) -> Node<'static> {
    let node = Node::new(prefix);
    node.install_fakes(&["fake"]);
    node.define("bridge", &node.bridge("mf-storage", &["10.50.0.0/24"]));
    node.define("macvlan", &node.macvlan(&["10.60.0.0/24"]));
    node.define("ptp", &node.ptp(&["10.70.0.0/24"]));
    let work = json!({"work": true});
    node.define("fine", &node.fake(&json!({"ADD": work, "DEL": work})));
    let fails = json!({"work": true, "behave": "fail", "code": 142, "msg": "no more lambdas", "details": "ask for fewer"});
    node.define("fails", &node.fake(&json!({"ADD": fails, "DEL": work})));
    let warm = node.sandbox("warm", "bridge,macvlan,ptp");
    node.runtime().add(&warm.pod).unwrap().must_succeed();
    node.runtime().del(&warm.pod).unwrap().must_succeed();
    node
}

/// One ADD that must fail with this code; nothing may be left of it, and DEL after it must be success.
#[track_caller]
fn add_fails(node: &Node<'_>, sandbox: &Sandbox, code: u64) -> String {
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    let runtime = node.runtime();
    let text = runtime.add(&sandbox.pod).unwrap().must_fail_with(code);
    node.assert_clean(&oracle, &before);
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    text
}

// Proves: F-PLG-1, NPWG-7.2-1, NPWG-7.2-2, NPWG-7.2-3, P-USE-1, MLT-EXE-10, CNI-RUN-4
#[test]
fn when_the_kth_of_n_fails_all_are_undone_and_the_rest_is_not_tried() {
    let node = node_with_networks("kth");
    let others = ["bridge", "fine", "macvlan", "ptp", "fine", "macvlan", "fine", "bridge"];
    for n in 1..=8_usize {
        for k in 1..=n {
            let mut networks: Vec<&str> = others[..n].to_vec();
            networks[k - 1] = "fails";
            let seen = node.trace().len();
            let sandbox = node.sandbox(&format!("pod-{k}-of-{n}"), &networks.join(","));
            let text = add_fails(&node, &sandbox, 142);
            assert!(text.contains("no more lambdas") && text.contains("ask for fewer"), "{text}");
            assert!(text.contains(&format!("{}/fails`, interface net{k}", node.ns.name())), "{text}");
            assert!(text.contains("everything attached before it was undone"), "{text}");
            let called: BTreeSet<String> = node.trace()[seen..].iter().cloned().collect();
            let tried = (1..=k).filter(|i| ["fails", "fine"].contains(&networks[i - 1]));
            let expected = tried.flat_map(|i| [format!("ADD net{i}"), format!("DEL net{i}")]).collect();
            // DEL goes to all that the entry plans; ADD only to those up to the failure.
            let adds = |all: &BTreeSet<String>| -> BTreeSet<String> {
                all.iter().filter(|call| call.starts_with("ADD")).cloned().collect()
            };
            assert_eq!(adds(&called), adds(&expected), "{k} of {n}");
            assert!(called.is_superset(&expected), "{k} of {n}: {called:?} lacks one of {expected:?}");
        }
    }
}

// Proves: F-PLG-1
#[test]
fn a_default_network_that_fails_is_undone_too() {
    let mut node = node_with_networks("default");
    let fails = json!({"work": true, "behave": "fail", "code": 7, "msg": "out of order"});
    let conf = node.fake(&json!({"ADD": fails, "DEL": {"work": true}})).with("name", json!("cluster"));
    node.entry.remove("clusterNetwork");
    node.entry.insert("delegates".into(), json!([conf]));
    let sandbox = node.sandbox("cart", "bridge");
    let text = add_fails(&node, &sandbox, 7);
    assert!(text.contains("out of order") && text.contains("interface eth0"), "{text}");
    assert_eq!(node.trace()[..2], ["ADD eth0", "DEL eth0"]);
}

/// After how many seconds a delegate was killed, as the error tells it.
pub(crate) fn killed_after(text: &str) -> f32 {
    let (_, rest) = text.split_once("as it had not ended after ").expect(text);
    rest.split(' ').next().and_then(|seconds| seconds.parse().ok()).expect(text)
}

// Proves: F-PLG-4, P-PERF-6
#[test]
fn a_delegate_that_hangs_is_killed_with_its_group_at_its_deadline() {
    let mut node = node_with_networks("hang");
    node.entry.insert("limits".into(), json!({"delegateSeconds": 3}));
    for behaviour in ["hang", "ignore-sigterm"] {
        node.define(
            behaviour,
            &node.fake(&json!({"ADD": {"work": true, "behave": behaviour}, "DEL": {"work": true}})),
        );
        let sandbox = node.sandbox(&format!("pod-{behaviour}"), &format!("bridge,{behaviour},fine"));
        // The oracle sees every process that lives on the node: none is left.
        let text = add_fails(&node, &sandbox, 100);
        assert!(text.contains("plugin `fake` was killed in ADD, as it had not ended after "), "{text}");
        assert!((2.0..20.0).contains(&killed_after(&text)), "{text}");
        assert!(text.contains(&format!("/{behaviour}`, interface net2")), "{text}");
    }
}

// Proves: F-PLG-4
#[test]
fn the_whole_add_has_a_deadline_too() {
    let mut node = node_with_networks("deadline");
    node.entry.insert("limits".into(), json!({"delegateSeconds": 60, "addSeconds": 5}));
    node.define("slow", &node.fake(&json!({"ADD": {"delayMs": 3000}})));
    let sandbox = node.sandbox("cart", "slow,slow,slow");
    let text = add_fails(&node, &sandbox, 100);
    assert!(text.contains("was killed in ADD"), "{text}");
    assert!(!node.trace().contains(&"ADD net3".to_string()), "{:?}", node.trace());
}

/// A behaviour, the code that the runtime gets, and what the text must say.
const NONSENSE: [(&str, u64, &str); 13] = [
    ("empty", 100, "printed no result"),
    ("garbage", 6, "which is not JSON"),
    ("not-utf8", 6, "which is not JSON"),
    ("partial", 6, "which is not JSON"),
    ("noise-before", 6, "which is not JSON"),
    ("two-objects", 6, "which is not JSON"),
    ("huge", 100, "more than 1 MiB on stdout"),
    ("exit-137", 100, "failed with exit code 137"),
    ("crash", 100, "killed by signal 6 (SIGABRT)"),
    ("killed", 100, "killed by signal 9 (SIGKILL)"),
    ("error-exit-0", 42, "told to fail"),
    ("code-3", 100, "told to fail"),
    ("array", 6, "fake"),
];

// Proves: F-PLG-6
#[test]
fn a_delegate_that_answers_nonsense_has_failed_and_gets_its_del() {
    let node = node_with_networks("nonsense");
    for (name, code, expected) in NONSENSE {
        let mut add = json!({"work": true, "behave": name});
        match name {
            "exit-137" => add = json!({"work": true, "behave": "exit", "exit": 137}),
            "code-3" => add = json!({"work": true, "behave": "fail", "code": 3}),
            "error-exit-0" => add = add.with("code", json!(42)),
            _ => {}
        }
        node.define(name, &node.fake(&json!({"ADD": add, "DEL": {"work": true}})));
        let seen = node.trace().len();
        let sandbox = node.sandbox(&format!("pod-{name}"), &format!("bridge,{name}"));
        let text = add_fails(&node, &sandbox, code);
        assert!(text.contains(expected) && text.contains("plugin `fake`"), "{name}: {text}");
        assert!(text.len() < 4096, "{name}: the text has {} bytes", text.len());
        assert_eq!(node.trace()[seen..][..2], ["ADD net2", "DEL net2"], "{name}");
    }
}

// Proves: F-PLG-6
#[test]
fn the_end_of_the_process_counts_and_not_the_end_of_its_output() {
    let node = node_with_networks("held");
    node.define(
        "holds",
        &node.fake(&json!({"ADD": {"behave": "hold-stdout", "lingerMs": 60_000, "escape": true}})),
    );
    node.define("chatty", &node.fake(&json!({"ADD": {"behave": "huge-stderr", "bytes": 3_000_000}})));
    let sandbox = node.sandbox("cart", "holds,chatty");
    let outcome = node.runtime().add(&sandbox.pod).unwrap();
    outcome.must_succeed();
    assert!(outcome.wall < Duration::from_secs(45), "it waited for the grandchild: {:?}", outcome.wall);
    assert!(
        outcome.stderr.len() < 200_000,
        "stderr is passed on in part only: {} bytes",
        outcome.stderr.len()
    );
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: F-PLG-5, P-USE-3
#[test]
fn a_plugin_that_is_not_installed_is_told_before_anything_is_touched() {
    let node = node_with_networks("missing");
    let mut chain = node.bridge("mf-storage", &["10.50.0.0/24"]);
    chain = json!({"cniVersion": "1.1.0", "plugins": [chain, {"type": "flux-capacitor"}]});
    node.define("chain", &chain);
    node.define(
        "ipam",
        &json!({"cniVersion": "1.1.0", "type": "macvlan", "master": "eth1", "ipam": {"type": "lost-ipam"}}),
    );
    for (network, plugin) in [("chain", "flux-capacitor"), ("ipam", "lost-ipam")] {
        let sandbox = node.sandbox(&format!("pod-{network}"), &format!("fine,{network}"));
        let text = add_fails(&node, &sandbox, 7);
        assert!(
            text.contains(&format!("needs plugin `{plugin}`, which is not installed on this node")),
            "{text}"
        );
        assert!(text.contains(&format!("looked in `{}`", node.folder("bin").display())), "{text}");
    }
    assert_eq!(node.trace(), Vec::<String>::new(), "no delegate was called at all");
}

// Proves: F-PLG-5
#[test]
fn a_plugin_that_is_being_written_is_waited_for() {
    let node = node_with_networks("busy");
    node.install_fakes(&["unused"]);
    let (source, busy) = (node.folder("bin/unused"), node.folder("bin/busy"));
    std::fs::copy(&source, &busy).unwrap();
    node.define("busy", &node.fake(&Value::Object(Default::default())).with("type", json!("busy")));
    let sandbox = node.sandbox("cart", "busy");
    let writer = File::options().append(true).open(&busy).unwrap();
    let installer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(700));
        drop(writer);
    });
    let outcome = node.runtime().add(&sandbox.pod).unwrap();
    installer.join().unwrap();
    outcome.must_succeed();
    assert!(outcome.wall >= Duration::from_millis(700), "it was not busy: {:?}", outcome.wall);
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: F-PLG-2
#[test]
fn a_failure_after_the_last_attachment_undoes_all_of_them() {
    let node = node_with_networks("route");
    let networks = r#"[{"name": "fine"}, {"name": "bridge", "default-route": ["192.0.2.1"]}]"#;
    let sandbox = node.sandbox("cart", networks);
    let text = add_fails(&node, &sandbox, 7);
    assert!(text.contains("`default-route` names the gateway `192.0.2.1`"), "{text}");
    assert!(text.contains("everything attached before it was undone"), "{text}");
    assert!(node.trace().contains(&"ADD net1".into()), "it failed after the attachments: {:?}", node.trace());
}
