//! Definitions that say no `cniVersion`, plugins that do not speak the one that is said, and what both owe later.

use serde_json::json;

use crate::networks::With;
use crate::node::Node;
use crate::sandbox::Sandbox;

/// A plugin of a library before CNI 1.1: what its skeleton does with a newer version. It counts how often it is asked VERSION.
fn old_plugin(node: &Node<'_>, name: &str, supported: &str) {
    let folder = node.host.folder().display().to_string();
    let script = format!(
        r#"#!/bin/sh
conf=$(cat)
if [ "$CNI_COMMAND" = VERSION ]; then
  echo {name} >> {folder}/asked
  echo '{{"cniVersion":"1.0.0","supportedVersions":[{supported}]}}'; exit
fi
version=$(echo "$conf" | sed 's/.*"cniVersion":"\([^"]*\)".*/\1/')
echo "{name} $CNI_COMMAND $version" >> {folder}/calls
case '{supported}' in *\"$version\"*) ;; *)
  [ "$CNI_COMMAND" = ADD ] && [ -e {folder}/kill ] && kill -9 $PPID
  echo '{{"code":1,"msg":"incompatible CNI versions"}}'; exit 1;; esac
case $version in 0.*) family='"version":"4",';; esac
[ "$CNI_COMMAND" = ADD ] && echo '{{"cniVersion":"'$version'","ips":[{{'$family'"address":"10.9.9.9/32"}}]}}'
exit 0
"#
    );
    crate::wrapper::write(&node.folder("bin").join(name), &script);
}

fn lines(node: &Node<'_>, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(node.folder(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn comes_and_goes(node: &Node<'_>, sandbox: &Sandbox) {
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    runtime.gc(&[(&sandbox.pod.container_id, "eth0")]).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(node.ledger(), Vec::<String>::new());
}

const UP_TO_1_0: &str = r#""0.3.1","0.4.0","1.0.0""#;
const UP_TO_0_4: &str = r#""0.3.1","0.4.0""#;

// Proves: COMPAT-5
#[test]
fn a_definition_without_a_version_is_run_in_what_its_plugins_speak() {
    let node = Node::new("unsaid");
    old_plugin(&node, "old", UP_TO_1_0);
    old_plugin(&node, "older", UP_TO_0_4);
    node.define("main", &json!({"type": "old"}));
    node.define("chain", &json!({"plugins": [{"type": "old"}, {"type": "older"}]}));
    node.define("ipam", &json!({"type": "macvlan", "master": "eth1", "ipam": {"type": "old"}}));
    node.define("bundled", &{
        let mut bridge = node.bridge("mf-unsaid", &["10.50.0.0/24"]);
        bridge.as_object_mut().unwrap().remove("cniVersion");
        bridge
    });
    for (network, calls) in [
        ("main", &["old ADD 1.0.0", "old CHECK 1.0.0", "old DEL 1.0.0"][..]),
        (
            "chain",
            &[
                "old ADD 0.4.0",
                "older ADD 0.4.0",
                "old CHECK 0.4.0",
                "older CHECK 0.4.0",
                "older DEL 0.4.0",
                "old DEL 0.4.0",
            ],
        ),
        ("ipam", &["old ADD 1.0.0", "old CHECK 1.0.0", "old DEL 1.0.0"]),
        ("bundled", &[]),
    ] {
        let _ = std::fs::remove_file(node.folder("calls"));
        comes_and_goes(&node, &node.sandbox(network, network));
        assert_eq!(lines(&node, "calls"), calls, "{network}");
    }
    assert_eq!(lines(&node, "asked"), ["old", "older"], "once for each executable");
    old_plugin(&node, "old", UP_TO_0_4);
    comes_and_goes(&node, &node.sandbox("again", "main"));
    assert_eq!(lines(&node, "asked"), ["old", "older", "old"], "it is another file");
    assert_eq!(lines(&node, "calls"), ["old ADD 0.4.0", "old CHECK 0.4.0", "old DEL 0.4.0"]);
}

