//! Where configurations come from, what is put into them, and which version everybody hears.

use std::fs;

use manifold_e2e::trace;
use serde_json::{Value, json};

use crate::networks::With;
use crate::node::Node;

fn node_of_fakes(prefix: &str) -> Node<'static> {
    let mut node = Node::new(prefix);
    node.install_fakes(&["fake"]);
    node.define("cluster", &node.fake(&json!({})));
    node.entry.insert("clusterNetwork".into(), json!("cluster"));
    node
}

/// The stdin of the last ADD.
fn last_add(node: &Node<'_>) -> Value {
    let calls = trace::read(&node.folder("trace")).unwrap();
    calls.into_iter().rev().find(|call| call.verb == "ADD").unwrap().stdin
}

/// Attaches and detaches a pod that asks for this.
#[track_caller]
fn comes_and_goes(node: &Node<'_>, pod: &str, networks: &str) -> Value {
    let sandbox = node.sandbox(pod, networks);
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let seen = last_add(node);
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    seen
}

// Proves: NPWG-3.2-3, NPWG-3.4.1-1, NPWG-3.4.1-2, NPWG-3.4.1-3, NPWG-3.4.1-4, NPWG-X-8, MLT-DEP-11, MLT-DLG-6
#[test]
fn a_definition_without_a_configuration_means_the_one_on_the_nodes_disk() {
    let node = node_of_fakes("disk");
    let on_disk =
        |file: &str, value: Value| fs::write(node.folder("conf").join(file), value.to_string()).unwrap();
    for name in ["both", "single", "nothing"] {
        node.ns.definition(name, "").unwrap();
    }
    fs::write(node.folder("conf/00-foreign.conf"), "{torn").unwrap();
    let plain = node.fake(&json!({}));
    on_disk("10-single.conf", plain.clone().with("name", json!("single")).with("from", json!("conf")));
    on_disk("20-both.conf", plain.clone().with("name", json!("both")).with("from", json!("conf")));
    let list = json!({"cniVersion": "1.0.0", "name": "both", "plugins": [plain.clone().with("from", json!("list"))]});
    on_disk("90-both.conflist", list);
    node.define("inline", &plain.clone().with("from", json!("definition")));
    on_disk("30-inline.conflist", json!({"cniVersion": "1.0.0", "name": "inline", "plugins": [plain]}));
    for (name, from) in [("single", "conf"), ("both", "list"), ("inline", "definition")] {
        assert_eq!(comes_and_goes(&node, &format!("pod-{name}"), name)["from"], from);
    }
    let sandbox = node.sandbox("pod-nothing", "nothing");
    let text = node.runtime().add(&sandbox.pod).unwrap().must_fail_with(7);
    assert!(text.contains("/nothing`: the definition has no `config`, and on the node"), "{text}");
}

// Proves: NPWG-3.4.2-1, NPWG-3.4.2-2, NPWG-3.4.3-1, MLT-EXE-13, NPWG-3.2-2
#[test]
fn a_name_is_put_in_where_it_is_missing_and_a_version_too() {
    let node = node_of_fakes("names");
    let fake = json!({"trace": node.folder("trace")});
    node.define("bare", &json!({"type": "fake", "fake": fake}));
    node.define("named", &json!({"type": "fake", "fake": fake, "name": "another", "cniVersion": "0.4.0"}));
    node.define("list", &json!({"plugins": [{"type": "fake", "fake": fake, "name": "inner"}]}));
    let seen = |name: &str| {
        let stdin = comes_and_goes(&node, &format!("pod-{name}"), name);
        (stdin["name"].as_str().unwrap().to_string(), stdin["cniVersion"].as_str().unwrap().to_string())
    };
    assert_eq!(seen("bare"), ("bare".into(), "1.1.0".into()));
    assert_eq!(seen("named"), ("another".into(), "0.4.0".into()));
    assert_eq!(seen("list"), ("list".into(), "1.1.0".into()));
}

