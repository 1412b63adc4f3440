use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::Verb;
use crate::fake::{FakePlugin, one_address};

struct Outcome {
    exit: u8,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).expect("stdout is one JSON object")
    }
}

fn serve_with(plugin: &dyn Plugin, vars: &[(&str, &str)], stdin: &mut dyn Read) -> Outcome {
    let vars: BTreeMap<&str, &str> = vars.iter().copied().collect();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let around = Surroundings {
        var: &|key| vars.get(key).map(|v| (*v).to_owned()),
        stdin,
        stdout: &mut stdout,
        stderr: &mut stderr,
    };
    let exit = serve(plugin, around);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Outcome { exit, stdout: text(stdout), stderr: text(stderr) }
}

fn full(command: &'static str, netns: &'static str) -> [(&'static str, &'static str); 4] {
    [("CNI_COMMAND", command), ("CNI_CONTAINERID", "c1"), ("CNI_NETNS", netns), ("CNI_IFNAME", "eth0")]
}

fn config(version: &str) -> Vec<u8> {
    json!({"cniVersion": version, "name": "n", "type": "fake", "ipam": {"type": "x"}})
        .to_string()
        .into_bytes()
}

fn works() -> &'static FakePlugin {
    FakePlugin::leak(|_| Ok(one_address()), |_| Ok(()))
}

/// Fails the test when it is read.
struct Silent;

impl Read for Silent {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        panic!("stdin was read")
    }
}

// Proves: CNI-EXE-1, CNI-EXE-2
#[test]
fn success_is_the_result_on_stdout_and_exit_0() {
    let got = serve_with(works(), &full("ADD", "/run/netns/none"), &mut config("1.0.0").as_slice());
    assert_eq!((got.exit, got.stderr.as_str()), (0, ""));
    assert_eq!(got.json(), json!({"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24"}]}));
    let got = serve_with(works(), &full("DEL", ""), &mut config("1.0.0").as_slice());
    assert_eq!((got.exit, got.stdout.as_str()), (0, ""));
}

// Proves: COMPAT-21, COMPAT-21.3
#[test]
fn an_mtu_of_our_own_is_said_from_version_1_1_0_on_and_that_of_earlier_plugins_always() {
    let plugin = FakePlugin::leak(
        |_| {
            let of =
                |name: &str| crate::Interface { name: name.into(), mtu: Some(1400), ..Default::default() };
            Ok(CniResult { interfaces: vec![of("eth0"), of("net1")], ..one_address() })
        },
        |_| Ok(()),
    );
    let before = json!({"interfaces": [{"name": "net1", "mtu": 1500}]});
    for (version, prev, expected) in [
        ("1.1.0", Value::Null, [json!(1400), json!(1400)]),
        ("1.0.0", Value::Null, [Value::Null, Value::Null]),
        ("1.0.0", before, [Value::Null, json!(1400)]),
        ("0.4.0", Value::Null, [Value::Null, Value::Null]),
    ] {
        let conf =
            json!({"cniVersion": version, "name": "n", "type": "fake", "prevResult": prev}).to_string();
        let answer = serve_with(plugin, &full("ADD", "/run/netns/none"), &mut conf.as_bytes()).json();
        let said = [0, 1].map(|n| answer["interfaces"][n]["mtu"].clone());
        assert_eq!(said, expected, "{version}: {answer}");
        assert_eq!(answer["ips"][0]["address"], "10.0.0.2/24");
    }
}

// Proves: CNI-EXE-2, CNI-RES-7, CNI-ERR-99
#[test]
fn failure_is_the_error_on_stdout_in_the_version_of_the_configuration_and_exit_1() {
    let plugin = FakePlugin::leak(|_| Err(CniError::failed("no room").details("in here")), |_| Ok(()));
    let got = serve_with(plugin, &full("ADD", "/run/netns/none"), &mut config("0.4.0").as_slice());
    assert_eq!(got.exit, 1);
    assert_eq!(
        got.json(),
        json!({"cniVersion": "0.4.0", "code": 100, "msg": "no room", "details": "in here"})
    );
    let own = [code::FAILED, code::CHECK_FAILED, code::ALREADY_ATTACHED, code::PANICKED];
    assert!(own.iter().all(|code| *code >= 100));
}

// Proves: CNI-ERR-1, CNI-ERR-4, CNI-ERR-6, CNI-ERR-7
#[test]
fn every_early_refusal_has_its_code() {
    #[track_caller]
    fn check(vars: &[(&str, &str)], stdin: &[u8], code: u32, words: &str) {
        let got = serve_with(works(), vars, &mut &*stdin);
        assert_eq!((got.exit, &got.json()["code"]), (1, &json!(code)), "{}", got.stdout);
        assert!(got.stdout.contains(words), "{}", got.stdout);
    }
    let add = full("ADD", "/run/netns/none");
    check(&[("CNI_COMMAND", "ADD")], b"", 4, "CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME");
    check(&add, b"{", 6, "on stdin");
    check(&add, b"{}", 7, "`name`");
    check(&add, &config("0.9.9"), 1, "incompatible CNI versions");
    check(&full("CHECK", "/run/netns/none"), &config("0.3.1"), 1, "CHECK");
}

// Proves: CNI-ERR-5
#[test]
fn stdin_that_cannot_be_read_or_never_ends_is_code_5() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
    }
    let got = serve_with(works(), &full("ADD", "/x"), &mut Broken);
    assert_eq!((got.exit, &got.json()["code"]), (1, &json!(5)));
    let got = serve_with(works(), &full("ADD", "/x"), &mut std::io::repeat(b' '));
    assert_eq!(got.json()["code"], 5);
    assert!(got.stdout.contains("4 MiB"));
}