// Shows part of: COMPAT-5
#[test]
fn plugins_without_a_version_in_common_are_named_before_anything_is_touched() {
    let node = Node::new("apart");
    old_plugin(&node, "old", UP_TO_0_4);
    old_plugin(&node, "newer", r#""1.0.0""#);
    crate::wrapper::write(&node.folder("bin/mute"), "#!/bin/sh\ncat >/dev/null\nexit 0\n");
    node.define("apart", &json!({"plugins": [{"type": "newer"}, {"type": "old"}]}));
    let sandbox = node.sandbox("cart", "apart");
    let text = node.runtime().add(&sandbox.pod).unwrap().must_fail_with(1);
    assert!(text.contains("`newer` speaks 1.0.0") && text.contains("`old` speaks 0.3.1, 0.4.0"), "{text}");
    assert_eq!((lines(&node, "calls"), node.ledger()), (Vec::new(), Vec::new()));
    // A plugin that says nothing limits nothing.
    node.define("mute", &json!({"plugins": [{"type": "old"}, {"type": "mute"}]}));
    let muted = node.sandbox("muted", "mute");
    assert!(!node.runtime().add(&muted.pod).unwrap().succeeded(), "it prints no result");
    assert_eq!(lines(&node, "calls"), ["old ADD 0.4.0", "old DEL 0.4.0"]);
    assert_eq!(node.ledger(), Vec::<String>::new());
}

// Proves: COMPAT-5.3
#[test]
fn a_plugin_without_a_usable_answer_is_asked_once() {
    let node = Node::new("mute");
    let folder = node.host.folder().display().to_string();
    let script = format!(
        r#"#!/bin/sh
cat >/dev/null
echo $CNI_COMMAND >> {folder}/asked
case $CNI_COMMAND in
  VERSION) echo '{{"code":4,"msg":"no such command"}}'; exit 1;;
  ADD) echo '{{"cniVersion":"1.1.0"}}';;
esac
"#
    );
    crate::wrapper::write(&node.folder("bin/mute"), &script);
    node.define("mute", &json!({"type": "mute"}));
    for name in ["first", "second"] {
        let sandbox = node.sandbox(name, "mute");
        node.runtime().add(&sandbox.pod).unwrap().must_succeed();
        node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    }
    assert_eq!(lines(&node, "asked"), ["VERSION", "ADD", "DEL", "ADD", "DEL"]);
    // Another release of it may have learned to answer.
    crate::wrapper::write(&node.folder("bin/mute"), &format!("{script}# changed\n"));
    let sandbox = node.sandbox("third", "mute");
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(lines(&node, "asked")[5..], ["VERSION", "ADD", "DEL"]);
}

// Proves: COMPAT-5
#[test]
fn a_plugin_that_refused_the_version_owes_nothing() {
    let node = Node::new("refused");
    old_plugin(&node, "old", UP_TO_1_0);
    // The default network's bridge stays.
    comes_and_goes(&node, &node.sandbox("warm", ""));
    for (network, conf) in [
        ("main", json!({"type": "old"})),
        ("second", json!({"plugins": [node.bridge("mf-second", &["10.51.0.0/24"]), {"type": "old"}]})),
        ("both", json!({"plugins": [{"type": "old"}, {"type": "old", "x": 1}]})),
        ("ipam", json!({"type": "macvlan", "master": "eth1", "ipam": {"type": "old"}})),
        ("bridged", json!({"type": "bridge", "bridge": "mf-bridged", "ipam": {"type": "old"}})),
    ] {
        node.define(network, &conf.with("cniVersion", json!("1.1.0")));
        let sandbox = node.sandbox(network, network);
        let before = node.oracle(&[&sandbox.netns]).snapshot().unwrap();
        let runtime = node.runtime();
        let text = runtime.add(&sandbox.pod).unwrap().must_fail_with(1);
        assert!(text.contains("everything attached before it was undone"), "{network}: {text}");
        let after = node.oracle(&[&sandbox.netns]);
        let leaks = node.leaks_but(&after, &before, |leak| leak.contains("mf-"));
        assert!(leaks.is_empty(), "{network}: {leaks:#?}");
        assert_eq!(node.ledger(), Vec::<String>::new(), "{network}");
        runtime.del(&sandbox.pod).unwrap().must_succeed();
        runtime.gc(&[]).unwrap().must_succeed();
    }
}

