//! What nobody else may read or write: tokens, files of the ledger, executables.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::networks::With;
use crate::node::Node;

/// Every file and folder below, with its mode.
fn modes(folder: &Path) -> Vec<(String, u32)> {
    let mut found =
        vec![(folder.display().to_string(), fs::metadata(folder).unwrap().permissions().mode() & 0o777)];
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.metadata().unwrap().is_dir() {
            found.extend(modes(&entry.path()));
        } else {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            found.push((entry.path().display().to_string(), mode));
        }
    }
    found
}

// Proves: S-2, S-3, MLT-CFG-11
#[test]
fn no_token_and_no_configuration_is_ever_said_and_only_root_reads_the_state() {
    let mut node = Node::new("secrets");
    node.install_fakes(&["fake"]);
    let fails = json!({"ADD": {"behave": "fail", "msg": "out of order"}});
    node.define("secret", &node.fake(&json!({})).with("password", json!("canary-in-a-configuration")));
    node.define("fails", &node.fake(&fails).with("password", json!("canary-in-a-configuration")));
    node.entry.insert("logFile".into(), json!(node.folder("log")));
    let token = fs::read_to_string(&node.access.token_file).unwrap();
    let mut said = String::new();
    for (name, networks) in [("good", "secret"), ("bad", "fails"), ("missing", "nowhere")] {
        let sandbox = node.sandbox(name, networks);
        let mut runtime = node.runtime();
        runtime.pass_annotations = false;
        let outcome = runtime.add(&sandbox.pod).unwrap();
        assert!(
            serde_json::from_slice::<serde_json::Value>(&outcome.stdout).is_ok(),
            "stdout is one object: {outcome}"
        );
        said += &format!("{outcome}");
        if name == "good" {
            for (path, mode) in modes(&node.folder("state")) {
                let allowed = if Path::new(&path).is_dir() { 0o700 } else { 0o600 };
                assert_eq!(mode, allowed, "{path}");
            }
        }
        said += &format!("{}", runtime.del(&sandbox.pod).unwrap());
    }
    let log = fs::read_to_string(node.folder("log")).unwrap();
    assert!(log.contains("DEBUG"), "the trace is on: {log}");
    assert_eq!(fs::metadata(node.folder("log")).unwrap().permissions().mode() & 0o077, 0, "the log");
    let spool = fs::read_to_string(node.folder("state/.spool/outcomes")).unwrap();
    for (what, text) in [("outputs", said), ("log", log), ("spool", spool)] {
        assert!(
            !text.contains(token.trim()) && !text.contains("canary-in-a-configuration"),
            "{what}: {text}"
        );
    }
}

// Proves: S-1
#[test]
fn a_plugin_that_others_could_replace_is_never_executed() {
    let node = Node::new("writable");
    node.install_fakes(&["fake"]);
    node.define("fake", &node.fake(&json!({})));
    let sandbox = node.sandbox("cart", "fake");
    fs::set_permissions(node.folder("bin"), fs::Permissions::from_mode(0o777)).unwrap();
    let text = node.runtime().add(&sandbox.pod).unwrap().must_fail_with(7);
    assert!(text.contains("others than root can write it; fix it with `chmod go-w`"), "{text}");
    assert_eq!(node.trace(), Vec::<String>::new());
}

#[test]
fn an_annotation_that_changes_later_changes_nothing() {
    let node = Node::new("frozen");
    node.install_fakes(&["fake"]);
    for name in ["asked", "smuggled"] {
        node.define(name, &node.fake(&json!({})));
    }
    let sandbox = node.sandbox("cart", "asked");
    let path = format!("/api/v1/namespaces/{}/pods/cart", node.ns.name());
    let patch = json!({"metadata": {"annotations": {"k8s.v1.cni.cncf.io/networks": "smuggled"}}}).to_string();
    let client = node.ns.api().client();
    assert!(client.call("PATCH", &path, "application/merge-patch+json", patch.as_bytes()).unwrap().ok());
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    let calls = manifold_e2e::trace::read(&node.folder("trace")).unwrap();
    assert!(calls.iter().all(|call| call.input("/name") == "asked"), "the sandbox's own annotations count");
}

// Shows part of: S-3
#[test]
fn an_executed_plugin_has_the_runtimes_file_mode_mask_and_our_files_stay_private() {
    let node = Node::new("mask");
    let seen = node.folder("seen");
    let says = format!("#!/bin/sh\ncat > /dev/null\numask > {}\necho '{{}}'\n", seen.display());
    crate::wrapper::write(&node.folder("bin/masked"), &says);
    node.define("masked", &json!({"cniVersion": "1.1.0", "type": "masked"}));
    let sandbox = node.sandbox("cart", "masked");
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let of_runtime = std::process::Command::new("sh").args(["-c", "umask"]).output().unwrap().stdout;
    assert_eq!(fs::read(&seen).unwrap(), of_runtime);
    assert_eq!(modes(&node.folder("state")).iter().find(|(_, mode)| mode & 0o077 != 0), None);
    runtime.del(&sandbox.pod).unwrap().must_succeed();
}
