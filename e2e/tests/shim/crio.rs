//! Under CRI-O: no annotations are passed, CHECK follows each ADD, and CHECK of every sandbox follows its restart.

use manifold_e2e::crio::Crio;
use manifold_e2e::runtime::ANNOTATIONS;
use serde_json::{Value, json};

use crate::networks::With;
use crate::node::{Node, manifold};
use crate::sandbox::Sandbox;

/// Gives an address, and answers CHECK as whereabouts does.
const WITHOUT_CHECK: &str = r#"#!/bin/sh
cat >/dev/null
case $CNI_COMMAND in
ADD) echo '{"cniVersion":"1.0.0","ips":[{"address":"10.70.'${CNI_IFNAME#net}'.2/24"}]}';;
CHECK) echo '{"cniVersion":"1.0.0","code":999,"msg":"CNI CHECK method is not implemented"}'; exit 1;;
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.3.1","0.4.0","1.0.0"]}';;
esac
"#;

/// A node as the chart sets it up, where it knows that the runtime is CRI-O.
fn node(prefix: &str) -> Node<'static> {
    let mut node = Node::new(prefix);
    node.entry.insert("capabilities".into(), json!({"portMappings": true}));
    node.entry.remove("check");
    node
}

fn crio<'h>(node: &'h Node<'_>) -> Crio<'h> {
    let list = json!({
        "cniVersion": node.entry["cniVersion"], "name": node.entry["name"], "plugins": [node.entry],
    });
    let mut crio = Crio::new(manifold(), &list.to_string(), &node.host).unwrap();
    crio.runtime.cni_path = vec![node.folder("bin")];
    crio
}

fn started(crio: &mut Crio<'_>, sandbox: &Sandbox) {
    crio.run_pod_sandbox(&sandbox.pod).unwrap().must_succeed();
    assert!(!crio.addresses(&sandbox.pod).is_empty());
}

/// Restarts, and every pod still has the addresses that it had.
#[track_caller]
fn restarts_in_peace(crio: &mut Crio<'_>, sandboxes: &[&Sandbox]) {
    let failed = crio.restart().unwrap();
    assert!(failed.is_empty(), "{}", failed[0]);
    sandboxes.iter().for_each(|s| assert!(!crio.addresses(&s.pod).is_empty(), "{}", s.pod.name));
}

// Proves: COMPAT-31
#[test]
fn a_pod_gets_its_networks_although_the_runtime_passes_no_annotations() {
    for version in ["0.4.0", "1.0.0", "1.1.0"] {
        let mut node = node("crio");
        node.entry.insert("cniVersion".into(), json!(version));
        node.define("storage", &node.bridge("mf-storage", &["10.50.0.0/24"]));
        let mut crio = crio(&node);
        // The bridges stay.
        let warm = node.sandbox("warm", "storage");
        started(&mut crio, &warm);
        crio.stop_pod_sandbox(&warm.pod).unwrap().must_succeed();
        let (with, plain) = (node.sandbox("cart", "storage"), node.sandbox("plain", ""));
        let before = node.oracle(&[&with.netns, &plain.netns]).snapshot().unwrap();
        started(&mut crio, &with);
        started(&mut crio, &plain);
        assert_eq!(
            (with.links(), plain.links()),
            (vec!["eth0".to_owned(), "net1".into()], vec!["eth0".into()])
        );
        restarts_in_peace(&mut crio, &[&with, &plain]);
        for sandbox in [&with, &plain] {
            crio.stop_pod_sandbox(&sandbox.pod).unwrap().must_succeed();
        }
        node.assert_clean(&node.oracle(&[&with.netns, &plain.netns]), &before);
    }
}

// Proves: COMPAT-24
#[test]
fn a_plugin_that_has_no_check_keeps_no_pod_from_starting() {
    for scope in ["default", "all", "off"] {
        let mut node = node("nocheck");
        node.entry.insert("check".into(), json!(scope));
        crate::wrapper::write(&node.folder("bin/whereabouts"), WITHOUT_CHECK);
        crate::wrapper::write(&node.folder("bin/marker"), &WITHOUT_CHECK.replace("CNI CHECK method is ", ""));
        let ipam = json!({"type": "whereabouts", "range": "192.168.2.225/28"});
        let macvlan = node.macvlan(&[]).with("ipam", ipam).with("cniVersion", json!("1.0.0"));
        node.define("wide", &macvlan);
        node.define("unversioned", &{
            let mut unversioned = macvlan.clone();
            unversioned.as_object_mut().unwrap().remove("cniVersion");
            unversioned
        });
        node.define("executed", &json!({"cniVersion": "1.0.0", "type": "marker"}));
        let sandbox = node.sandbox("cart", "wide,unversioned,executed");
        let mut crio = crio(&node);
        started(&mut crio, &sandbox);
        restarts_in_peace(&mut crio, &[&sandbox]);
        sandbox.netns.exec(&["ip", "address", "flush", "dev", "net1"]).unwrap();
        let failed = crio.restart().unwrap();
        assert_eq!(
            failed.len(),
            usize::from(scope == "all"),
            "the interface's own part is checked all the same"
        );
        crio.stop_pod_sandbox(&sandbox.pod).unwrap().must_succeed();
        assert_eq!(node.ledger(), Vec::<String>::new());
    }
}