// Proves: CNI-EXE-3
#[test]
fn a_configuration_of_1_mib_in_small_pieces_is_read_to_its_end() {
    struct Pieces<'a>(&'a [u8]);
    impl Read for Pieces<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            let few = to.len().min(1000);
            self.0.read(to.get_mut(..few).expect("shorter"))
        }
    }
    let big = json!({"cniVersion": "1.0.0", "name": "n", "type": "fake", "ipam": {"type": "x"}, "pad": "x".repeat(1 << 20)});
    let got = serve_with(works(), &full("ADD", "/run/netns/none"), &mut Pieces(big.to_string().as_bytes()));
    assert_eq!(got.exit, 0, "{}", got.stdout);
}

// Proves: CNI-ENV-8
#[test]
fn without_a_command_the_plugin_introduces_itself_on_stderr() {
    for vars in [&[][..], &[("CNI_COMMAND", "")]] {
        let got = serve_with(works(), vars, &mut Silent);
        assert_eq!((got.exit, got.stdout.as_str()), (0, ""));
        assert!(
            got.stderr.contains("CNI fake plugin v")
                && got.stderr.contains("0.1.0")
                && got.stderr.contains("1.1.0")
        );
    }
}

// Proves: CNI-ENV-10, CNI-VER-1
#[test]
fn version_answers_without_touching_stdin() {
    let got = serve_with(works(), &[("CNI_COMMAND", "VERSION")], &mut Silent);
    assert_eq!((got.exit, &got.json()["cniVersion"]), (0, &json!("1.1.0")));
    assert_eq!(got.json()["supportedVersions"].as_array().expect("a list").len(), 7);
}

// Proves: CNI-ENV-9, CNI-ERR-8, S-18
#[test]
fn our_own_netns_is_refused_before_the_plugin_is_called() {
    for command in ["ADD", "DEL"] {
        let plugin = works();
        let got = serve_with(plugin, &full(command, "/proc/self/ns/net"), &mut config("1.0.0").as_slice());
        assert_eq!((got.exit, &got.json()["code"]), (1, &json!(8)));
        assert!(plugin.verbs().is_empty());
        for on in ["1", "true", "TRUE"] {
            let vars = [&full(command, "/proc/self/ns/net")[..], &[("CNI_NETNS_OVERRIDE", on)]].concat();
            assert_eq!(serve_with(plugin, &vars, &mut config("1.0.0").as_slice()).exit, 0);
        }
        let vars = [&full(command, "/proc/self/ns/net")[..], &[("CNI_NETNS_OVERRIDE", "0")]].concat();
        assert_eq!(serve_with(plugin, &vars, &mut config("1.0.0").as_slice()).exit, 1);
        // A path that cannot be opened is the plugin's to judge.
        assert_eq!(serve_with(works(), &full(command, "/nowhere"), &mut config("1.0.0").as_slice()).exit, 0);
    }
}

// Proves: CNI-STA-1, CNI-ERR-50, CNI-STA-3
#[test]
fn status_passes_the_plugins_code_on_and_add_works_afterwards() {
    for code in [code::NOT_AVAILABLE, code::LIMITED_CONNECTIVITY] {
        let plugin = match code {
            50 => FakePlugin::leak(|_| Ok(one_address()), |_| Err(CniError::new(50, "daemon is down"))),
            _ => FakePlugin::leak(|_| Ok(one_address()), |_| Err(CniError::new(51, "daemon is down"))),
        };
        let got = serve_with(plugin, &[("CNI_COMMAND", "STATUS")], &mut config("1.1.0").as_slice());
        assert_eq!((got.exit, &got.json()["code"]), (1, &json!(code)));
        assert_eq!(serve_with(plugin, &full("ADD", "/x"), &mut config("1.1.0").as_slice()).exit, 0);
    }
}

// Proves: CNI-ERR-11, CNI-ERR-100
#[test]
fn a_code_of_the_plugin_is_not_rewritten() {
    for code in [2, 7, 11, 99, 100, 4711] {
        let mut plugin = FakePlugin::empty();
        plugin.other = |_| Ok(());
        plugin.add = match code {
            2 => |_| Err(CniError::new(2, "x")),
            7 => |_| Err(CniError::new(7, "x")),
            11 => |_| Err(CniError::new(11, "x")),
            99 => |_| Err(CniError::new(99, "x")),
            100 => |_| Err(CniError::new(100, "x")),
            _ => |_| Err(CniError::new(4711, "x")),
        };
        let got = serve_with(&plugin, &full("ADD", "/x"), &mut config("1.1.0").as_slice());
        assert_eq!(got.json()["code"], code);
    }
}

#[test]
fn a_panic_is_an_error_object_too() {
    let plugin = FakePlugin::leak(|_| panic!("oh"), |_| Ok(()));
    let got = serve_with(plugin, &full("ADD", "/x"), &mut config("1.1.0").as_slice());
    assert_eq!((got.exit, &got.json()["code"]), (1, &json!(code::PANICKED)));
}

#[test]
fn an_answer_that_nobody_receives_is_a_failure() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let vars: BTreeMap<&str, &str> = full("ADD", "/x").into();
    let config = config("1.1.0");
    let around = Surroundings {
        var: &|key| vars.get(key).map(|v| (*v).to_owned()),
        stdin: &mut config.as_slice(),
        stdout: &mut Closed,
        stderr: &mut Vec::new(),
    };
    let plugin = works();
    assert_eq!(serve(plugin, around), 1);
    assert_eq!(plugin.verbs(), [Verb::Add]);
}
