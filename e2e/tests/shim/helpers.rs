//! Programs that a bundled plugin starts, tools of the host and IPAM plugins: none of them does anything beside a later
//! call, however slow it is and whoever is killed.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::networks::With;
use crate::node::{Node, manifold};
use crate::sandbox::Sandbox;

/// Longer than a busy machine takes for anything here.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longer than DEL would take if it did not wait for the helper, and less than it waits. Seconds.
const SLOW_SECONDS: u32 = 4;

/// Kills the executable as soon as the helper has written down its process. `before` is done in a mount namespace.
fn killed_beside_a_helper(node: &Node<'_>, before: &str) -> std::path::PathBuf {
    node.script(&format!(
        "exec 3<&0\nunshare --mount --propagation private sh -ec '{before}\nexec {}' <&3 &\npid=$!\nexec 3<&-\n\
         n=0; while [ ! -s {} ] && [ $n -lt 2400 ]; do sleep 0.05; n=$((n+1)); done\n\
         kill -KILL $pid\nwait $pid",
        manifold().display(),
        node.folder("helper").display()
    ))
}

/// The host's tool takes its time before it does anything.
fn with_slow_tool(node: &Node<'_>, tool: &str) -> String {
    let (aside, slow) = (node.folder("aside"), node.folder("slow-tool"));
    std::fs::create_dir_all(&aside).unwrap();
    crate::wrapper::write(
        &slow,
        &format!(
            "#!/bin/sh\necho $$ > {}\nsleep {SLOW_SECONDS}\nexec {}/{tool} \"$@\"\n",
            node.folder("helper").display(),
            aside.display()
        ),
    );
    format!(
        "mount --bind /usr/sbin {0}; mount -t tmpfs none /usr/sbin\n\
         for tool in {0}/*; do ln -s $tool /usr/sbin/; done\nrm /usr/sbin/{tool}; ln -s {1} /usr/sbin/{tool}",
        aside.display(),
        slow.display()
    )
}

/// ADD is killed beside its helper, DEL comes at once; nothing is left once the helper is over.
#[track_caller]
fn leaves_nothing(node: &Node<'_>, sandbox: &Sandbox, killed: &Path) {
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    node.runtime_of(killed).add(&sandbox.pod).unwrap();
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    let helper = std::fs::read_to_string(node.folder("helper")).unwrap();
    let process = Path::new("/proc").join(helper.trim());
    let until = Instant::now() + PATIENCE;
    while process.exists() {
        assert!(Instant::now() < until, "the helper does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    node.assert_clean(&oracle, &before);
}

// Proves: F-RUN-10
#[test]
fn a_tool_that_is_late_changes_no_rule_after_del() {
    for (tool, backend) in [("nft", "nftables"), ("iptables-restore", "iptables")] {
        let node = Node::new("late-tool");
        node.define("masked", &node.ptp(&["10.70.0.0/24"]).with("ipMasqBackend", json!(backend)));
        let sandbox = node.sandbox("cart", "masked");
        // What all pods share is there before.
        node.runtime().add(&sandbox.pod).unwrap().must_succeed();
        node.runtime().del(&sandbox.pod).unwrap().must_succeed();
        let killed = killed_beside_a_helper(&node, &with_slow_tool(&node, tool));
        leaves_nothing(&node, &sandbox, &killed);
    }
}

// Proves: F-RUN-10
#[test]
fn an_ipam_plugin_of_a_bundled_plugin_that_is_late_gives_no_address_after_del() {
    let node = Node::new("late-ipam");
    let real = Path::new("/usr/lib/cni/host-local");
    assert!(real.is_file(), "the plugins of the node are missing: `{}`", real.display());
    // Its own child outlives it, as a pipe of a script does.
    crate::wrapper::write(
        &node.folder("bin/late-ipam"),
        &format!(
            "#!/bin/sh\n[ $CNI_COMMAND = ADD ] && [ -e {wait} ] || exec {real}\nconf=$(cat)\n\
             sh -c 'echo $$ > {helper}; sleep {SLOW_SECONDS}; exec {real}' <<END\n$conf\nEND\n",
            real = real.display(),
            helper = node.folder("helper").display(),
            wait = node.folder("wait").display()
        ),
    );
    let ipam = node.ipam(&["10.60.0.0/24"]).with("type", json!("late-ipam"));
    node.define("wire", &node.macvlan(&[]).with("ipam", ipam).with("cniVersion", json!("1.0.0")));
    let sandbox = node.sandbox("cart", "wire");
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    std::fs::write(node.folder("wait"), "").unwrap();
    leaves_nothing(&node, &sandbox, &killed_beside_a_helper(&node, ":"));
    assert_eq!(node.leases("wire"), Vec::<String>::new());
}
