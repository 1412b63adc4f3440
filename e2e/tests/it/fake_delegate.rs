use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use manifold_e2e::netns::{HostNs, TestNetns};
use manifold_e2e::runtime::{CallOutcome, Pod, Runtime};
use manifold_e2e::trace;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

const FAKE: &str = env!("CARGO_BIN_EXE_fake-delegate");

/// The outcome of one ADD with this entry.
fn add(entry: Value) -> CallOutcome {
    let (host, netns) = (HostNs::new().unwrap(), TestNetns::new().unwrap());
    let conf = json!({"cniVersion": "1.0.0", "name": "n", "type": "x", "fake": {"ADD": entry}});
    let runtime = Runtime::new(FAKE, &conf.to_string(), &host).unwrap();
    runtime.add(&Pod::new(&netns, "shop", "cart")).unwrap()
}

fn behave(name: &str) -> CallOutcome {
    add(json!({"behave": name}))
}

#[test]
fn success_prints_a_result_of_the_configurations_version() {
    let result = behave("succeed").must_succeed();
    assert_eq!(result["cniVersion"], "1.0.0");
    assert_eq!(result["interfaces"][0]["name"], "eth0");
    let given = add(json!({"result": {"cniVersion": "1.0.0", "ips": []}})).must_succeed();
    assert_eq!(given, json!({"cniVersion": "1.0.0", "ips": []}));
}

#[test]
fn errors_have_the_code_that_was_asked_for_with_exit_1_or_0() {
    let outcome = add(json!({"behave": "fail", "code": 3, "msg": "no", "details": "at all"}));
    assert_eq!(outcome.must_fail_with(3), "no\nat all");
    assert_eq!(outcome.code, Some(1));
    let outcome = add(json!({"behave": "error-exit-0", "code": 11}));
    assert_eq!((outcome.code, outcome.result().unwrap()["code"].as_u64()), (Some(0), Some(11)));
}

#[test]
fn it_ends_as_it_is_told_to() {
    assert_eq!(add(json!({"behave": "exit", "exit": 137})).code, Some(137));
    assert_eq!(behave("killed").signal, Some(9));
    assert_eq!(behave("crash").signal, Some(6));
    assert!(behave("exit").stdout.is_empty());
}

#[test]
fn what_it_prints_is_no_single_object() {
    for name in ["garbage", "not-utf8", "partial", "array", "empty", "null", "noise-before", "two-objects"] {
        let outcome = behave(name);
        assert!(outcome.succeeded() && outcome.result().is_none(), "{name}: {outcome}");
    }
    assert!(behave("empty").stdout.is_empty());
    assert_eq!(behave("null").stdout, b"null");
}

#[test]
fn a_flood_is_a_hundred_megabytes() {
    assert_eq!(behave("huge").stdout.len(), 100_000_000);
    assert_eq!(add(json!({"behave": "huge-stderr", "bytes": 70_000})).stderr.len(), 70_000);
}

#[test]
fn a_child_that_is_left_behind_holds_the_pipes() {
    let holds = |escape: bool| {
        let outcome = add(json!({"behave": "hold-stdout", "lingerMs": 40_000, "escape": escape}));
        assert!(outcome.held_open && outcome.result().is_some(), "{outcome}");
        assert!(outcome.wall < Duration::from_secs(30), "{outcome}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| holds(false));
        scope.spawn(|| holds(true));
    });
    let outcome = add(json!({"behave": "close-stdout", "lingerMs": 300}));
    assert!(outcome.succeeded() && outcome.stdout.is_empty(), "{outcome}");
    assert!(outcome.wall >= Duration::from_millis(300), "{outcome}");
}

#[test]
fn results_that_lie_lie_in_one_thing() {
    let lie = |name: &str| behave(name).must_succeed();
    assert_eq!(lie("no-version").get("cniVersion"), None);
    assert_eq!(lie("wrong-version")["cniVersion"], "9.9.9");
    assert_eq!(lie("double-address")["ips"].as_array().unwrap().len(), 2);
    assert_eq!(lie("no-address")["ips"], json!([]));
    assert_eq!(lie("wrong-name")["interfaces"][0]["name"], "other7");
    assert_eq!(lie("wrong-sandbox")["interfaces"][0]["sandbox"], "/run/netns/another");
    assert_eq!(lie("wrong-sandbox")["ips"], behave("succeed").must_succeed()["ips"]);
}

