//! Bundled plugins that wait for somebody who does not answer: a daemon, and a disk. Every call has an end.

use std::io::Write as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use manifold_e2e::runtime::CallOutcome;
use serde_json::json;

use crate::neighbours::wait_until;
use crate::networks::With;
use crate::node::{Node, manifold};
use crate::sandbox::Sandbox;

/// A node whose plugins have two seconds each.
fn hasty(prefix: &str) -> Node<'static> {
    let mut node = Node::new(prefix);
    node.entry.insert("limits".into(), json!({"delegateSeconds": 2, "addSeconds": 60}));
    let warm = node.sandbox("warm", "");
    node.runtime().add(&warm.pod).unwrap().must_succeed();
    node.runtime().del(&warm.pod).unwrap().must_succeed();
    node
}

/// The executable ended by itself, and the runtime did not have to kill it.
#[track_caller]
fn ended(outcome: &CallOutcome) -> String {
    assert!(!outcome.timed_out && outcome.code.is_some(), "{outcome:?}");
    outcome.error_text()
}

/// Nobody takes what arrives, and the queue is full.
fn full(path: &Path) -> Box<dyn Send> {
    let listener = UnixListener::bind(path).unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let waiting = UnixStream::connect(path).unwrap();
    Box::new((listener, waiting))
}

/// Whoever arrives gets a byte now and then, and never a whole answer.
fn dripping(path: &Path) -> Box<dyn Send> {
    let listener = UnixListener::bind(path).unwrap();
    let drip = |mut stream: UnixStream| {
        while stream.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    };
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || drip(stream));
        }
    });
    Box::new(())
}

fn daemons(folder: &Path) -> [(PathBuf, Box<dyn Send>); 2] {
    let (first, second) = (folder.join("full"), folder.join("dripping"));
    let (busy, slow) = (full(&first), dripping(&second));
    [(first, busy), (second, slow)]
}

// Proves: F-PLG-8
#[test]
fn a_dhcp_daemon_that_does_not_answer_ends_add_and_del() {
    let node = hasty("mute-dhcp");
    for (path, _daemon) in daemons(node.host.folder()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let ipam = json!({"type": "dhcp", "daemonSocketPath": path});
        node.define(&name, &node.macvlan(&[]).with("ipam", ipam));
        let sandbox = node.sandbox(&format!("pod-{name}"), &name);
        let add = ended(&node.runtime().add(&sandbox.pod).unwrap());
        assert!(add.contains("did not answer in time"), "{name}: {add}");
        let del = ended(&node.runtime().del(&sandbox.pod).unwrap());
        assert!(del.contains("did not answer in time"), "{name}: {del}");
        // Once it is gone, no lease is left that somebody could give back.
        std::fs::remove_file(&path).unwrap();
        node.runtime().del(&sandbox.pod).unwrap().must_succeed();
        assert_eq!((sandbox.links(), node.ledger()), (vec![], vec![]));
    }
}

// Proves: F-PLG-8
#[test]
fn a_bus_that_does_not_answer_ends_add_and_its_undo() {
    let node = hasty("mute-bus");
    for (path, _bus) in daemons(node.host.folder()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let firewall = json!({"type": "firewall", "backend": "firewalld"});
        let bridge = node.bridge("mf-storage", &["10.50.0.0/24"]);
        node.define(&name, &json!({"cniVersion": "1.0.0", "plugins": [bridge, firewall]}));
        let sandbox = node.sandbox(&format!("pod-{name}"), &name);
        let on_bus = node.script(&format!(
            "DBUS_SYSTEM_BUS_ADDRESS=unix:path={} exec {}",
            path.display(),
            manifold().display()
        ));
        let text = ended(&node.runtime_of(&on_bus).add(&sandbox.pod).unwrap());
        assert!(text.contains("the system bus did not answer in time"), "{name}: {text}");
        // Its undo asked the bus too, in vain.
        assert!(node.ledger().contains(&sandbox.pod.container_id), "{name}: {text}");
        node.runtime_of(&on_bus).del(&sandbox.pod).unwrap().must_succeed();
        assert_eq!((sandbox.links(), node.ledger()), (vec![], vec![]));
    }
}

