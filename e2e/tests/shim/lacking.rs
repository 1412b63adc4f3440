//! A node that lacks something for a moment: descriptors, memory, a disk that answers, threads. A call fails with an answer, the
//! next one succeeds, and what could not be read once is not taken for damaged or for missing.

use std::fs;
use std::path::{Path, PathBuf};

use manifold_e2e::runtime::CallOutcome;
use serde_json::json;

use crate::cleanup::{ALL, used_node};
use crate::networks::With;
use crate::node::{Node, manifold};

/// A call that failed says so as the protocol wants it, and never by a panic.
#[track_caller]
fn answers(outcome: &CallOutcome, what: &str) {
    let told = outcome.succeeded() || outcome.error_code().is_some_and(|code| code != 103);
    assert!(told && !outcome.stderr.contains("panicked"), "{what}: {outcome}");
}

/// How often a DEL of a plain pod opens something.
fn opened_by_del(node: &Node<'_>) -> usize {
    let sandbox = node.sandbox("counted", "");
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    let log = node.folder("opened");
    let traced = node.script(&format!(
        "exec strace -f -qq -e trace=openat -o {} {}",
        log.display(),
        manifold().display()
    ));
    node.runtime_of(&traced).del(&sandbox.pod).unwrap().must_succeed();
    fs::read_to_string(log).unwrap().lines().count()
}

// Proves: F-DSK-7
#[test]
fn del_succeeds_once_an_error_of_the_system_has_passed_wherever_it_came() {
    let node = used_node("passing");
    let opened = opened_by_del(&node);
    assert!(opened > 10, "{opened}");
    let oracle = node.oracle(&[]);
    let before = oracle.snapshot().unwrap();
    let mut failed = 0;
    for (errno, step) in [("EMFILE", 1), ("EIO", 3), ("ENOMEM", 3)] {
        for k in (1..=opened).step_by(step) {
            let what = format!("{errno} at {k} of {opened}");
            let sandbox = node.sandbox(&format!("cart-{}-{k}", errno.to_lowercase()), "");
            node.runtime().add(&sandbox.pod).unwrap().must_succeed();
            let inject = format!("inject=openat:error={errno}:when={k}");
            let faulty =
                node.script(&format!("exec strace -f -qq -o /dev/null -e {inject} {}", manifold().display()));
            let outcome = node.runtime_of(&faulty).del(&sandbox.pod).unwrap();
            // The first calls are the dynamic linker's in the wrapping shell and the executable's own start.
            failed += usize::from(outcome.error_code().is_some());
            for _ in 0..2 {
                let again = node.runtime().del(&sandbox.pod).unwrap();
                assert!(again.succeeded(), "{what}, a DEL after it: {again}");
            }
            assert_eq!(node.ledger(), Vec::<String>::new(), "{what}");
            // Its id may come again.
            node.runtime().add(&sandbox.pod).unwrap().must_succeed();
            node.runtime().del(&sandbox.pod).unwrap().must_succeed();
        }
    }
    assert!(failed > 0, "no error came through");
    node.assert_clean(&oracle, &before);
}

/// A cgroup in which only so many processes and threads may be.
struct Cramped(PathBuf);

impl Cramped {
    fn new(name: &str) -> Self {
        let hierarchies = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
        let root = hierarchies.iter().map(Path::new).find(|path| path.is_dir()).expect("cgroups are mounted");
        if root.join("cgroup.controllers").exists() {
            fs::write(root.join("cgroup.subtree_control"), "+pids").unwrap();
        }
        let folder = root.join(format!("manifold-test-{name}-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    /// The executable with no more than this.
    fn executable(&self, node: &Node<'_>, most: usize) -> PathBuf {
        fs::write(self.0.join("pids.max"), most.to_string()).unwrap();
        let processes = self.0.join("cgroup.procs");
        node.script(&format!("echo $$ > {} && exec {}", processes.display(), manifold().display()))
    }
}

impl Drop for Cramped {
    fn drop(&mut self) {
        // A process that was killed leaves a moment after it has ended for everybody else.
        while fs::remove_dir(&self.0).is_err_and(|e| e.kind() == std::io::ErrorKind::ResourceBusy) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

// Proves: F-RUN-11
#[test]
fn without_a_thread_to_be_had_a_failed_add_is_undone_and_del_does_its_work() {
    let node = used_node("threads");
    let one_address = node.ipam(&["10.80.0.0/24"]).with(
        "ranges",
        json!([[{"subnet": "10.80.0.0/24", "rangeStart": "10.80.0.9", "rangeEnd": "10.80.0.9"}]]),
    );
    node.define("full", &node.bridge("mf-full", &["10.80.0.0/24"]).with("ipam", one_address));
    let holder = node.sandbox("holder", "full");
    node.runtime().add(&holder.pod).unwrap().must_succeed();
    let cramped = Cramped::new("threads");
    for most in 1..=6 {
        let sandbox = node.sandbox(&format!("cart-{most}"), &format!("{ALL},full"));
        let oracle = node.oracle(&[&sandbox.netns]);
        let before = oracle.snapshot().unwrap();
        let outcome = node.runtime_of(&cramped.executable(&node, most)).add(&sandbox.pod).unwrap();
        answers(&outcome, &format!("ADD with {most}"));
        assert!(
            outcome.error_text().contains("everything attached before it was undone"),
            "{most}: {outcome}"
        );
        let leaks = node.leaks(&oracle, &before);
        assert!(leaks.is_empty(), "{most}: {leaks:#?}");
        assert!(!node.ledger().contains(&sandbox.pod.container_id), "{most}");
        // Without ptp, whose rules are made by a program.
        let sandbox = node.sandbox(&format!("whole-{most}"), "storage,wire,storage");
        node.runtime().add(&sandbox.pod).unwrap().must_succeed();
        let outcome = node.runtime_of(&cramped.executable(&node, most)).del(&sandbox.pod).unwrap();
        assert!(outcome.succeeded(), "DEL with {most}: {outcome}");
        let leaks = node.leaks(&oracle, &before);
        assert!(leaks.is_empty(), "{most}: {leaks:#?}");
    }
    node.runtime().del(&holder.pod).unwrap().must_succeed();
    assert_eq!(node.ledger(), Vec::<String>::new());
}

// Proves: F-RUN-11
#[test]
fn without_a_process_to_be_had_for_a_plugin_the_answer_is_try_again() {
    let node = used_node("processes");
    node.install_fakes(&["fake"]);
    node.define("executed", &node.fake(&json!({})));
    let cramped = Cramped::new("processes");
    // None left for a child.
    let executable = cramped.executable(&node, 1);
    let sandbox = node.sandbox("cart", "storage,executed");
    let outcome = node.runtime_of(&executable).add(&sandbox.pod).unwrap();
    answers(&outcome, "ADD");
    assert!(outcome.error_text().contains("could not be started"), "{outcome}");
    assert_eq!(sandbox.links(), Vec::<String>::new(), "what could be undone is: {outcome}");
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    let outcome = node.runtime_of(&executable).del(&sandbox.pod).unwrap();
    assert_eq!(outcome.error_code(), Some(11), "{outcome}");
    assert_eq!(sandbox.links(), Vec::<String>::new());
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(node.ledger(), Vec::<String>::new());
}
