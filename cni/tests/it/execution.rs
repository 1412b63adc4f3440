//! The execution protocol, with every way in which a plugin can misbehave.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use manifold_cni::{CniError, Verb, code};
use serde_json::json;

use crate::bench::{Bench, call, eventually, lives};

const CONF: &str = r#"{"cniVersion":"1.0.0","name":"n","type":"p"}"#;

/// ADD by a script.
#[track_caller]
fn add(body: &str) -> Result<Vec<u8>, CniError> {
    Bench::new().script("p", body).call("p", Verb::Add, CONF)
}

#[track_caller]
fn fails(body: &str, code: u32, words: &str) {
    let error = add(body).expect_err(body);
    assert_eq!(error.code, code, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

// Proves: CNI-EXE-1, CNI-ENV-1, CNI-ENV-3
#[test]
fn a_plugin_runs_in_our_namespace_with_its_arguments_and_its_configuration() {
    let bench = Bench::new();
    bench.script("p", "readlink /proc/self/ns/net >$D/ns; cat >$D/stdin; env >$D/env; echo log >&2; echo '{\"cniVersion\":\"1.0.0\"}'");
    let answer = bench.call("p", Verb::Add, CONF).expect("works");
    assert_eq!(answer, br#"{"cniVersion":"1.0.0"}"#);
    let own = std::fs::read_link("/proc/self/ns/net").expect("ours");
    assert_eq!(bench.read("ns").trim(), own.display().to_string());
    assert_eq!(bench.read("stdin"), CONF);
    let env = bench.read("env");
    let path = format!("CNI_PATH={}", bench.path().display());
    for line in [
        "CNI_COMMAND=ADD",
        "CNI_CONTAINERID=c1",
        "CNI_NETNS=/run/netns/nowhere",
        "CNI_IFNAME=eth0",
        "CNI_ARGS=K8S_POD_NAME=cart",
        &path,
    ] {
        assert!(env.lines().any(|l| l == line), "{line} in {env}");
    }
}

// Proves: CNI-EXE-3
#[test]
fn a_configuration_of_1_mib_reaches_a_plugin_that_answers_while_it_reads() {
    let bench = Bench::new();
    // Output that fills the pipe before stdin is read would hang whoever writes first and reads later.
    bench.script("p", "head -c 200000 /dev/zero | tr '\\0' ' '; wc -c >$D/size; echo '{}'");
    let big = json!({"name": "n", "pad": "x".repeat(1 << 20)}).to_string();
    assert_eq!(bench.call("p", Verb::Add, &big), Ok(b"{}".to_vec()));
    assert_eq!(bench.read("size").trim(), big.len().to_string());
}

#[test]
fn a_plugin_that_never_reads_its_stdin_is_fine() {
    let bench = Bench::new();
    bench.script("p", "echo '{}'");
    let big = json!({"name": "n", "pad": "x".repeat(1 << 20)}).to_string();
    assert_eq!(bench.call("p", Verb::Add, &big), Ok(b"{}".to_vec()));
}

// Proves: CNI-EXE-6, F-PLG-6
#[test]
fn a_failure_without_an_error_object_is_put_into_words() {
    fails(
        "echo 'no such link' >&2; exit 3",
        code::FAILED,
        "plugin `p` failed with exit code 3: no such link",
    );
    fails("exit 1", code::FAILED, "said nothing on stdout or stderr");
    fails("echo oops; exit 1", code::FAILED, "printed `oops`, which is not JSON");
    fails("echo '{}'; exit 1", code::FAILED, "printed `{}`, which is not an error object");
}

// Proves: CNI-EXE-2, CNI-ERR-100, CNI-RUN-ADD-2
#[test]
fn a_plugins_own_error_keeps_code_and_words() {
    let error = add(r#"echo '{"cniVersion":"1.0.0","code":11,"msg":"later","details":"busy"}'; exit 1"#);
    assert_eq!(error, Err(CniError::new(11, "later").details("busy")));
}

// Proves: F-PLG-6
#[test]
fn success_must_be_a_result() {
    fails("true", code::FAILED, "exit code 0 and printed no result");
    fails("echo hello", code::DECODE, "printed `hello`, which is not JSON");
    fails(r#"echo '{"cniVersion":"1.0.0","ips":'"#, code::DECODE, "not JSON");
    fails(r#"echo '{"code":11,"msg":"later"}'"#, 11, "later");
    fails("head -c 100000000 /dev/zero", code::FAILED, "more than 1 MiB");
    // A result may have foreign keys of any name.
    assert!(add(r#"echo '{"code":1,"msg":"x","ips":[]}'"#).is_ok());
}

// Proves: F-PLG-6
#[test]
fn a_crash_names_the_signal() {
    fails("kill -SEGV $$", code::FAILED, "plugin `p` was killed by signal 11 (SIGSEGV)");
    fails("kill -KILL $$", code::FAILED, "signal 9 (SIGKILL)");
}

// Proves: CNI-ERR-3, F-PLG-6
#[test]
fn code_3_on_add_becomes_ours_and_keeps_its_words() {
    let body = r#"echo '{"code":3,"msg":"who is that"}'; exit 1"#;
    fails(body, code::FAILED, "who is that (the plugin gave code 3)");
    let del = Bench::new().script("p", body).call("p", Verb::Del, CONF);
    assert_eq!(del.expect_err("fails").code, 3);
}

// Proves: CNI-ERR-99
#[test]
fn an_error_without_a_code_gets_one_of_ours() {
    fails(r#"echo '{"code":0,"msg":"untyped"}'; exit 1"#, code::FAILED, "untyped");
}

// Proves: CNI-DEL-5, F-PLG-6
#[test]
fn what_del_prints_is_dropped_unless_it_is_an_error() {
    for body in ["true", "echo hello", "echo '{}'"] {
        assert_eq!(Bench::new().script("p", body).call("p", Verb::Del, CONF), Ok(Vec::new()));
    }
    let error = Bench::new().script("p", r#"echo '{"code":11,"msg":"later"}'"#).call("p", Verb::Del, CONF);
    assert_eq!(error.expect_err("an error with exit 0").code, 11);
}

// Proves: CNI-EXE-9, F-PLG-4, P-PERF-6
#[test]
fn at_the_deadline_the_whole_process_group_is_killed() {
    let bench = Bench::new();
    bench
        .script("p", "trap '' TERM INT HUP; echo $$ >$D/pid; sleep 120 & echo $! >$D/child; wait; sleep 120");
    let begun = Instant::now();
    let error = call(&bench.executed("p"), Verb::Add, CONF, Duration::from_secs(3)).expect_err("too slow");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert!(error.msg.contains("plugin `p` was killed in ADD, as it had not ended after "), "{error}");
    for pid in [bench.read("pid"), bench.read("child")] {
        assert!(!pid.is_empty());
        eventually("the end of the group", || !lives(&pid));
    }
}

// Proves: F-PLG-4
#[test]
fn a_plugin_that_prints_without_end_is_stopped_at_the_deadline() {
    let bench = Bench::new();
    bench.script("p", "exec yes");
    let begun = Instant::now();
    call(&bench.executed("p"), Verb::Add, CONF, Duration::from_millis(500)).expect_err("too slow");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

// Proves: F-PLG-6
#[test]
fn the_end_of_the_process_counts_and_not_that_of_a_pipe_it_left_to_a_child() {
    for body in [
        "sleep 60 & echo $! >$D/child; echo '{}'",
        // The answer comes from the child, a moment after the end.
        "(sleep 0.02; echo '{}'; exec sleep 60) & echo $! >$D/child",
        "sleep 60 & echo $! >$D/child",
    ] {
        let bench = Bench::new();
        bench.script("p", body);
        let begun = Instant::now();
        let answer = bench.call("p", Verb::Add, CONF);
        assert!(begun.elapsed() < Duration::from_secs(30), "{body}: {:?}", begun.elapsed());
        assert_eq!(answer.is_ok(), body.contains("{}"), "{answer:?}");
        let child = bench.read("child").trim().parse().expect("a pid");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), nix::sys::signal::Signal::SIGKILL)
            .expect("ours");
    }
}

// Proves: F-PLG-6
#[test]
fn a_plugin_that_closes_its_pipes_and_goes_on_is_waited_for() {
    let bench = Bench::new();
    bench.script("p", "echo '{}'; exec >&- 2>&- <&-; sleep 0.3; : >$D/done");
    assert_eq!(bench.call("p", Verb::Add, CONF), Ok(b"{}".to_vec()));
    assert!(bench.path().join("done").exists());
}

// Proves: CNI-EXE-5, F-PLG-5
#[test]
fn an_executable_that_is_being_written_is_tried_again() {
    let bench = Bench::new();
    bench.script("p", "echo '{}'");
    let plugin = bench.executed("p");
    let busy = OpenOptions::new().append(true).open(plugin.path()).expect("opened");
    let begun = Instant::now();
    let error = call(&plugin, Verb::Add, CONF, Duration::from_millis(500)).expect_err("busy");
    assert!(error.code == 11 && error.msg.contains("stayed open for writing"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(3), "the deadline also holds while waiting");
    let answer = std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            drop(busy);
        });
        let answer = call(&plugin, Verb::Add, CONF, Duration::from_secs(20));
        writer.join().expect("no panic");
        answer
    });
    assert_eq!(answer, Ok(b"{}".to_vec()));
}

// Proves: F-PLG-5
#[test]
fn an_executable_that_cannot_be_started_says_why() {
    let bench = Bench::new();
    bench.script("p", "");
    std::fs::write(bench.path().join("p"), "#!/nowhere/interpreter\n").expect("written");
    let error = bench.call("p", Verb::Add, CONF).expect_err("no interpreter");
    assert!(error.msg.contains("could not be started: No such file"), "{error}");
}

fn lock_is_free(path: &std::path::Path) -> bool {
    File::open(path).expect("there").try_lock().is_ok()
}

// Proves: F-RUN-1
#[test]
fn a_lock_that_is_handed_on_is_held_until_the_last_process_has_ended() {
    let bench = Bench::new();
    bench.script("p", "sleep 60 & echo $! >$D/child; echo '{}'");
    let path = bench.path().join("lock");
    let lock = File::create(&path).expect("made");
    lock.lock().expect("free");
    let plugin = bench.executed("p").keep_open([Arc::new(OwnedFd::from(lock))]);
    call(&plugin, Verb::Add, CONF, Duration::from_secs(20)).expect("works");
    drop(plugin);
    assert!(!lock_is_free(&path), "the stray child still has it");
    let child = bench.read("child").trim().parse().expect("a pid");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), nix::sys::signal::Signal::SIGKILL)
        .expect("ours");
    eventually("the end of the lock", || lock_is_free(&path));
}

#[test]
fn a_plugin_inherits_no_descriptor_that_was_not_named() {
    let bench = Bench::new();
    bench.script("p", "ls -l /proc/$$/fd >$D/fds; echo '{}'");
    let _secret = File::create(bench.path().join("secret")).expect("made");
    bench.call("p", Verb::Add, CONF).expect("works");
    let open = bench.read("fds");
    assert!(!open.is_empty() && !open.contains("secret"), "{open}");
}
