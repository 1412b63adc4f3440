//! What the plugins of a killed call leave behind holds the sandbox's lock. Plugins at work are waited for, daemons are not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::node::{Node, manifold};
use crate::sandbox::Sandbox;
use crate::wrapper;

/// How long a plugin may run.
const DELEGATE_SECONDS: u64 = 4;

/// A network whose plugin does this in ADD, and writes into `dels` at DEL what it finds then. `$N` is the node's folder.
fn node_with(prefix: &str, add: &str, at_del: &str) -> (Node<'static>, Sandbox) {
    let mut node = Node::new(prefix);
    node.entry.insert("limits".into(), json!({"delegateSeconds": DELEGATE_SECONDS}));
    let script = format!(
        "#!/bin/sh\nN={}\ncat > /dev/null\ncase $CNI_COMMAND in\nADD) {add};;\nDEL) {at_del} >> $N/dels;;\nesac\n",
        node.host.folder().display()
    );
    wrapper::write(&node.folder("bin/leaves"), &script);
    node.define("leaves", &json!({"cniVersion": "1.1.0", "name": "leaves", "type": "leaves"}));
    let sandbox = node.sandbox("cart", "leaves");
    (node, sandbox)
}

/// Kills the executable in mid-ADD, once this file of the node says that the plugin got so far.
fn killed_in_add(node: &Node<'_>, sandbox: &Sandbox, file: &str) -> String {
    node.runtime_of(&killed_at(node, file)).add(&sandbox.pod).unwrap();
    fs::read_to_string(node.folder(file)).unwrap().trim().to_owned()
}

fn killed_at(node: &Node<'_>, file: &str) -> PathBuf {
    node.script(&format!(
        "exec 3<&0\n{} <&3 &\npid=$!\nexec 3<&-\n\
         n=0; while [ ! -s {} ] && [ $n -lt 2400 ]; do sleep 0.05; n=$((n+1)); done\nkill -KILL $pid\nwait $pid",
        manifold().display(),
        node.folder(file).display()
    ))
}

/// DEL as a runtime repeats it.
#[track_caller]
fn del_in_the_end(node: &Node<'_>, sandbox: &Sandbox) -> u32 {
    let until = Instant::now() + Duration::from_secs(120);
    for failed in 0.. {
        let outcome = node.runtime().del(&sandbox.pod).unwrap();
        if outcome.succeeded() {
            return failed;
        }
        assert!(Instant::now() < until, "{outcome}");
    }
    unreachable!("every number was tried")
}

fn kill_pid(pid: &str) {
    kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
}

fn lives(pid: &str) -> bool {
    PathBuf::from("/proc").join(pid).exists()
}

// Proves: F-RUN-9
#[test]
fn a_daemon_that_a_plugin_of_a_killed_add_left_does_not_keep_the_sandbox_for_ever() {
    let add = "setsid sh -c 'echo $$ > $0/daemon; while :; do sleep 1; done' $N > /dev/null 2>&1 < /dev/null & sleep 60";
    let (node, sandbox) = node_with("daemon", add, "echo asked");
    let daemon = killed_in_add(&node, &sandbox, "daemon");
    del_in_the_end(&node, &sandbox);
    let lived = lives(&daemon);
    kill_pid(&daemon);
    assert!(lived, "to end it is its own plugin's business");
    assert_eq!(fs::read_to_string(node.folder("dels")).unwrap(), "asked\n");
    assert_eq!(node.ledger(), Vec::<String>::new());
}

/// Whether the DEL that runs has found the lock taken: it has left its mark then.
fn waits_for_the_lock(node: &Node<'_>, sandbox: &Sandbox) -> bool {
    let lock = node.folder("state/.locks").join(&sandbox.pod.container_id);
    fs::metadata(lock).is_ok_and(|meta| meta.permissions().mode() & 0o100 != 0)
}