/// The executable where a folder lies on a file system that answers nobody, so many seconds after now.
fn on_a_dead_disk(node: &Node<'_>, folder: &Path, later: u64) -> PathBuf {
    with_dead_disk(node, folder, later, &manifold())
}

fn with_dead_disk(node: &Node<'_>, folder: &Path, later: u64, executable: &Path) -> PathBuf {
    node.script(&format!(
        "exec unshare --mount --propagation private --time --boottime {later} --fork sh -ec '\n\
         exec 4<>/dev/fuse\n\
         mount -i -t fuse -o fd=4,rootmode=40000,user_id=0,group_id=0 dead {}\nexec {}'",
        folder.display(),
        executable.display()
    ))
}

/// A network whose leases are on that disk.
fn node_with_disk(prefix: &str) -> (Node<'static>, PathBuf) {
    let node = hasty(prefix);
    let folder = node.folder("disk");
    std::fs::create_dir(&folder).unwrap();
    let ipam = node.ipam(&["10.60.0.0/24"]).with("dataDir", json!(folder));
    node.define("stored", &node.macvlan(&[]).with("ipam", ipam));
    (node, folder)
}

// Proves: F-PLG-9
#[test]
fn an_add_on_a_disk_that_does_not_answer_ends_and_promises_nothing_and_del_undoes_it() {
    let (node, folder) = node_with_disk("dead-disk");
    let sandbox = node.sandbox("cart", "stored");
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    let outcome = node.runtime_of(&on_a_dead_disk(&node, &folder, 0)).add(&sandbox.pod).unwrap();
    // Not 11: that would promise that nothing is left.
    let text = outcome.must_fail_with(100);
    assert!(
        text.contains("plugin `macvlan` did not end ADD in time") && text.contains("may be left"),
        "{text}"
    );
    assert!(node.ledger().contains(&sandbox.pod.container_id));
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    node.assert_clean(&oracle, &before);
}

// Proves: F-PLG-9, P-DEL-6
#[test]
fn a_del_on_a_disk_that_does_not_answer_is_tried_again_and_lets_the_pod_go_at_last() {
    let (node, folder) = node_with_disk("dead-del");
    let sandbox = node.sandbox("cart", "stored");
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    let del = |later: u64| node.runtime_of(&on_a_dead_disk(&node, &folder, later)).del(&sandbox.pod).unwrap();
    for _ in 0..2 {
        let text = del(0).must_fail_with(11);
        assert!(text.contains("plugin `macvlan` did not end DEL in time"), "{text}");
    }
    del(700).must_succeed();
    assert!(node.ledger().contains(&sandbox.pod.container_id), "what is left is not forgotten");
    // The disk is back.
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!((sandbox.links(), node.ledger()), (vec![], vec![]));
    let leases = std::fs::read_dir(folder.join("stored")).unwrap();
    let leases: Vec<_> = leases.map(|file| file.unwrap().file_name()).collect();
    assert!(!leases.iter().any(|name| name.to_string_lossy().contains("10.60.")), "{leases:?}");
}

// Proves: F-PLG-9
#[test]
fn a_sweep_on_a_disk_that_does_not_answer_ends_too_and_the_pod_beside_it_is_attached() {
    let (mut node, folder) = node_with_disk("dead-sweep");
    let log = node.folder("log");
    node.entry.insert("logFile".into(), json!(log));
    let left = node.sandbox("left", "stored");
    node.runtime().add(&left.pod).unwrap().must_succeed();
    drop(left.netns);
    // The first pass sees that its namespace is gone, the one ten minutes later takes it down.
    let seen = node.sandbox("seen", "");
    node.runtime_of(&node.later(100)).add(&seen.pod).unwrap().must_succeed();
    let sandbox = node.sandbox("cart", "");
    node.runtime_of(&on_a_dead_disk(&node, &folder, 900)).add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(sandbox.links(), ["eth0"]);
    let swept = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("did not end DEL in time"));
    wait_until("the sweep has ended", swept);
    assert!(node.ledger().contains(&left.pod.container_id), "what is left is not forgotten");
}