// Proves: MLT-DLG-1, NPWG-6-2, MLT-CFG-7
#[test]
fn the_default_network_may_be_a_name_a_file_or_a_folder() {
    let mut node = node_of_fakes("forms");
    let conf = node.fake(&json!({})).with("name", json!("on-disk"));
    let list = json!({"cniVersion": "1.0.0", "name": "on-disk", "plugins": [conf.clone().with("from", json!("list"))]});
    fs::write(node.folder("conf/20-a.conflist"), list.to_string()).unwrap();
    fs::write(node.folder("conf/10-b.conf"), conf.with("from", json!("conf")).to_string()).unwrap();
    let folder = node.folder("conf");
    let forms = [
        (json!("on-disk"), json!("list")),
        (json!(folder.join("20-a.conflist")), json!("list")),
        (json!(folder.join("10-b.conf")), json!("conf")),
        (json!(folder), json!("conf")),
        (json!("cluster"), Value::Null),
    ];
    for (n, (value, from)) in forms.into_iter().enumerate() {
        node.entry.insert("clusterNetwork".into(), value.clone());
        assert_eq!(comes_and_goes(&node, &format!("pod-{n}"), "")["from"], from, "{value}");
    }
    node.entry.insert("clusterNetwork".into(), json!(folder.join("missing.conf")));
    let sandbox = node.sandbox("pod-missing", "");
    let text = node.runtime().add(&sandbox.pod).unwrap().error_text();
    assert!(text.contains("missing.conf"), "{text}");
}

// Proves: MLT-CFG-2, MLT-CFG-4, MLT-EXE-1
#[test]
fn without_kubernetes_the_delegates_of_the_entry_are_attached() {
    let mut node = node_of_fakes("delegates");
    node.cut_off();
    let plain = node.fake(&json!({}));
    let delegates = json!([plain.clone().with("name", json!("one")), plain.with("name", json!("two"))]);
    // With the capability it would count on the runtime for the annotations.
    for key in ["clusterNetwork", "kubeconfig", "capabilities"] {
        node.entry.remove(key);
    }
    node.entry.insert("delegates".into(), delegates);
    let sandbox = node.sandbox("cart", "");
    let mut runtime = node.runtime();
    runtime.pass_annotations = false;
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(node.trace(), ["ADD eth0", "ADD net1"]);
    // A caller that is no Kubernetes runtime names no pod.
    let mut other = sandbox.pod.clone();
    other.container_id = "podman".into();
    runtime.env.push(("CNI_ARGS".into(), "".into()));
    runtime.add(&other).unwrap().must_succeed();
    assert_eq!(node.trace().len(), 4);
}

// Proves: MLT-EXE-11, NPWG-7.1-1
#[test]
fn the_runtime_hears_its_own_version_whatever_the_delegates_speak() {
    for (of_default, of_runtime) in
        [("0.3.1", "1.1.0"), ("1.0.0", "0.3.1"), ("0.2.0", "1.0.0"), ("1.1.0", "0.2.0")]
    {
        let mut node = node_of_fakes("versions");
        node.define("spoken", &node.fake(&json!({})).with("cniVersion", json!(of_default)));
        node.entry.insert("clusterNetwork".into(), json!("spoken"));
        node.entry.insert("cniVersion".into(), json!(of_runtime));
        let sandbox = node.sandbox("cart", "");
        let result = node.runtime().add(&sandbox.pod).unwrap().must_succeed();
        assert_eq!(result["cniVersion"], of_runtime, "{of_default} for {of_runtime}: {result}");
        let address = if of_runtime == "0.2.0" { &result["ip4"]["ip"] } else { &result["ips"][0]["address"] };
        assert_eq!(address, "10.99.0.2/24", "{of_default} for {of_runtime}: {result}");
        assert_eq!(last_add(&node)["cniVersion"], of_default);
        node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    }
}

// Proves: MLT-CFG-5
#[test]
fn the_nodes_plugin_folder_comes_before_the_runtimes() {
    let node = node_of_fakes("folders");
    let other = node.folder("other-bin");
    fs::create_dir(&other).unwrap();
    crate::wrapper::write(&other.join("fake"), "#!/bin/sh\necho the wrong one >&2\nexit 1\n");
    let sandbox = node.sandbox("cart", "");
    let mut runtime = node.runtime();
    runtime.cni_path = vec![other.clone(), node.folder("bin")];
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let calls = trace::read(&node.folder("trace")).unwrap();
    assert_eq!(calls[0].var("CNI_PATH"), format!("{}:{}", node.folder("bin").display(), other.display()));
    runtime.del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: MLT-VER-1
#[test]
fn version_and_a_call_by_hand_need_neither_configuration_nor_server() {
    let mut node = node_of_fakes("version");
    node.cut_off();
    let told = node.runtime().version().unwrap().must_succeed();
    let all = json!(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
    assert_eq!(told["supportedVersions"], all);
    let by_hand = node.script(&format!("unset CNI_COMMAND; exec {} 2>&1", crate::node::manifold().display()));
    let outcome = node.runtime_of(&by_hand).status().unwrap();
    assert!(
        outcome.succeeded() && String::from_utf8_lossy(&outcome.stdout).contains("0.1.0, 0.2.0"),
        "{outcome}"
    );
}
