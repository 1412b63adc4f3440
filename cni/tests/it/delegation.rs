//! An interface plugin as a process, and the IPAM plugin that it runs.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::bench::{Bench, eventually, lives};

fn config(version: &str) -> Value {
    json!({"cniVersion": version, "name": "n", "type": "minimal", "ipam": {"type": "ipam", "x": [null, 1.5]},
        "foreign": {"big": 1_234_567_890_123_456_789_u64}, "cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}],
        "prevResult": {"cniVersion": version, "ips": [{"address": "10.0.0.2/24"}]}})
}

/// An IPAM that notes its verbs, and in the end does `body`.
fn bench(body: &str) -> Bench {
    let bench = Bench::new();
    bench
        .example("minimal")
        .script("ipam", &format!("cat >$D/stdin; env >$D/env; echo $CNI_COMMAND >>$D/verbs\n{body}"));
    bench
}

const WORKS: &str =
    r#"[ $CNI_COMMAND = ADD ] && echo '{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.2/24"}]}'; true"#;

fn answer(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON object")
}

// Proves: CNI-DLG-1, CNI-DLG-7, CNI-EXE-8, CNI-EXE-10, CNI-GC-5, CNI-DLG-3
#[test]
fn ipam_gets_the_complete_configuration_and_our_environment() {
    for command in ["ADD", "DEL", "CHECK", "STATUS", "GC"] {
        let bench = bench(WORKS);
        let more = [("TRACEPARENT", "00-1-2-03"), ("FOREIGN", "kept"), ("CNI_NETNS_OVERRIDE", "0")];
        let output = bench.run("minimal", command, &config("1.1.0"), &more);
        assert!(output.status.success(), "{command}: {output:?}");
        assert_eq!(bench.read("verbs").trim(), command);
        assert_eq!(bench.json("stdin"), config("1.1.0"), "{command}");
        let mut expected = bench.environment(command);
        expected.extend(more.map(|(k, v)| (k.to_owned(), v.to_owned())));
        expected.insert(manifold_cni::exec::CALLED_BY.to_owned(), "manifold".to_owned());
        // Of these verbs the plugin has no such arguments, whatever its caller has set.
        if ["STATUS", "GC"].contains(&command) {
            expected.retain(|key, _| {
                !["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"].contains(&key.as_str())
            });
        }
        let env = bench.read("env");
        let mut got: Vec<&str> = env
            .lines()
            .filter(|l| !["PWD=", "_=", "SHLVL=", "OLDPWD="].iter().any(|p| l.starts_with(p)))
            .collect();
        got.sort_unstable();
        let expected: Vec<String> = expected.into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(got, expected, "{command}");
    }
}

// Proves: CNI-EXE-8
#[test]
fn a_variable_that_our_caller_gave_twice_reaches_the_delegate_once() {
    let bench = bench(WORKS);
    // `env` itself would merge them; this does not.
    let start = "import os, sys\nimport ctypes\nlibc = ctypes.CDLL(None)\n\
        envp = [b'CNI_COMMAND=DEL', b'PATH=/usr/bin:/bin'] + [a.encode() for a in sys.argv[2:]] + [None]\n\
        libc.execve(sys.argv[1].encode(), (ctypes.c_char_p * 2)(b'minimal', None), (ctypes.c_char_p * len(envp))(*envp))";
    let vars =
        bench.environment("DEL").into_iter().filter(|(k, _)| k != "PATH").map(|(k, v)| format!("{k}={v}"));
    let mut child = std::process::Command::new("python3")
        .args(["-c", start])
        .arg(bench.path().join("minimal"))
        .args(vars)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("python3 is installed");
    child.stdin.take().expect("piped").write_all(config("1.1.0").to_string().as_bytes()).expect("written");
    assert!(child.wait().expect("ends").success());
    let env = bench.read("env");
    assert_eq!(
        env.lines().filter(|l| l.starts_with("CNI_COMMAND=")).collect::<Vec<_>>(),
        ["CNI_COMMAND=DEL"]
    );
}

// Proves: CNI-DLG-2, CNI-EXE-7, CNI-EXE-1
#[test]
fn a_delegates_stderr_comes_out_of_ours_and_stdout_stays_pure() {
    let bench = bench(&format!("echo 'a word from ipam' >&2\n{WORKS}"));
    let output = bench.run("minimal", "ADD", &config("1.1.0"), &[]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "a word from ipam\n");
    let expected = json!({"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "/run/netns/nowhere"}],
        "ips": [{"address": "10.0.0.2/24", "interface": 0}]});
    assert_eq!(answer(&output), expected);
}

// Proves: F-PLG-6
#[test]
fn of_a_flood_on_stderr_64_kib_are_kept() {
    let bench = bench(&format!("head -c 50000000 /dev/zero >&2\n{WORKS}"));
    let output = bench.run("minimal", "ADD", &config("1.1.0"), &[]);
    assert!(output.status.success());
    assert_eq!(output.stderr.len(), 64 << 10);
}