// Proves: COMPAT-5, COMPAT-5.2
#[test]
fn an_add_that_was_killed_after_the_refusal_owes_nothing_either_and_a_replaced_plugin_is_not_believed() {
    let node = Node::new("killed");
    old_plugin(&node, "old", UP_TO_1_0);
    node.define(
        "ipam",
        &json!({"cniVersion": "1.1.0", "type": "macvlan", "master": "eth1", "ipam": {"type": "old"}}),
    );
    let killed = |name: &str| {
        let sandbox = node.sandbox(name, "ipam");
        // The plugin kills who called it, and is killed with it.
        std::fs::write(node.folder("kill"), "").unwrap();
        assert_eq!(node.runtime().add(&sandbox.pod).unwrap().signal, Some(9));
        std::fs::remove_file(node.folder("kill")).unwrap();
        assert!(node.ledger().contains(&sandbox.pod.container_id));
        sandbox
    };
    let sandbox = killed("same");
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(node.ledger(), Vec::<String>::new());
    let sandbox = killed("cleared");
    node.runtime().gc(&[]).unwrap().must_succeed();
    assert_eq!(node.ledger(), Vec::<String>::new());
    drop(sandbox);
    // Whether the file that was there then refused as well, nobody knows.
    let sandbox = killed("replaced");
    old_plugin(&node, "old", UP_TO_0_4);
    node.runtime().del(&sandbox.pod).unwrap().must_fail_with(1);
    assert!(!node.ledger().is_empty());
}

// Proves: COMPAT-5.2
#[test]
fn what_was_attached_is_owed_whatever_the_plugin_speaks_now() {
    let node = Node::new("owed");
    old_plugin(&node, "old", r#""1.0.0","1.1.0""#);
    node.define("main", &json!({"cniVersion": "1.1.0", "type": "old"}));
    let sandbox = node.sandbox("cart", "main");
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    old_plugin(&node, "old", UP_TO_1_0);
    runtime.del(&sandbox.pod).unwrap().must_fail_with(1);
    old_plugin(&node, "old", r#""1.0.0","1.1.0""#);
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(node.ledger(), Vec::<String>::new());
}

/// An IPAM plugin that needs a file for whatever it does, and notes who got what.
fn store_plugin(node: &Node<'_>) {
    let folder = node.host.folder().display().to_string();
    let script = format!(
        r#"#!/bin/sh
conf=$(cat)
kubeconfig=$(echo "$conf" | sed 's/.*"kubeconfig":"\([^"]*\)".*/\1/')
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME $kubeconfig" >> {folder}/calls
[ -e "$kubeconfig" ] || {{ echo '{{"code":100,"msg":"no such kubeconfig"}}'; exit 1; }}
[ "$CNI_COMMAND" = ADD ] && echo '{{"cniVersion":"1.0.0","ips":[{{"address":"10.9.9.9/32"}}]}}'
exit 0
"#
    );
    crate::wrapper::write(&node.folder("bin").join("store"), &script);
}

// Proves: COMPAT-5.1
#[test]
fn what_a_wrong_kubeconfig_left_is_released_as_a_later_pod_is_attached() {
    let node = Node::new("kubeconfig");
    store_plugin(&node);
    let (wrong, right) = (node.folder("nowhere"), node.folder("kubeconfig"));
    std::fs::write(&right, "").unwrap();
    let with = |path: &std::path::Path| json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "ipam": {"type": "store", "kubeconfig": path}});
    node.define("stored", &with(&wrong));
    node.define("other", &with(&right));
    let runtime = node.runtime();
    let stuck = node.sandbox("stuck", "stored");
    let text = runtime.add(&stuck.pod).unwrap().must_fail_with(100);
    assert!(text.contains("no such kubeconfig") && text.contains("the undo is not complete"), "{text}");
    runtime.del(&stuck.pod).unwrap().must_fail_with(100);
    // Another network's bytes say nothing about this one's.
    let other = node.sandbox("other", "other");
    runtime.add(&other.pod).unwrap().must_succeed();
    runtime.del(&stuck.pod).unwrap().must_fail_with(100);
    node.ns.delete_definition("stored").unwrap();
    node.define("stored", &with(&right));
    runtime.del(&stuck.pod).unwrap().must_fail_with(100);
    let later = node.sandbox("later", "stored");
    runtime.add(&later.pod).unwrap().must_succeed();
    runtime.del(&stuck.pod).unwrap().must_succeed();
    let calls = lines(&node, "calls");
    let released = format!("DEL {} net1 {}", stuck.pod.container_id, right.display());
    assert_eq!(calls.last(), Some(&released));
    assert!(!calls.iter().any(|call| call.starts_with(&format!("DEL {}", later.pod.container_id))));
    // What was attached is taken down as it is recorded, and by nothing else.
    std::fs::rename(&right, node.folder("gone")).unwrap();
    runtime.del(&later.pod).unwrap().must_fail_with(100);
    std::fs::rename(node.folder("gone"), &right).unwrap();
    runtime.del(&later.pod).unwrap().must_succeed();
    runtime.del(&other.pod).unwrap().must_succeed();
    assert_eq!(node.ledger(), Vec::<String>::new());
}
