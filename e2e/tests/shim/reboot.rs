//! A node that was switched off with many pods: the first ADD of the next boot takes down what is left of them.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use manifold_e2e::trace::{self, Traced};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::concurrency::{Call, together, tried_again};
use crate::networks::With;
use crate::node::Node;
use crate::sandbox::Sandbox;

/// As many as a kubelet runs by default.
const PODS: usize = 110;
const AT_ONCE: usize = 8;
const CHAIN: [&str; 2] = ["first-fake", "second-fake"];
const WITHIN: Duration = Duration::from_secs(20);

/// Pods of a default network with leases, and a chain of two plugins each of which needs a moment to take a pod down.
fn full_node(prefix: &str, pods: usize, del: Duration) -> (Node<'static>, Vec<Sandbox>) {
    let mut node = Node::new(prefix);
    node.install_fakes(&CHAIN);
    let slow = node.fake(&json!({"DEL": {"delayMs": del.as_millis()}}));
    let plugins = CHAIN.map(|kind| slow.clone().with("type", json!(kind)));
    node.define("slow", &json!({"cniVersion": "1.1.0", "name": "slow", "plugins": plugins}));
    node.entry.insert("limits".into(), json!({"delegateSeconds": 60}));
    let sandboxes: Vec<_> = (0..pods).map(|n| node.sandbox(&format!("pod-{n}"), "slow")).collect();
    let runtime = node.runtime();
    for some in sandboxes.chunks(AT_ONCE) {
        let adds = some.iter().map(|s| Box::new(|| runtime.add(&s.pod).unwrap()) as Call<'_>).collect();
        together(adds).iter().for_each(|outcome| drop(outcome.must_succeed()));
    }
    drop(runtime);
    (node, sandboxes)
}

fn entries(node: &Node<'_>) -> usize {
    node.ledger().iter().filter(|name| !name.starts_with('.')).count()
}

/// The calls of DEL that began after the first so many.
fn dels(node: &Node<'_>, after: usize) -> Vec<Traced> {
    let calls = trace::read(&node.folder("trace")).unwrap();
    calls.into_iter().skip(after).filter(|call| call.verb == "DEL").collect()
}

/// How many ran at the same time at most.
fn most_at_once(calls: &[Traced]) -> usize {
    let runs = |call: &Traced, at: u64| call.start <= at && call.end.is_none_or(|end| at < end);
    calls.iter().map(|one| calls.iter().filter(|other| runs(other, one.start)).count()).max().unwrap_or(0)
}

/// Begins to sweep, and is killed when some sandboxes are done.
fn killed_in_the_middle(node: &Node<'_>, boot: &str, sandbox: &Sandbox) {
    let pid = node.folder("pid");
    let rebooted = node.in_another_boot(boot);
    let told = node.script(&format!("echo $$ > {}\nexec {}", pid.display(), rebooted.display()));
    let outcome = thread::scope(|scope| {
        let add = scope.spawn(|| node.runtime_of(&told).add(&sandbox.pod).unwrap());
        while entries(node) > PODS - 20 {
            assert!(!add.is_finished(), "{}", add.join().unwrap());
            thread::sleep(Duration::from_millis(5));
        }
        let pid: i32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        add.join().unwrap()
    });
    assert_eq!(outcome.signal, Some(9), "{outcome}");
}

// Proves: F-NOD-1
#[test]
fn a_full_node_is_swept_in_time_eight_at_a_time_and_who_is_killed_meanwhile_is_taken_over() {
    let begin = Instant::now();
    let (node, old) = full_node("full", PODS, Duration::from_millis(60));
    let making = begin.elapsed();
    assert_eq!(node.leases("cluster-wide-network").len(), 2 * PODS);
    old.iter().for_each(|sandbox| sandbox.netns.delete());
    let new: Vec<_> = ["one", "two", "three"].map(|name| node.sandbox(name, "")).into();
    let begin = Instant::now();
    killed_in_the_middle(&node, "next-boot", &new[0]);
    let left = entries(&node);
    assert!((1..PODS).contains(&left), "{left} entries");
    let before = trace::read(&node.folder("trace")).unwrap().len();
    let rebooted = node.runtime_of(&node.in_another_boot("next-boot"));
    let add = |s: &Sandbox| tried_again("sweeping", || rebooted.add(&s.pod).unwrap());
    let adds = new.iter().map(|s| Box::new(move || add(s)) as Call<'_>).collect();
    together(adds).iter().for_each(|outcome| drop(outcome.must_succeed()));
    // A busy machine also took longer to make them, which is more work.
    assert!(begin.elapsed() < WITHIN.max(making), "{:?}, made in {making:?}", begin.elapsed());

    let calls = dels(&node, before);
    let mut of_pods: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for call in &calls {
        assert_eq!(call.var("CNI_NETNS"), "", "the namespace is another one's by now");
        of_pods.entry(call.var("CNI_CONTAINERID")).or_default().push(call.input("/type"));
    }
    assert_eq!(of_pods.len(), left, "by one of the three, once");
    assert!(of_pods.values().all(|order| order == &["second-fake", "first-fake"]), "{of_pods:?}");
    let most = most_at_once(&calls);
    assert!((2..=AT_ONCE).contains(&most), "{most} at once");
    assert_eq!((entries(&node), node.leases("cluster-wide-network").len()), (new.len(), 2 * new.len()));
    for sandbox in &new {
        rebooted.del(&sandbox.pod).unwrap().must_succeed();
    }
    assert_eq!((node.ledger(), node.leases("cluster-wide-network")), (Vec::new(), Vec::new()));
}

// Proves: F-NOD-1
#[test]
fn who_waits_for_the_sweep_for_half_a_minute_hears_how_far_it_is() {
    // Each with a network of its own that takes all the time that a sandbox has, four times as many as are swept at once.
    let (mut node, _) = full_node("waits", 0, Duration::ZERO);
    node.entry.insert("limits".into(), json!({"delegateSeconds": 60}));
    let until = node.folder("released");
    let old: Vec<_> = (0..4 * AT_ONCE)
        .map(|n| {
            let hangs = node.fake(&json!({"DEL": {"until": until}})).with("type", json!(CHAIN[0]));
            node.define(&format!("hangs-{n}"), &hangs);
            node.sandbox(&format!("pod-{n}"), &format!("hangs-{n}"))
        })
        .collect();
    old.iter().for_each(|sandbox| {
        node.runtime().add(&sandbox.pod).unwrap().must_succeed();
        sandbox.netns.delete();
    });
    let [first, second] = ["first", "second"].map(|name| node.sandbox(name, ""));
    let rebooted = node.runtime_of(&node.in_another_boot("next-boot"));
    thread::scope(|scope| {
        let sweeps = scope.spawn(|| rebooted.add(&first.pod).unwrap());
        while dels(&node, 0).is_empty() {
            assert!(!sweeps.is_finished(), "{}", sweeps.join().unwrap());
            thread::sleep(Duration::from_millis(10));
        }
        let outcome = rebooted.add(&second.pod).unwrap();
        let text = outcome.must_fail_with(11);
        assert!(text.contains("sweeping ") && text.contains(" of 32 sandboxes"), "{text}");
        assert!((25..40).contains(&outcome.wall.as_secs()), "{:?}", outcome.wall);
        sweeps.join().unwrap().must_succeed();
    });
    fs::write(&until, "").unwrap();
    rebooted.add(&second.pod).unwrap().must_succeed();
    for sandbox in old.iter().chain([&first, &second]) {
        rebooted.del(&sandbox.pod).unwrap().must_succeed();
    }
    assert_eq!(node.ledger(), Vec::<String>::new());
}
