//! Plugins of the node beside the bundled ones: executed with their configuration as it stands, chained, as IPAM, in a
//! bundled one's place; and this executable itself in the place of theirs.

use std::fs;
use std::path::Path;

use manifold_e2e::executable;
use manifold_e2e::runtime::Runtime;
use serde_json::{Value, json};

use crate::kernel;
use crate::networks::With;
use crate::node::{Node, manifold};

const REFERENCE: &str = "/usr/lib/cni";

/// Puts one of the node's own plugins into the plugin folder, under a name of our choice, so that what it is asked on
/// stdin is kept beside it.
fn install_recorded(node: &Node<'_>, kind: &str, name: &str) {
    let real = Path::new(REFERENCE).join(kind);
    assert!(real.is_file(), "the plugins of the node are missing: `{}`", real.display());
    let said = node.folder(&format!("{name}.stdin"));
    let script = format!("#!/bin/sh\ntee {0}.$CNI_COMMAND | exec {1}\n", said.display(), real.display());
    crate::wrapper::write(&node.folder("bin").join(name), &script);
}

fn said(node: &Node<'_>, name: &str, verb: &str) -> Value {
    let text = fs::read_to_string(node.folder(&format!("{name}.stdin.{verb}"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

// Proves: COMPAT-3, COMPAT-6
#[test]
fn plugins_of_the_node_take_ips_and_mac_from_cni_args_and_their_keys_in_any_case() {
    let mut node = Node::new("node-args");
    node.entry.insert("plugins".into(), json!({"bundled": ["bridge", "host-local"]}));
    install_recorded(&node, "macvlan", "macvlan");
    install_recorded(&node, "static", "static");
    let conf =
        json!({"cniVersion": "1.0.0", "type": "macvlan", "Master": "eth1", "IPAM": {"Type": "static"}});
    node.define("fixed", &conf);
    let asked = json!([{"name": "fixed", "ips": ["10.60.0.7/24"], "mac": "02:00:00:00:00:42"}]).to_string();
    let sandbox = node.sandbox("cart", &asked);
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(kernel::mac(&sandbox.netns, "net1"), "02:00:00:00:00:42");
    assert!(kernel::addresses(&sandbox.netns, "net1").contains(&"10.60.0.7".to_owned()));
    let add = said(&node, "macvlan", "ADD");
    assert_eq!(
        (&add["Master"], &add["IPAM"], &add["ipam"]),
        (&json!("eth1"), &json!({"Type": "static"}), &Value::Null)
    );
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(sandbox.links(), Vec::<String>::new());
}

// Proves: CNI-CNV-6, CNI-CHK-3
#[test]
fn tuning_of_the_node_goes_on_with_the_interface_of_a_bundled_plugin() {
    let mut node = Node::new("tuning");
    // What is left out is the node's own.
    node.entry.insert("plugins".into(), json!({"bundled": ["bridge", "macvlan", "host-local"]}));
    install_recorded(&node, "tuning", "tuning");
    let tuning = json!({"type": "tuning", "sysctl": {"net.ipv4.conf.data0.arp_notify": "1"}, "mac": "02:00:00:00:00:42",
        "mtu": 1400, "dataDir": node.folder("tuning"), "x-unknown": {"kept": [1.50]}});
    let chain =
        json!({"cniVersion": "1.0.0", "plugins": [node.bridge("mf-storage", &["10.50.0.0/24"]), tuning]});
    node.define("tuned", &chain);
    let sandbox = node.sandbox("cart", "tuned@data0");
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let notify = sandbox.netns.exec(&["cat", "/proc/sys/net/ipv4/conf/data0/arp_notify"]);
    // /proc/sys/net shows the namespace of whoever reads.
    assert_eq!(notify.unwrap().trim(), "1");
    assert_eq!(kernel::mac(&sandbox.netns, "data0"), "02:00:00:00:00:42");
    assert_eq!(kernel::mtu(&sandbox.netns, "data0"), 1400);
    let add = said(&node, "tuning", "ADD");
    for key in ["sysctl", "mac", "mtu", "dataDir", "x-unknown"] {
        assert_eq!(add[key], tuning[key], "{key}");
    }
    assert_eq!((&add["name"], &add["cniVersion"]), (&json!("tuned"), &json!("1.0.0")));
    assert_eq!(add["prevResult"]["interfaces"][2]["name"], "data0", "{add}");
    // The MAC and the MTU are another plugin's by now, and the bridge's CHECK bears it.
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(node.status("cart").unwrap()[1]["mac"], "02:00:00:00:00:42");
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(said(&node, "tuning", "DEL")["x-unknown"], tuning["x-unknown"]);
    assert_eq!(node.leases("tuned"), Vec::<String>::new());
}

#[test]
fn ipvlans_configuration_reaches_the_nodes_own_plugin_and_its_word_reaches_the_runtime() {
    let mut node = Node::new("ipvlan");
    // What is left out is the node's own.
    node.entry.insert("plugins".into(), json!({"bundled": ["bridge", "macvlan", "host-local"]}));
    install_recorded(&node, "ipvlan", "ipvlan");
    install_recorded(&node, "host-local", "host-local");
    let conf = json!({"cniVersion": "1.0.0", "type": "ipvlan", "master": "eth1", "mode": "l3s", "mtu": 1400, "linkInContainer": false,
        "ipam": node.ipam(&["10.60.0.0/24"])});
    node.define("fast", &conf);
    let sandbox = node.sandbox("cart", "fast");
    let outcome = node.runtime().add(&sandbox.pod).unwrap();
    let add = said(&node, "ipvlan", "ADD");
    assert_eq!(add, conf.with("name", json!("fast")));
    if outcome.succeeded() {
        assert_eq!(sandbox.links(), ["eth0", "net1"]);
    } else {
        // A kernel without ipvlan: the plugin's own words, and nothing left.
        let text = outcome.error_text();
        assert!(text.contains("plugin `ipvlan`") && text.contains("ipvlan"), "{text}");
        assert_eq!(said(&node, "ipvlan", "DEL")["master"], "eth1");
    }
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!((sandbox.links(), node.ledger()), (vec![], vec![]));
}

#[test]
fn a_foreign_ipam_plugin_serves_a_bundled_interface_plugin() {
    let node = Node::new("foreign");
    install_recorded(&node, "host-local", "foreign-ipam");
    let ipam = node.ipam(&["10.60.0.0/24"]).with("type", json!("foreign-ipam"));
    // The reference plugins of distributions know versions up to 1.0.0.
    node.define("wire", &node.macvlan(&[]).with("ipam", ipam.clone()).with("cniVersion", json!("1.0.0")));
    let sandbox = node.sandbox("cart", "wire");
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let addresses = kernel::addresses(&sandbox.netns, "net1");
    assert_eq!(addresses, node.leases("wire"));
    assert_eq!(said(&node, "foreign-ipam", "ADD")["ipam"], ipam);
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(node.leases("wire"), Vec::<String>::new());
    assert_eq!(sandbox.links(), Vec::<String>::new());
}

// Proves: F-NOD-3
#[test]
fn the_entry_decides_between_a_bundled_plugin_and_the_nodes_and_del_uses_the_one_of_add() {
    let mut node = Node::new("bundled");
    node.install_fakes(&["macvlan"]);
    node.define(
        "wire",
        &node.macvlan(&["10.60.0.0/24"]).with("fake", json!({"trace": node.folder("trace")})),
    );
    let default = node.default_network().with("cniVersion", json!("1.0.0"));
    node.entry.remove("clusterNetwork");
    node.entry.insert("delegates".into(), json!([default]));
    let choices = [
        (json!("prefer"), false),
        (json!("fallback"), true),
        (json!("off"), true),
        (json!(["bridge"]), true),
        (json!(["bridge", "macvlan"]), false),
    ];
    let keep_bridge = |choice: &Value| *choice == json!("off");
    for (n, (choice, executed)) in choices.into_iter().enumerate() {
        if keep_bridge(&choice) {
            // With nothing bundled the default network needs the node's bridge, and that its host-local.
            for kind in ["bridge", "host-local"] {
                crate::wrapper::write(
                    &node.folder("bin").join(kind),
                    &format!("#!/bin/sh\nexec {REFERENCE}/{kind}\n"),
                );
            }
        }
        node.entry.insert("plugins".into(), json!({"bundled": choice}));
        let sandbox = node.sandbox(&format!("pod-{n}"), "wire");
        let seen = node.trace().len();
        node.runtime().add(&sandbox.pod).unwrap().must_succeed();
        assert_eq!(node.trace().len() - seen, usize::from(executed), "{choice}");
        assert_eq!(sandbox.links().contains(&"net1".to_string()), !executed, "{choice}");
        let other = if executed { "prefer" } else { "fallback" };
        node.entry.insert("plugins".into(), json!({"bundled": other}));
        node.runtime().del(&sandbox.pod).unwrap().must_succeed();
        assert_eq!(
            node.trace().len() - seen,
            2 * usize::from(executed),
            "{choice}: DEL went to the other one"
        );
        assert_eq!(sandbox.links(), Vec::<String>::new());
    }
    // A type that is not bundled and not installed has no fallback.
    node.entry.insert("plugins".into(), json!({"bundled": "fallback"}));
    fs::remove_file(node.folder("bin/macvlan")).unwrap();
    let sandbox = node.sandbox("pod-last", "wire");
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    assert!(sandbox.links().contains(&"net1".to_string()), "the bundled one, as none is on disk");
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: CNI-ADD-1, CNI-ADD-4, CNI-CNV-8, CNI-CHK-6
#[test]
fn under_the_name_of_a_plugin_the_executable_is_that_plugin_for_any_runtime() {
    let node = Node::new("drop-in");
    let folder = node.folder("drop-in");
    executable::install(
        &manifold(),
        &folder,
        &["bridge", "macvlan", "ptp", "host-local", "static", "loopback"],
    )
    .unwrap();
    let confs = [
        ("bridge", node.bridge("mf-alone", &["10.80.0.0/24", "fd00:80::/64"])),
        ("macvlan", node.macvlan(&["10.81.0.0/24"])),
        ("ptp", node.ptp(&["10.82.0.0/24"])),
    ];
    for (kind, conf) in confs {
        let conf = conf.with("name", json!(format!("alone-{kind}")));
        let runtime = Runtime::new(folder.join(kind), &conf.to_string(), &node.host).unwrap();
        let sandbox = node.sandbox(&format!("pod-{kind}"), "");
        let result = runtime.add(&sandbox.pod).unwrap().must_succeed();
        assert_eq!(result["cniVersion"], "1.1.0");
        assert_eq!(sandbox.links(), ["eth0"], "{kind}");
        let routes = kernel::default_routes(&sandbox.netns, 4);
        assert!(kind == "ptp" || routes.is_empty(), "{kind}: a gateway alone is not a route: {routes:?}");
        runtime.check(&sandbox.pod).unwrap().must_succeed();
        let address = kernel::addresses(&sandbox.netns, "eth0");
        let mut again = sandbox.pod.clone();
        again.container_id = "another".into();
        assert!(!runtime.add(&again).unwrap().succeeded(), "{kind}: eth0 is there already");
        assert_eq!(
            kernel::addresses(&sandbox.netns, "eth0"),
            address,
            "{kind}: the one that was there is untouched"
        );
        runtime.version().unwrap().must_succeed();
        runtime.status().unwrap().must_succeed();
        runtime.del(&sandbox.pod).unwrap().must_succeed();
        assert_eq!(sandbox.links(), Vec::<String>::new());
        assert_eq!(node.leases(&format!("alone-{kind}")), Vec::<String>::new());
    }
    let conf = r#"{"cniVersion": "1.0.0", "name": "lo", "type": "loopback"}"#;
    let loopback = Runtime::new(folder.join("loopback"), conf, &node.host).unwrap();
    let mut sandbox = node.sandbox("pod-lo", "");
    sandbox.pod.ifname = "lo".into();
    loopback.add(&sandbox.pod).unwrap().must_succeed();
    assert!(sandbox.netns.exec(&["ping", "-c1", "-W10", "127.0.0.1"]).is_ok());
    loopback.del(&sandbox.pod).unwrap().must_succeed();
}