/// Attaches pods of the network on that disk and of others, and takes their namespaces away.
fn left_with(node: &Node<'_>, networks: &[&str]) -> Vec<Sandbox> {
    let attach = |(n, networks): (usize, &&str)| {
        let sandbox = node.sandbox(&format!("left-{n}"), networks);
        node.runtime().add(&sandbox.pod).unwrap().must_succeed();
        sandbox.netns.delete();
        sandbox
    };
    networks.iter().enumerate().map(attach).collect()
}

fn entries(node: &Node<'_>) -> Vec<String> {
    node.ledger().into_iter().filter(|name| !name.starts_with('.')).collect()
}

// Proves: F-RUN-13
#[test]
fn a_boot_sweep_on_a_disk_that_does_not_answer_ends_no_add_and_sweeps_all_others() {
    let (node, folder) = node_with_disk("dead-boot");
    node.define("storage", &node.bridge("mf-storage", &["10.50.0.0/24"]));
    let left = left_with(&node, &["stored", "storage", "stored", "storage", "", "storage"]);
    let rebooted = with_dead_disk(&node, &folder, 0, &node.in_another_boot("next-boot"));
    let first = node.sandbox("first", "");
    node.runtime_of(&rebooted).add(&first.pod).unwrap().must_succeed();
    let mut kept = [&left[0], &left[2], &first].map(|sandbox| sandbox.pod.container_id.clone());
    kept.sort();
    assert_eq!(entries(&node), kept, "what is left is not forgotten, and all else is swept");
    let second = node.sandbox("second", "storage");
    node.runtime_of(&rebooted).add(&second.pod).unwrap().must_succeed();
    assert_eq!(second.links(), ["eth0", "net1"]);
}

// Proves: F-RUN-13
#[test]
fn gc_on_a_disk_that_does_not_answer_clears_every_other_sandbox_and_network_and_says_so() {
    let (node, folder) = node_with_disk("dead-gc");
    node.define("storage", &node.bridge("mf-storage", &["10.50.0.0/24"]));
    let left = left_with(&node, &["stored", "storage", "stored", "storage", "stored", "storage"]);
    let forgotten = node.folder("networks/storage/10.50.0.99");
    std::fs::write(&forgotten, "forgotten\r\nnet1").unwrap();
    let outcome = node.runtime_of(&on_a_dead_disk(&node, &folder, 200)).gc(&[]).unwrap();
    let text = outcome.must_fail_with(11);
    for part in ["plugin `macvlan` did not end DEL in time", "hangs", "did not end GC in time"] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    let mut kept: Vec<String> = left.iter().step_by(2).map(|s| s.pod.container_id.clone()).collect();
    kept.sort();
    assert_eq!((entries(&node), node.leases("storage")), (kept, vec![]));
    // The disk is back.
    node.runtime_of(&node.later(200)).gc(&[]).unwrap().must_succeed();
    assert_eq!(entries(&node), Vec::<String>::new());
}

// Proves: F-DSK-11
#[test]
fn a_damaged_entry_beside_a_default_network_that_hangs_is_parked_like_every_other() {
    let (mut node, folder) = node_with_disk("dead-default");
    let ipam = node.ipam(&["10.244.0.0/24", "fd00:10:244::/64"]).with("dataDir", json!(folder));
    let default = node.default_network().with("ipam", ipam);
    node.entry.remove("clusterNetwork");
    node.entry.insert("delegates".into(), json!([default]));
    let sandbox = node.sandbox("cart", "");
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    std::fs::write(node.folder("state").join(&sandbox.pod.container_id), "torn").unwrap();
    let del = |later: u64| node.runtime_of(&on_a_dead_disk(&node, &folder, later)).del(&sandbox.pod).unwrap();
    for _ in 0..2 {
        let text = del(0).must_fail_with(11);
        assert!(text.contains("plugin `bridge` did not end DEL in time"), "{text}");
    }
    del(700).must_succeed();
    let is_kept =
        node.ledger().iter().any(|name| name.starts_with(&format!(".damaged/{}@", sandbox.pod.container_id)));
    assert!(is_kept, "what is left is not forgotten: {:?}", node.ledger());
}
