//! As many pods at once as a node holds, as after a boot: the gates let some in, and the rest waits without memory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use crate::concurrency::{Call, together, tried_again};
use crate::node::{Node, manifold};
use crate::sandbox::Sandbox;

/// What the kubelet lets a node have, unless it is told otherwise.
const PODS: usize = 110;
/// What is said to those who have waited for a minute.
const CROWDED: &str = "run on this node already";
const MEMORY: u64 = 512 << 20;

/// A cgroup with a limit of memory; whatever it kills is counted.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(bytes: u64) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let unified = root.join("cgroup.controllers").exists();
        let (base, limit) = match unified {
            true => (root.to_owned(), "memory.max"),
            false => (root.join("memory"), "memory.limit_in_bytes"),
        };
        let cgroup = Self(base.join(format!("manifold-storm-{}", std::process::id())));
        fs::create_dir(&cgroup.0).unwrap();
        fs::write(cgroup.0.join(limit), bytes.to_string()).unwrap();
        cgroup
    }

    fn killed(&self) -> u64 {
        let texts = ["memory.events", "memory.oom_control"].map(|name| fs::read_to_string(self.0.join(name)));
        let text = texts.into_iter().find_map(Result::ok).unwrap();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap().trim().parse().unwrap()
    }

    fn processes(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.0.join("cgroup.procs")).unwrap();
        text.lines().map(|pid| pid.parse().unwrap()).collect()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The last process is gone for us a moment before it is for the kernel.
        let until = Instant::now() + Duration::from_secs(10);
        while fs::remove_dir(&self.0).is_err() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// All places of one gate, as if as many ADDs were inside.
fn hold_the_gate(node: &Node<'_>, gate: &str, places: usize) -> Vec<Flock<File>> {
    let slot = |n| node.folder("state").join(format!(".gate/{gate}-{n}"));
    (0..places)
        .map(|n| {
            let file = File::create(slot(n)).unwrap();
            Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap()
        })
        .collect()
}

fn node_with_two_networks(prefix: &str) -> (Node<'static>, Sandbox) {
    let node = Node::new(prefix);
    node.define("bridged", &node.bridge("mf-storm", &["10.50.0.0/16"]));
    node.define("wire", &node.macvlan(&["10.60.0.0/16"]));
    let warm = node.sandbox("warm", "bridged,wire");
    node.runtime().add(&warm.pod).unwrap().must_succeed();
    node.runtime().del(&warm.pod).unwrap().must_succeed();
    (node, warm)
}

/// Memory that is the process's own and written to, in bytes; nothing when it has ended.
fn own_memory(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

// Proves: F-RUN-4, P-PERF-1
#[test]
fn a_boot_storm_of_110_pods_passes_the_gate_in_512_mib() {
    let (node, _warm) = node_with_two_networks("boot");
    let sandboxes: Vec<Sandbox> =
        (0..PODS).map(|n| node.sandbox(&format!("pod-{n}"), "bridged,wire")).collect();
    let oracle = node.oracle(&[&sandboxes[0].netns, &sandboxes[PODS - 1].netns]);
    let before = oracle.snapshot().unwrap();
    let cgroup = Cgroup::new(MEMORY);
    let enter = format!("echo $$ > {}/cgroup.procs; exec {}", cgroup.0.display(), manifold().display());
    let runtime = node.runtime_of(&node.script(&enter));
    let (to_ask, to_attach) = (hold_the_gate(&node, "ask", 16), hold_the_gate(&node, "add", 16));
    let to_attach = (to_attach, hold_the_gate(&node, "add-first", 16));
    let outcomes = std::thread::scope(|scope| {
        let add = |s: &Sandbox| tried_again(CROWDED, || runtime.add(&s.pod).unwrap());
        let adds = sandboxes.iter().map(|s| Box::new(move || add(s)) as Call<'_>).collect();
        let storm = scope.spawn(|| together(adds));
        wait_for_waiters(&cgroup);
        let most = || cgroup.processes().into_iter().filter_map(own_memory).max().unwrap();
        let before = most();
        drop(to_ask);
        wait_until_all_have_asked(&cgroup);
        let after = most();
        drop(to_attach);
        assert!(
            before <= 1 << 20 && after <= 2 << 20,
            "of its own has a shim {before} bytes while it waits to ask, {after} while it waits to attach"
        );
        storm.join().unwrap()
    });
    outcomes.iter().for_each(|outcome| drop(outcome.must_succeed()));
    let del = |s: &Sandbox| tried_again(CROWDED, || runtime.del(&s.pod).unwrap());
    let dels = sandboxes.iter().map(|s| Box::new(move || del(s)) as Call<'_>).collect();
    together(dels).iter().for_each(|outcome| drop(outcome.must_succeed()));
    assert_eq!(cgroup.killed(), 0, "the kernel had to kill for memory");
    node.assert_clean(&oracle, &before);
}

/// Until all of them stand in the queue: none has a connection open or runs anything.
fn wait_for_waiters(cgroup: &Cgroup) {
    let until = Instant::now() + Duration::from_secs(240);
    let sleeps = |pid: &u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        name.trim() == "manifold" && state.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
    };
    while cgroup.processes().iter().filter(|pid| sleeps(pid)).count() < PODS {
        assert!(Instant::now() < until, "{} of {PODS} wait", cgroup.processes().len());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Until all of them stand before the next gate, with what they were told.
fn wait_until_all_have_asked(cgroup: &Cgroup) {
    let until = Instant::now() + Duration::from_secs(240);
    let has_open = |pid: u32, gate: &str| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut links = files.filter_map(|file| fs::read_link(file.path()).ok());
        links.any(|link| link.display().to_string().contains(gate))
    };
    let attaches = |pid: &u32| has_open(*pid, ".gate/add-networks") && !has_open(*pid, ".gate/ask-");
    while cgroup.processes().iter().filter(|pid| attaches(pid)).count() < PODS {
        assert!(Instant::now() < until, "of {PODS} there are {} left", cgroup.processes().len());
        std::thread::sleep(Duration::from_millis(20));
    }
}

// Proves: F-RUN-4
#[test]
fn who_waits_at_the_gate_for_a_minute_is_told_to_try_again() {
    let (node, _warm) = node_with_two_networks("minute");
    let sandbox = node.sandbox("cart", "wire");
    let held = (hold_the_gate(&node, "add", 16), hold_the_gate(&node, "add-first", 16));
    let outcome = node.runtime().add(&sandbox.pod).unwrap();
    let text = outcome.must_fail_with(11);
    assert!(text.contains("32 calls of ADD with further networks run on this node already"), "{text}");
    let waited = outcome.wall.as_secs();
    assert!((55..110).contains(&waited), "{waited} s");
    assert!(sandbox.links().is_empty() && node.ledger().is_empty());
    drop(held);
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}