// Proves: COMPAT-24
#[test]
fn a_virtual_machine_that_took_its_interface_over_keeps_its_pods_address() {
    let node = node("kubevirt");
    node.define("br", &json!({"cniVersion": "1.0.0", "type": "bridge", "bridge": "mf-vm", "ipam": {}}));
    let sandbox = node.sandbox("virt-launcher", "br");
    let mut crio = crio(&node);
    started(&mut crio, &sandbox);
    for words in [
        "link set net1 down",
        "link set net1 name net1-nic",
        "link set net1-nic address 02:11:22:33:44:55",
        "link add k6t-net1 type bridge",
        "link set net1-nic master k6t-net1",
    ] {
        let words: Vec<&str> = std::iter::once("ip").chain(words.split(' ')).collect();
        sandbox.netns.exec(&words).unwrap();
    }
    restarts_in_peace(&mut crio, &[&sandbox]);
    // What CRI-O is there to find.
    sandbox.netns.exec(&["ip", "address", "flush", "dev", "eth0"]).unwrap();
    assert_eq!(crio.restart().unwrap().len(), 1);
    assert!(crio.addresses(&sandbox.pod).is_empty());
    sandbox.netns.exec(&["ip", "link", "delete", "k6t-net1"]).unwrap();
    crio.stop_pod_sandbox(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(node.ledger(), Vec::<String>::new());
}

// Proves: COMPAT-24
#[test]
fn a_list_that_disables_check_is_not_checked() {
    let node = node("disabled");
    let list = |disabled: Value| json!({"cniVersion": "1.0.0", "disableCheck": disabled, "plugins": [node.default_network()]});
    for disabled in [json!(true), json!("true"), json!(false)] {
        node.ns.delete_definition("cluster-wide-network").unwrap();
        node.define(
            "cluster-wide-network",
            &list(disabled.clone()).with("name", json!("cluster-wide-network")),
        );
        let sandbox = node.sandbox(&format!("cart-{}", disabled.to_string().len()), "");
        let mut crio = crio(&node);
        started(&mut crio, &sandbox);
        sandbox.netns.exec(&["ip", "link", "delete", "eth0"]).unwrap();
        assert_eq!(crio.restart().unwrap().len(), usize::from(disabled == json!(false)), "{disabled}");
        crio.stop_pod_sandbox(&sandbox.pod).unwrap().must_succeed();
    }
}

// Proves: COMPAT-24.1
#[test]
fn pods_older_than_the_install_keep_their_addresses_when_crio_restarts() {
    let node = node("older");
    let sandbox = node.sandbox("older", "");
    let mut crio = crio(&node);
    crio.knows_since_before(&sandbox.pod, "10.244.0.9/24");
    restarts_in_peace(&mut crio, &[&sandbox]);
    // The same after the first pod of ours, when there is a ledger.
    let ours = node.sandbox("ours", "");
    started(&mut crio, &ours);
    restarts_in_peace(&mut crio, &[&sandbox, &ours]);
    crio.stop_pod_sandbox(&ours.pod).unwrap().must_succeed();
}

// Proves: COMPAT-31
#[test]
fn a_wrong_setting_is_named_by_the_first_add_and_no_pod_is_attached_to_the_default_network_alone() {
    let mut node = node("setting");
    node.entry.insert("capabilities".into(), json!({ANNOTATIONS: true}));
    node.define("storage", &node.bridge("mf-storage", &["10.50.0.0/24"]));
    let sandbox = node.sandbox("cart", "storage");
    // As with `node.podAnnotations=true`: the right to read pods is not granted.
    let api = node.ns.api();
    let binding = format!(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/manifold-shim-reads-pods-{}",
        node.ns.name()
    );
    api.client().send("DELETE", &binding, &Value::Null).unwrap();
    let mut text = String::new();
    for _ in 0..100 {
        let outcome = crio(&node).run_pod_sandbox(&sandbox.pod).unwrap();
        text = outcome.error_text();
        if !outcome.succeeded() {
            break;
        }
        // The server learns of the missing right a moment later.
        crio(&node).stop_pod_sandbox(&sandbox.pod).unwrap().must_succeed();
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(text.contains("`get` of `pods`") && text.contains("`node.podAnnotations=auto`"), "{text}");
    assert!(node.outcomes().last().unwrap()["message"].as_str().unwrap().contains("node.podAnnotations"));
    assert_eq!(sandbox.links(), Vec::<String>::new());
    // And where there is nobody to ask.
    node.entry.remove("kubeconfig");
    node.entry.remove("clusterNetwork");
    node.entry.insert("delegates".into(), json!([node.default_network()]));
    let text = crio(&node).run_pod_sandbox(&sandbox.pod).unwrap().must_fail_with(7);
    assert!(text.contains("passed no annotations") && text.contains("`kubeconfig`"), "{text}");
    assert_eq!(sandbox.links(), Vec::<String>::new());
}
