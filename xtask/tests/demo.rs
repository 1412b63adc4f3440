//! The demo as a user runs it: what it prints, how it ends, and that it leaves nothing. Needs root.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use manifold_e2e::executable;

/// Not the name that people see, so that a demo that somebody keeps up is left alone.
const NAME: &str = "manifold-trial";

/// One demo of a name at a time.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn manifold() -> PathBuf {
    let given = std::env::var_os("MANIFOLD_EXECUTABLE").filter(|path| !path.is_empty());
    given.map_or_else(|| executable::executable("manifold").unwrap(), PathBuf::from)
}

fn demo(executable: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["demo", "--name", NAME]).args(words).env("MANIFOLD_EXECUTABLE", executable);
    command.output().unwrap()
}

#[track_caller]
fn must_succeed(output: &Output) -> String {
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// What of the demo is on the machine.
fn namespaces() -> Vec<String> {
    let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with(NAME));
    names.sort();
    names
}

#[test]
fn the_demo_shows_both_pods_pings_between_them_and_leaves_nothing() {
    let _turn = turn();
    let said = must_succeed(&demo(&manifold(), &[]));
    for words in ["Pod default/pod-a", "Pod default/pod-b", "02:23:45:67:89:01", "Nothing is left"] {
        assert!(said.contains(words), "`{words}` is not in:\n{said}");
    }
    let begins = |words: &[&str]| {
        let line = |l: &str| l.split_whitespace().zip(words).filter(|(a, b)| a == *b).count() == words.len();
        said.lines().filter(|l| line(l)).count()
    };
    for row in [
        ["eth0", "kube-system/cluster-wide-network", "10.244.0.2/24"],
        ["eth0", "kube-system/cluster-wide-network", "10.244.0.3/24"],
        ["net1", "default/right-network", "10.50.0.2/24"],
        ["left0", "default/left-network", "10.60.0.101/24"],
    ] {
        assert_eq!(begins(&row), 1, "{row:?} in:\n{said}");
    }
    assert_eq!(said.matches("3 of 3 answered").count(), 4, "{said}");
    assert!(!said.contains('\x1b'), "escape codes in a pipe");
    assert_eq!((namespaces(), Path::new("/run").join(NAME).exists()), (Vec::new(), false));
}

#[test]
fn kept_pods_stay_until_they_are_cleaned_or_the_next_demo_comes() {
    let _turn = turn();
    let said = must_succeed(&demo(&manifold(), &["--keep"]));
    assert!(said.contains(&format!("ip netns exec {NAME}-pod-a ip address")), "{said}");
    let names: Vec<String> = ["node", "pod-a", "pod-b"].map(|of| format!("{NAME}-{of}")).into();
    assert_eq!(namespaces(), names);
    // As after a run that was killed: the namespaces are there and nobody owns them.
    let said = must_succeed(&demo(&manifold(), &["--keep"]));
    assert!(said.contains("removed what an earlier run had left"), "{said}");
    let said = must_succeed(&demo(&manifold(), &["--clean"]));
    assert!(said.starts_with("Removed 3 network namespaces"), "{said}");
    assert_eq!(namespaces(), Vec::<String>::new());
}

#[test]
fn a_failed_add_is_told_with_exit_code_1_and_leaves_nothing() {
    let _turn = turn();
    let output = demo(Path::new("/bin/false"), &[]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.starts_with("error: ADD of pod `default/pod-a`: "), "{error}");
    assert_eq!(namespaces(), Vec::<String>::new());
}

// Shows part of: IPAM-39
#[test]
fn the_demo_of_addresses_shows_doubles_of_host_local_and_none_of_cluster_local() {
    let _turn = turn();
    let said = must_succeed(&demo(&manifold(), &["addresses"]));
    let (before, after) = said.split_once("`cluster-local`: each address once").unwrap();
    assert_eq!(before.matches("given 2 times").count(), 4, "{said}");
    assert!(!after.contains("given 2 times"), "{said}");
    // In use, free and idle: with both nodes, when one is gone, and when its addresses have come back.
    let rows: Vec<Vec<&str>> = after
        .lines()
        .filter(|line| line.trim_start().starts_with("wire "))
        .map(|line| line.split_whitespace().skip(3).take(3).collect())
        .collect();
    assert_eq!(rows, [["8", "9", "0"], ["4", "9", "4"], ["4", "13", "0"]], "{said}");
    assert_eq!(namespaces(), Vec::<String>::new());
}