/// A DEL beside what a killed call left, which goes on once that DEL waits.
fn del_that_waits(node: &Node<'_>, sandbox: &Sandbox) {
    std::thread::scope(|scope| {
        let del = scope.spawn(|| node.runtime().del(&sandbox.pod).unwrap());
        while !waits_for_the_lock(node, sandbox) {
            assert!(!del.is_finished(), "{}", del.join().unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
        fs::write(node.folder("go"), "").unwrap();
        del.join().unwrap().must_succeed();
    });
}

// Proves: F-RUN-1, F-RUN-9
#[test]
fn a_plugin_at_work_that_outlived_the_killed_add_is_waited_for() {
    // The plugin itself dies with the executable; what it started does its work.
    let add = "(echo $$ > $N/works; until [ -e $N/go ]; do sleep 0.05; done; sleep 0.5; echo done > $N/done) \
               > /dev/null 2>&1 < /dev/null; sleep 60";
    let (mut node, sandbox) = node_with("at-work", add, "cat $N/done");
    node.entry.insert("limits".into(), json!({"delegateSeconds": 120}));
    killed_in_add(&node, &sandbox, "works");
    del_that_waits(&node, &sandbox);
    assert_eq!(fs::read_to_string(node.folder("dels")).unwrap(), "done\n", "DEL came after the work");
    assert_eq!(node.ledger(), Vec::<String>::new());
}

// Proves: F-RUN-1, F-POD-7
#[test]
fn a_plugin_at_work_that_outlived_a_killed_del_without_an_entry_is_waited_for_too() {
    let works = "(echo $$ > $N/works; until [ -e $N/go ]; do sleep 0.05; done; sleep 0.5; echo done > $N/done) \
                 > /dev/null 2>&1 < /dev/null; sleep 60";
    let at_del = format!("if [ -e $N/works ]; then cat $N/done; else {works}; fi");
    let (mut node, sandbox) = node_with("no-entry", "true", &at_del);
    node.entry.insert("limits".into(), json!({"delegateSeconds": 120}));
    node.entry.remove("clusterNetwork");
    let default = json!({"cniVersion": "1.1.0", "name": "leaves", "type": "leaves"});
    node.entry.insert("delegates".into(), json!([default]));
    // Where nobody was ever attached there is nothing to lock.
    fs::create_dir(node.folder("state")).unwrap();
    node.runtime_of(&killed_at(&node, "works")).del(&sandbox.pod).unwrap();
    del_that_waits(&node, &sandbox);
    assert_eq!(fs::read_to_string(node.folder("dels")).unwrap(), "done\n", "the second came after the work");
}

// Proves: F-RUN-9
#[test]
fn a_plugin_that_outlived_the_killed_add_and_hangs_is_killed_at_its_deadline() {
    let add = "(sh -c 'echo $$ > $0/hangs; exec sleep 600' $N) > /dev/null 2>&1 < /dev/null; sleep 60";
    // Nobody may have collected it yet.
    let state = "grep -s ^State: /proc/$(cat $N/hangs)/status | grep -v zombie; echo asked";
    let (node, sandbox) = node_with("hangs-on", add, &format!("({state})"));
    killed_in_add(&node, &sandbox, "hangs");
    del_in_the_end(&node, &sandbox);
    assert_eq!(
        fs::read_to_string(node.folder("dels")).unwrap(),
        "asked\n",
        "no plugin of ADD runs beside DEL"
    );
    assert_eq!(node.ledger(), Vec::<String>::new());
}

// Proves: F-RUN-9
#[test]
fn a_del_that_waits_for_what_was_left_says_for_whom_and_counts_until_the_pod_may_go() {
    let add = "setsid sh -c 'echo $$ > $0/daemon; exec sleep 600' $N > /dev/null 2>&1 < /dev/null & sleep 60";
    let (mut node, sandbox) = node_with("counted", add, "echo asked");
    // Longer than DEL waits.
    node.entry.insert("limits".into(), json!({"delegateSeconds": 300}));
    let daemon = killed_in_add(&node, &sandbox, "daemon");
    let text = node.runtime().del(&sandbox.pod).unwrap().must_fail_with(11);
    assert!(text.contains(&format!("process {daemon} (`sleep`)")), "{text}");
    let outcome = node.outcomes().pop().unwrap();
    assert_eq!((&outcome["verb"], &outcome["outcome"]), (&json!("DEL"), &json!("failed")), "{outcome}");
    node.runtime().del(&sandbox.pod).unwrap().must_fail_with(11);
    node.runtime_of(&node.later(700)).del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(node.outcomes().pop().unwrap()["outcome"], "parked");
    assert!(node.ledger().contains(&sandbox.pod.container_id), "what is left is not forgotten");
    kill_pid(&daemon);
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(node.ledger(), Vec::<String>::new());
}