#[test]
fn a_secret_of_the_configuration_gets_to_stderr() {
    let outcome = add(json!({"behave": "secret", "password": "canary-1"}));
    assert!(outcome.stderr.contains("canary-1"), "{outcome}");
    outcome.must_fail_with(7);
    assert_eq!(add(json!({"stderr": "a word"})).stderr, "a word");
}

#[test]
fn delays_and_traces_tell_who_ran_when() {
    let (host, netns) = (HostNs::new().unwrap(), TestNetns::new().unwrap());
    let trace = host.folder().join("trace");
    let fake = json!({"trace": trace, "*": {"delayMs": 50}, "DEL": {"behave": "exit"}});
    let conf = json!({"cniVersion": "1.0.0", "name": "n", "type": "x", "fake": fake});
    let runtime = Runtime::new(FAKE, &conf.to_string(), &host).unwrap();
    let pod = Pod::new(&netns, "shop", "cart");
    runtime.add(&pod).unwrap().must_succeed();
    assert_eq!(runtime.del(&pod).unwrap().code, Some(1));
    let calls = trace::read(&trace).unwrap();
    assert_eq!(trace::verbs(&trace).unwrap(), ["ADD", "DEL"]);
    assert!(calls[0].end.unwrap() - calls[0].start >= 50_000_000);
    assert!(calls[1].start > calls[0].end.unwrap());
    assert_eq!(calls[1].input("/fake/DEL/behave"), "exit");
}

#[test]
fn a_fault_may_be_there_for_the_first_calls_only() {
    let (host, netns) = (HostNs::new().unwrap(), TestNetns::new().unwrap());
    let counter = host.folder().join("counter");
    let fake = json!({"DEL": {"behave": "fail", "code": 11, "times": 2, "counter": counter}});
    let conf = json!({"cniVersion": "1.0.0", "name": "n", "type": "x", "fake": fake});
    let runtime = Runtime::new(FAKE, &conf.to_string(), &host).unwrap();
    let pod = Pod::new(&netns, "shop", "cart");
    runtime.del(&pod).unwrap().must_fail_with(11);
    runtime.add(&pod).unwrap().must_succeed();
    runtime.del(&pod).unwrap().must_fail_with(11);
    runtime.del(&pod).unwrap().must_succeed();
}

#[test]
fn work_makes_a_link_in_the_pod_and_can_be_followed_by_an_error() {
    let (host, netns) = (HostNs::new().unwrap(), TestNetns::new().unwrap());
    let fake = json!({"ADD": {"work": true, "behave": "fail"}, "DEL": {"work": true}});
    let conf = json!({"cniVersion": "1.0.0", "name": "n", "type": "x", "fake": fake});
    let runtime = Runtime::new(FAKE, &conf.to_string(), &host).unwrap();
    let pod = Pod::new(&netns, "shop", "cart");
    runtime.add(&pod).unwrap().must_fail_with(7);
    netns.exec(&["ip", "link", "show", "eth0"]).unwrap();
    runtime.del(&pod).unwrap().must_succeed();
    netns.exec(&["ip", "link", "show", "eth0"]).unwrap_err();
    runtime.del(&pod).unwrap().must_succeed();
}

/// Whether the plugin lives on for this long after SIGTERM to its group.
fn survives_sigterm(name: &str, patience: Duration) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let conf = json!({"cniVersion": "1.0.0", "name": "n", "fake": {"trace": trace, "ADD": {"behave": name}}});
    let input = folder.path().join("stdin");
    std::fs::write(&input, conf.to_string()).unwrap();
    let mut child = std::process::Command::new(FAKE)
        .env("CNI_COMMAND", "ADD")
        .stdin(std::fs::File::open(&input).unwrap())
        .process_group(0)
        .spawn()
        .unwrap();
    let group = Pid::from_raw(child.id().try_into().unwrap());
    // It has become what it is to be when the process has another name.
    let comm = format!("/proc/{group}/comm");
    while !std::fs::read_to_string(&comm).unwrap().starts_with("sleep") {
        std::thread::sleep(Duration::from_millis(2));
    }
    killpg(group, Signal::SIGTERM).unwrap();
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    killpg(group, Signal::SIGKILL).unwrap();
    child.wait().unwrap();
    true
}

#[test]
fn hanging_heeds_sigterm_or_ignores_it() {
    assert!(!survives_sigterm("hang", Duration::from_secs(60)));
    assert!(survives_sigterm("ignore-sigterm", Duration::from_millis(300)));
}
