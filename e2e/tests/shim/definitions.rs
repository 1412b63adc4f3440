//! Definitions that are missing, wrong, going away, somebody else's, or changed under a living pod.

use manifold_e2e::api_server::ApiServer;
use manifold_e2e::trace;
use serde_json::{Value, json};

use crate::networks::With;
use crate::node::{DEFAULT_NETWORK, NETWORKS, Node};
use crate::sandbox::Sandbox;

fn node(prefix: &str) -> Node<'static> {
    let node = Node::new(prefix);
    node.install_fakes(&["fake"]);
    node.define("fine", &node.fake(&json!({})));
    node
}

/// The pod is refused with code 7, and not one delegate has run.
#[track_caller]
fn refused(node: &Node<'_>, sandbox: &Sandbox) -> String {
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    let text = node.runtime().add(&sandbox.pod).unwrap().must_fail_with(7);
    assert_eq!(node.trace(), Vec::<String>::new());
    node.assert_clean(&oracle, &before);
    text
}

fn path(node: &Node<'_>, name: &str) -> String {
    let namespace = node.ns.name();
    format!("/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions/{name}")
}

// Proves: F-POD-1, P-USE-4, MLT-DLG-7
#[test]
fn a_definition_that_cannot_be_used_is_named_before_anything_is_touched() {
    let node = node("unusable");
    let ns = node.ns.name();
    let configs = [
        ("nothing", "{}", "it has no plugin: neither `plugins` nor `type`"),
        ("no-plugins", r#"{"plugins": []}"#, "a network needs at least one plugin"),
        ("no-type", r#"{"plugins": [{}]}"#, "`type`"),
        ("torn", r#"{"type": "bridge""#, "the configuration is not valid: this `{` is never closed"),
        (
            "bad-subnet",
            r#"{"type": "macvlan", "ipam": {"type": "host-local", "subnet": "10.0.0.0/99"}}"#,
            "10.0.0.0/99",
        ),
        ("bad-mode", r#"{"type": "macvlan", "master": "eth1", "mode": "brigde"}"#, "`brigde`"),
        ("ourselves", r#"{"type": "manifold"}"#, "would call itself forever"),
        ("as-ipam", r#"{"type": "bridge", "ipam": {"type": "manifold"}}"#, "would call itself forever"),
        ("multus", r#"{"type": "bridge", "ipam": {"type": "multus-shim"}}"#, "would call itself forever"),
    ];
    for (name, config, expected) in configs {
        node.ns.definition(name, config).unwrap();
        let text = refused(&node, &node.sandbox(&format!("pod-{name}"), &format!("fine,{name}")));
        assert!(text.contains(&format!("network `{ns}/{name}`")), "{text}");
        assert!(text.contains(expected), "{name}: {text}");
        assert!(text.contains("fix: "), "{name}: {text}");
    }
    let text = refused(&node, &node.sandbox("pod-missing", "fine,missing"));
    assert!(
        text.contains(&format!("network `{ns}/missing`: there is no such NetworkAttachmentDefinition")),
        "{text}"
    );
    assert!(text.contains("looked up in the pod's own"), "{text}");
}

// Proves: F-POD-1
#[test]
fn a_definition_that_is_being_deleted_takes_no_new_pods() {
    let node = node("terminating");
    node.define("going", &node.fake(&json!({})));
    let client = node.ns.api().client();
    let patch = json!({"metadata": {"finalizers": ["example.com/wait"]}});
    client
        .call("PATCH", &path(&node, "going"), "application/merge-patch+json", patch.to_string().as_bytes())
        .unwrap();
    node.ns.delete_definition("going").unwrap();
    let text = refused(&node, &node.sandbox("cart", "going"));
    assert!(text.contains("the definition is being deleted, so no new pod can use it"), "{text}");
    let patch = json!({"metadata": {"finalizers": []}});
    client
        .call("PATCH", &path(&node, "going"), "application/merge-patch+json", patch.to_string().as_bytes())
        .unwrap();
}

// Proves: S-15, P-SEC-1, NPWG-7.4-2, MLT-DLG-8
#[test]
fn networks_of_another_namespace_are_refused_the_same_whether_they_exist_or_not() {
    let mut node = node("isolation");
    let other = ApiServer::shared().unwrap().namespace("other").unwrap();
    other.definition("there", &node.fake(&json!({})).to_string()).unwrap();
    for key in [NETWORKS, DEFAULT_NETWORK] {
        let short = if key == NETWORKS { "n" } else { "d" };
        let told = ["there", "nowhere"].map(|name| {
            let reference = format!("{}/{name}", other.name());
            let sandbox = node.sandbox_with(&format!("pod-{short}-{name}"), &[(key, &reference)]);
            refused(&node, &sandbox).replace(name, "NAME")
        });
        assert_eq!(
            told[0].replace(&format!("pod-{short}-NAME"), ""),
            told[1].replace(&format!("pod-{short}-NAME"), "")
        );
        assert!(
            told[0].contains("may not use networks of namespace") && told[0].contains(key),
            "{}",
            told[0]
        );
    }
    let reference = format!("{}/there", other.name());
    let sandbox = node.sandbox("global", &reference);
    node.entry.insert("globalNamespaces".into(), json!(format!("default, {}", other.name())));
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    node.entry.remove("globalNamespaces");
    node.entry.insert("namespaceIsolation".into(), json!(false));
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(node.trace(), ["ADD net1", "DEL net1", "ADD net1"]);
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: F-POD-2, P-DEL-1, MLT-CACHE-4, NPWG-4.2.1-1, MLT-DEL-1, CNI-RUN-5
#[test]
fn check_and_del_use_the_bytes_of_add_whatever_the_definition_says_now() {
    let node = node("edited");
    let private = json!({"deep": [1, {"big": 12345678901234567890_u64, "unicode": "ä\u{202e}"}], "x": null});
    let conf = json!({"cniVersion": "1.1.0", "type": "fake", "log_level": "debug", "calico-like": private,
        "fake": {"trace": node.folder("trace")}});
    node.define("edited", &conf);
    let sandbox = node.sandbox("cart", "edited@data0");
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let patch = json!({"spec": {"config": r#"{"type": "bridge", "bridge": "another"}"#}}).to_string();
    let client = node.ns.api().client();
    let answer =
        client.call("PATCH", &path(&node, "edited"), "application/merge-patch+json", patch.as_bytes());
    assert!(answer.unwrap().ok());
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    node.ns.delete_definition("edited").unwrap();
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();

    let calls = trace::read(&node.folder("trace")).unwrap();
    let verbs: Vec<&str> = calls.iter().map(|call| call.verb.as_str()).collect();
    assert_eq!(verbs, ["ADD", "CHECK", "CHECK", "DEL"]);
    let without_result = |stdin: &Value| {
        let mut stdin = stdin.clone();
        stdin.as_object_mut().unwrap().remove("prevResult");
        stdin
    };
    for call in &calls {
        assert_eq!(call.input("/calico-like"), &private, "{}", call.verb);
        assert_eq!(without_result(&call.stdin), calls[0].stdin, "{}", call.verb);
        let identity = ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS"].map(|name| call.var(name));
        let netns = sandbox.netns.path().to_str().unwrap();
        assert_eq!(identity, [sandbox.pod.container_id.as_str(), "data0", netns], "{}", call.verb);
    }
}

// Shows part of: S-1
#[test]
fn our_own_executable_under_another_name_is_not_run_for_a_definition() {
    let node = node("another-name");
    let ours = node.folder("bin/manifold");
    manifold_e2e::executable::install(&crate::node::manifold(), &node.folder("bin"), &["manifold"]).unwrap();
    for name in ["hidden", "linked"] {
        let path = node.folder("bin").join(name);
        match name {
            "hidden" => std::fs::hard_link(&ours, path).unwrap(),
            _ => std::os::unix::fs::symlink(&ours, path).unwrap(),
        }
        let anywhere = node.folder("anywhere");
        let keys = json!({"stateDir": anywhere.join("state"), "logFile": anywhere.join("log"), "logLevel": "debug",
            "delegates": [{"cniVersion": "1.1.0", "name": "y", "type": "loopback"}]});
        for (way, conf) in [
            ("plugin", json!({"type": name})),
            ("ipam", json!({"type": "bridge", "bridge": "mf-own", "ipam": {"type": name}})),
        ] {
            let whole = keys
                .as_object()
                .unwrap()
                .iter()
                .fold(conf, |conf, (key, value)| conf.with(key, value.clone()));
            let network = format!("{name}-{way}");
            node.define(&network, &whole.with("cniVersion", json!("1.1.0")));
            let sandbox = node.sandbox(&format!("pod-{network}"), &network);
            let outcome = node.runtime_of(&ours).add(&sandbox.pod).unwrap();
            assert!(outcome.error_text().contains("would call itself forever"), "{network}: {outcome}");
            assert!(!anywhere.exists(), "{network}");
        }
    }
}
