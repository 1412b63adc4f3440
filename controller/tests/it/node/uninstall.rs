//! The folders are given back when the mark is there, and not under pods that have more networks.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use manifold_ledger::{BootId, Entry, Ledger, PodIdentity, Stage};
use serde_json::{Value, json};

use super::bed::{BRIDGE, Node, define, edit, files, server};

fn mark(value: &str) -> Value {
    json!({"metadata": {"annotations": {"manifold.network/uninstall": value}}})
}

// Proves: F-NOD-8, P-UP-11
#[test]
fn the_folders_are_given_back_byte_for_byte() {
    let api = server();
    define(&api, None);
    let node = Node::new(&api, "node-goes", json!({"executable": {"source": "/bin/true", "links": ["all"]}}));
    fs::write(node.conf("10-plain.conflist"), BRIDGE).unwrap();
    fs::write(node.bin("bridge"), "the reference's").unwrap();
    fs::write(node.bin("manifold"), "by hand, of an older release").unwrap();
    fs::set_permissions(node.bin("manifold"), fs::Permissions::from_mode(0o750)).unwrap();
    let before = (files(&node.bin("")), files(&node.conf("")));
    let node = node.serving();
    assert!(node.bin("macvlan").exists() && files(&node.bin("")).len() > 10);
    two_networks(&node);
    edit(&api, &mark("now"));
    node.wait("a refusal", || {
        !node.events("manifold-system", "NodeNotUninstalled", "cluster-wide-network").is_empty()
    });
    let told = node.events("manifold-system", "NodeNotUninstalled", "cluster-wide-network");
    assert!(told.iter().any(|t| t.contains("node-goes") && t.contains("`shop/cart-7`")), "{told:?}");
    assert!(node.conf("00-manifold.conflist").exists());
    edit(&api, &mark("leave"));
    let done = || node.events("manifold-system", "NodeUninstalled", "cluster-wide-network");
    node.wait("a report", || done().iter().any(|t| t.contains("node-goes")));
    assert_eq!((files(&node.bin("")), files(&node.conf(""))), before);
    assert!(!node.state("credentials/token").exists(), "no token is left");
    assert!(node.page("/readyz").unwrap().1.contains("uninstalled"));
    // Nothing comes back while the mark is there, also not after a restart.
    node.kill();
    node.start();
    node.wait("uninstalled", || node.page("/readyz").is_some_and(|(_, body)| body.contains("uninstalled")));
    assert_eq!((files(&node.bin("")), files(&node.conf(""))), before);
    edit(&api, &json!({"metadata": {"annotations": {"manifold.network/uninstall": null}}}));
    node.wait("installed again", || node.conf("00-manifold.conflist").exists());
}

fn two_networks(node: &Node<'_>) {
    let attachment = |n: usize| {
        json!({
            "display": format!("shop/net-{n}"), "network": format!("net-{n}"), "ifname": format!("net{n}"),
            "version": "1.0.0", "plugins": [],
        })
    };
    let boot = BootId::read("/proc/sys/kernel/random/boot_id".as_ref()).unwrap();
    let mut entry: Entry = serde_json::from_value(json!({
        "boot": boot, "container": "c1", "created": 1_790_000_000_u64, "config_name": "manifold",
        "attachments": [attachment(0), attachment(1)],
    }))
    .unwrap();
    let uid = Some("0f1e2d3c-0000-4000-8000-0123456789ab".to_owned());
    entry.pod = Some(PodIdentity { namespace: "shop".into(), name: "cart-7".into(), uid });
    let mut pen = Ledger::open(&node.state("")).unwrap().write(&entry).unwrap();
    entry.stage = Stage::Complete;
    pen.save(&entry).unwrap();
}
