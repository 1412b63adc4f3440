//! What ends an ADD from outside: SIGTERM, a runtime that no longer listens, SIGKILL, a DEL that comes too early.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::node::{Node, manifold};

/// How long the slow delegate takes: long enough for a signal, or a DEL, to come meanwhile on a busy machine.
const SLOW: Duration = Duration::from_secs(4);

/// Networks `bridge` and `slow`, a delegate whose ADD takes its time.
fn node_with_slow(prefix: &str) -> Node<'static> {
    let node = Node::new(prefix);
    node.install_fakes(&["fake"]);
    node.define("bridge", &node.bridge("mf-storage", &["10.50.0.0/24"]));
    let add = json!({"work": true, "delayMs": SLOW.as_millis()});
    node.define("slow", &node.fake(&json!({"ADD": add, "DEL": {"work": true}})));
    let warm = node.sandbox("warm", "bridge");
    node.runtime().add(&warm.pod).unwrap().must_succeed();
    node.runtime().del(&warm.pod).unwrap().must_succeed();
    node
}

/// Sends a signal to the executable as soon as the slow delegate runs.
fn signalled(node: &Node<'_>, signal: &str) -> PathBuf {
    node.script(&format!(
        "exec 3<&0\n{} <&3 &\npid=$!\nexec 3<&-\n\
         n=0; while [ ! -s {} ] && [ $n -lt 2400 ]; do sleep 0.05; n=$((n+1)); done\n\
         kill -{signal} $pid\nwait $pid",
        manifold().display(),
        node.folder("trace").display()
    ))
}

// Proves: F-RUN-2
#[test]
fn sigterm_makes_add_undo_itself() {
    let node = node_with_slow("term");
    let sandbox = node.sandbox("cart", "bridge,slow,bridge");
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    let outcome = node.runtime_of(&signalled(&node, "TERM")).add(&sandbox.pod).unwrap();
    let text = outcome.must_fail_with(11);
    assert!(text.contains("SIGTERM") && text.contains("was undone"), "{text}");
    node.assert_clean(&oracle, &before);
}

// Proves: F-RUN-2
#[test]
fn an_answer_that_nobody_takes_is_an_add_that_is_undone() {
    let node = node_with_slow("deaf");
    let sandbox = node.sandbox("cart", "bridge");
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    let code = node.folder("code");
    // A pipe that nobody reads from, from the beginning.
    let deaf = node.script(&format!(
        "mkfifo {0} && exec 4<>{0} 5>{0} 4<&-\n{1} >&5 5>&-\necho $? > {2}",
        node.folder("pipe").display(),
        manifold().display(),
        code.display()
    ));
    node.runtime_of(&deaf).add(&sandbox.pod).unwrap();
    assert_eq!(std::fs::read_to_string(code).unwrap().trim(), "1");
    let spool = std::fs::read_to_string(node.folder("state/.spool/outcomes")).unwrap();
    assert!(spool.lines().last().unwrap().contains("could not be delivered"), "{spool}");
    node.assert_clean(&oracle, &before);
}

// Proves: F-RUN-1
#[test]
fn a_delegate_dies_with_the_executable_that_was_killed_and_del_undoes_all() {
    let node = node_with_slow("kill");
    let sandbox = node.sandbox("cart", "bridge,slow");
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    node.runtime_of(&signalled(&node, "KILL")).add(&sandbox.pod).unwrap();
    let begun = Instant::now();
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let calls = manifold_e2e::trace::read(&node.folder("trace")).unwrap();
    assert!(
        calls[0].verb == "ADD" && calls[0].end.is_none(),
        "the delegate did not come to its end: {calls:?}"
    );
    std::thread::sleep(SLOW.saturating_sub(begun.elapsed()));
    node.assert_clean(&oracle, &before);
}

// Proves: F-RUN-3
#[test]
fn a_del_that_comes_during_add_makes_it_give_way() {
    let node = node_with_slow("cancel");
    let sandbox = node.sandbox("cart", "slow,bridge,slow");
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    let (adder, deleter) = (node.runtime(), node.runtime());
    std::thread::scope(|scope| {
        let add = scope.spawn(|| adder.add(&sandbox.pod).unwrap());
        node.wait_for_call(&add);
        deleter.del(&sandbox.pod).unwrap().must_succeed();
        let text = add.join().unwrap().must_fail_with(11);
        assert!(text.contains("DEL while ADD was running"), "{text}");
    });
    let adds = node.trace().iter().filter(|call| call.starts_with("ADD")).count();
    assert_eq!(adds, 1, "no delegate is started after the mark: {:?}", node.trace());
    node.assert_clean(&oracle, &before);
}
