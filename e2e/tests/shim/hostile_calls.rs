//! Calls that no well-behaved runtime makes: an odd environment, an odd configuration entry. Refused like hostile input.

use manifold_e2e::runtime::{CallOutcome, Pod, Runtime};
use serde_json::{Value, json};

use crate::hostile::Bed;
use crate::node::Node;

/// What a call with this change of the runtime or the pod comes to.
fn call(bed: &Bed, change: impl FnOnce(&mut Runtime<'_>, &mut Pod)) -> CallOutcome {
    let (mut runtime, mut pod) = (bed.node.runtime(), bed.pod());
    change(&mut runtime, &mut pod);
    runtime.add(&pod).unwrap()
}

// Proves: F-INP-8
#[test]
fn del_of_an_id_that_no_add_can_have_is_success_however_long_and_a_wrong_one_is_refused() {
    let node = Node::new("long-id");
    let mut sandbox = node.sandbox("cart", "");
    for length in [191, 255, 256, 5000] {
        sandbox.pod.container_id = "a".repeat(length);
        node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    }
    sandbox.pod.container_id = "a/".repeat(200);
    node.runtime().del(&sandbox.pod).unwrap().must_fail_with(4);
    assert_eq!(node.ledger(), Vec::<String>::new());
}

// Proves: F-INP-6, F-DSK-9, S-18, CNI-ENV-7
#[test]
fn environments_that_no_runtime_would_send() {
    let mut bed = Bed::new("environment");
    for id in ["../x", "a/b", "..", ".", "-a", "a b", "\u{202e}x"] {
        let outcome = call(&bed, |_, pod| pod.container_id = id.into());
        bed.refused(id, &outcome, 4, &["container id `", "cannot be used: "]);
    }
    // Its files are called by it, with more behind it.
    let id = "a".repeat(191);
    let outcome = call(&bed, |_, pod| pod.container_id = id.clone());
    bed.refused(
        "a long id",
        &outcome,
        4,
        &["CNI_CONTAINERID has 191 bytes", "room for 190", "shorter sandbox ids"],
    );
    let id = "a".repeat(256);
    let outcome = call(&bed, |_, pod| pod.container_id = id.clone());
    bed.refused("an id too long for a file", &outcome, 4, &["longer than 255 bytes"]);
    for name in ["x".repeat(16).as_str(), "..", "a/b", "a b", "a:b"] {
        let outcome = call(&bed, |_, pod| pod.ifname = name.into());
        bed.refused(name, &outcome, 4, &["interface name `", "cannot be used: "]);
    }
    let args = [
        ("K8S_POD_NAME=x", "`K8S_POD_NAMESPACE`"),
        ("K8S_POD_NAMESPACE=x", "`K8S_POD_NAME`"),
        ("K8S_POD_NAMESPACE=../x;K8S_POD_NAME=y", "CNI_ARGS"),
        ("K8S_POD_NAMESPACE=x;K8S_POD_NAME=a=b", "CNI_ARGS"),
        ("K8S_POD_NAMESPACE=x;K8S_POD_NAME=y;K8S_POD_UID=../..", "CNI_ARGS"),
        ("FOO=1", "unknown key `FOO`"),
    ];
    for (text, part) in args {
        let outcome = call(&bed, |runtime, _| runtime.env.push(("CNI_ARGS".into(), text.into())));
        bed.refused(text, &outcome, 4, &["CNI_ARGS", part]);
    }
    let host = bed.node.host.path().to_path_buf();
    let outcome = call(&bed, |_, pod| pod.netns = Some(host));
    bed.refused("the host's own namespace", &outcome, 8, &["namespace"]);
    let outcome = call(&bed, |_, pod| pod.netns = Some("/run/netns/not-there".into()));
    bed.refused("no namespace", &outcome, 4, &["CNI_NETNS", "`/run/netns/not-there` does not exist"]);
    let outcome = call(&bed, |_, pod| pod.netns = Some("/etc/hostname".into()));
    bed.refused("an ordinary file", &outcome, 4, &["CNI_NETNS", "/etc/hostname"]);
    for name in ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS"] {
        let outcome = call(&bed, |runtime, _| runtime.env.push((name.into(), "".into())));
        bed.refused(name, &outcome, 4, &[name, "missing from the environment"]);
    }
    let outcome = call(&bed, |runtime, _| runtime.env.push(("CNI_COMMAND".into(), "EXPLODE".into())));
    bed.refused("EXPLODE", &outcome, 4, &["CNI_COMMAND"]);
    bed.finish();
}

// Proves: F-INP-5, F-INP-6, MLT-CFG-1, MLT-CFG-2
#[test]
fn entries_that_are_wrong() {
    let mut bed = Bed::new("entry");
    let changes: [(&str, Value, u64, &str); 14] = [
        ("cniVersion", json!("0.0.0"), 1, "0.0.0"),
        ("cniVersion", json!("9.9.9"), 1, "9.9.9"),
        ("cniVersion", json!("1.0"), 1, "1.0"),
        ("cniVersion", json!(1), 7, "`cniVersion`"),
        ("name", json!("../x"), 7, "`name`"),
        ("name", json!(""), 7, "`name`"),
        ("clusterNetwork", json!(["x"]), 7, "`clusterNetwork`"),
        ("clusterNetwork", json!("nowhere"), 7, "nowhere"),
        ("stateDir", json!("relative/path"), 7, "an absolute path"),
        ("limits", json!({"delegateSeconds": 0}), 7, "`limits.delegateSeconds`"),
        ("limits", json!("many"), 7, "`limits`"),
        ("namespaceIsolation", json!("yes"), 7, "`namespaceIsolation`"),
        ("multusNamespace", json!("Not A Namespace"), 7, "`multusNamespace`"),
        ("plugins", json!({"bundled": "sometimes"}), 7, "bundled"),
    ];
    for (key, value, code, part) in changes {
        let mut entry = bed.node.entry.clone();
        entry.insert(key.into(), value.clone());
        let runtime = bed.node.runtime();
        let outcome = runtime.call("ADD", Some(&bed.sandbox.pod), entry.into()).unwrap();
        bed.refused(&format!("{key}: {value}"), &outcome, code, &[part]);
    }
    for (text, code) in [("[]", 6), ("null", 6), ("\"x\"", 6)] {
        let input: Value = serde_json::from_str(text).unwrap();
        let outcome = bed.node.runtime().call("ADD", Some(&bed.sandbox.pod), input).unwrap();
        bed.refused(text, &outcome, code, &["standard input", "not one JSON object"]);
    }
    bed.finish();
}