// Proves: CNI-DLG-3, CNI-STA-4, CNI-CHK-7, CNI-ERR-100, CNI-ERR-50
#[test]
fn an_error_of_ipam_is_ours_with_its_code() {
    for (command, code) in
        [("ADD", 11), ("DEL", 4711), ("CHECK", 101), ("STATUS", 50), ("STATUS", 51), ("GC", 100)]
    {
        let bench = bench(&format!(r#"echo '{{"code":{code},"msg":"told by ipam"}}'; exit 1"#));
        let output = bench.run("minimal", command, &config("1.1.0"), &[]);
        assert_eq!(output.status.code(), Some(1));
        let answer = answer(&output);
        assert_eq!((&answer["code"], &answer["msg"]), (&json!(code), &json!("told by ipam")), "{command}");
    }
}

// Proves: CNI-ADD-5, CNI-DLG-4
#[test]
fn an_ipam_that_fails_add_is_run_with_del() {
    let bench = bench(r#"[ $CNI_COMMAND = DEL ] || { echo '{"code":11,"msg":"full"}'; exit 1; }"#);
    let output = bench.run("minimal", "ADD", &config("1.1.0"), &[]);
    assert_eq!((bench.read("verbs").as_str(), &answer(&output)["code"]), ("ADD\nDEL\n", &json!(11)));
}

// Proves: CNI-DLG-4
#[test]
fn both_errors_are_told_when_the_release_fails_too() {
    let bench = bench(r#"echo "{\"code\":11,\"msg\":\"full at $CNI_COMMAND\"}"; exit 1"#);
    let told = answer(&bench.run("minimal", "ADD", &config("1.1.0"), &[]));
    assert_eq!((&told["code"], &told["msg"]), (&json!(11), &json!("full at ADD")));
    assert!(told["details"].as_str().is_some_and(|d| d.contains("full at DEL")), "{told}");
}

// Proves: CNI-ADD-5, CNI-DLG-4, PLG-COM-16
#[test]
fn a_failure_after_ipam_gives_the_addresses_back() {
    let bench = bench(WORKS);
    let mut config = config("1.1.0");
    config["fail"] = json!(true);
    assert!(!bench.run("minimal", "ADD", &config, &[]).status.success());
    assert_eq!(bench.read("verbs"), "ADD\nDEL\n");
}

// Proves: CNI-DLG-5, PLG-COM-15
#[test]
fn an_ipam_without_addresses_is_an_error_and_is_released() {
    for body in [
        "{}",
        "null",
        r#"{"cniVersion":"1.1.0","ips":[]}"#,
        r#"{"cniVersion":"1.1.0","interfaces":[{"name":"x"}]}"#,
    ] {
        let bench = bench(&format!("[ $CNI_COMMAND = ADD ] && echo '{body}'; true"));
        let told = answer(&bench.run("minimal", "ADD", &config("1.1.0"), &[]));
        assert!(told["msg"].as_str().is_some_and(|m| m.contains("`ipam` gave no IP config")), "{told}");
        assert_eq!(bench.read("verbs"), "ADD\nDEL\n");
    }
}

// Proves: CNI-DLG-5
#[test]
fn interfaces_that_ipam_makes_up_are_dropped() {
    let bench = bench(
        r#"echo '{"cniVersion":"1.1.0","interfaces":[{"name":"x"}],"ips":[{"address":"10.0.0.2/24","interface":7}],"routes":[{"dst":"10.0.0.0/8"}]}'"#,
    );
    let told = answer(&bench.run("minimal", "ADD", &config("1.1.0"), &[]));
    let names: Vec<&Value> =
        told["interfaces"].as_array().expect("a list").iter().map(|i| &i["name"]).collect();
    assert_eq!((names, &told["ips"][0]["interface"]), (vec![&json!("eth0")], &json!(0)));
    assert_eq!(told["routes"], json!([{"dst": "10.0.0.0/8"}]));
}

// Proves: CNI-CFG-18, CNI-EXE-4, S-1
#[test]
fn an_ipam_type_is_a_name_that_is_installed() {
    let bench = bench(WORKS);
    for (ipam, words) in [
        (json!({"type": "../ipam"}), "path separator"),
        (json!({"type": "absent"}), "plugin `absent` is not installed"),
        (json!({"type": 7}), "`/ipam`"),
        (json!("x"), "`/ipam`"),
    ] {
        let mut config = config("1.1.0");
        config["ipam"] = ipam;
        let told = answer(&bench.run("minimal", "ADD", &config, &[]));
        assert!(
            told["code"] == json!(7) && told["msg"].as_str().is_some_and(|m| m.contains(words)),
            "{told}"
        );
    }
    let mut none = config("1.1.0");
    none["ipam"] = json!({});
    assert!(bench.run("minimal", "ADD", &none, &[]).status.success());
    assert_eq!(bench.read("verbs"), "");
}

// Proves: CNI-DEL-2, CNI-DEL-4, CNI-DEL-5
#[test]
fn del_without_netns_and_prev_result_reaches_ipam_and_prints_nothing() {
    let bench = bench(WORKS);
    let mut config = config("1.1.0");
    config.as_object_mut().expect("an object").remove("prevResult");
    let output = bench.run("minimal", "DEL", &config, &[("CNI_NETNS", "")]);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(bench.read("verbs"), "DEL\n");
}

// Proves: F-RUN-1
#[test]
fn a_delegate_dies_with_the_process_that_called_it() {
    let bench = bench("echo $$ >$D/pid.new; mv $D/pid.new $D/pid; exec sleep 120");
    let mut child = bench.start("minimal", "ADD", &[]);
    child.stdin.take().expect("piped").write_all(config("1.1.0").to_string().as_bytes()).expect("written");
    eventually("the start of ipam", || !bench.read("pid").is_empty());
    let pid = bench.read("pid");
    assert!(lives(&pid));
    child.kill().expect("killed");
    child.wait().expect("ended");
    eventually("the end of ipam", || !lives(&pid));
}

// Proves: CNI-ENV-10
#[test]
fn version_answers_while_stdin_is_open_and_silent() {
    let bench = bench(WORKS);
    let mut child = bench.start("minimal", "VERSION", &[]);
    let stdin = child.stdin.take().expect("piped");
    let output = child.wait_with_output().expect("ends");
    drop(stdin);
    assert!(output.status.success());
    assert_eq!(answer(&output)["supportedVersions"].as_array().expect("a list").len(), 7);
}
