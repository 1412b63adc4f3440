//! A CNI plugin that does what its configuration says, right or wrong, and writes down what it was asked.
//!
//! ```json
//! {"type": "fake-delegate", "fake": {
//!   "trace": "/file/for/json/lines",
//!   "ADD":   {"behave": "error", "code": 7, "times": 1, "counter": "/file/that/counts"},
//!   "DEL":   {"behave": "hang"},
//!   "*":     {"delayMs": 20, "stderr": "text", "work": true}}}
//! ```
//! A verb's own entry counts, else that of `*`, else it succeeds. With `times` and `counter` the entry counts for the
//! first so many calls, and later ones succeed. `delayMs`, `until`, `stderr` and `work` go with every behaviour; with `until`
//! it goes on when that file is there; `work` makes (ADD) or removes (DEL) a bridge named `CNI_IFNAME` in the pod, so that there
//! is something to undo. Behaviours:
//!
//! | `behave` | what happens | keys |
//! | --- | --- | --- |
//! | `succeed` | a result on ADD, nothing else; without `work`, a success that did nothing | `result`, `address` |
//! | `fail` | a plain CNI error | `code` (7), `msg`, `details` |
//! | `error-exit-0` | the same, but with exit code 0 | the same |
//! | `exit` | ends without a word | `exit` (1; 137 is what a shell says of SIGKILL) |
//! | `crash`, `killed` | ends by SIGABRT, by SIGKILL | |
//! | `hang` | never ends; SIGTERM ends it | |
//! | `ignore-sigterm` | never ends; only SIGKILL ends it | |
//! | `garbage`, `not-utf8`, `partial`, `noise-before`, `two-objects`, `array` | prints something else than one object | |
//! | `empty`, `null` | prints nothing, `null`, and succeeds | |
//! | `huge`, `huge-stderr` | prints 100 MB | `bytes` |
//! | `close-stdout` | closes stdout, lives on for a while, succeeds | `lingerMs` |
//! | `hold-stdout` | succeeds, and leaves a child that keeps stdout and stderr open | `lingerMs`, `escape`: in a group of its own |
//! | `no-version`, `wrong-version` | a result without, or with an unknown, `cniVersion` | |
//! | `double-address`, `no-address`, `wrong-name`, `wrong-sandbox` | a result that is not true | |
//! | `secret` | says its whole configuration on stderr, then fails | |

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let start = now();
    let call = Call::read();
    call.trace(&json!({
        "pid": std::process::id(), "verb": call.verb, "env": call.env, "stdin": call.stdin, "start": start,
    }));
    let code = call.behave();
    call.trace(&json!({"pid": std::process::id(), "end": now()}));
    ExitCode::from(code)
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the kernel has a monotonic clock");
    u64::try_from(time.tv_sec()).unwrap_or_default() * 1_000_000_000
        + u64::try_from(time.tv_nsec()).unwrap_or_default()
}

struct Call {
    verb: String,
    env: BTreeMap<String, String>,
    stdin: Value,
    /// How to behave at this verb.
    entry: Value,
}

impl Call {
    fn read() -> Self {
        let env: BTreeMap<String, String> = std::env::vars_os()
            .map(|(key, value)| (key.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .filter(|(key, _)| key.starts_with("CNI_") || key == "PATH")
            .collect();
        let verb = env.get("CNI_COMMAND").cloned().unwrap_or_default();
        let mut bytes = Vec::new();
        let _ = io::stdin().read_to_end(&mut bytes);
        let text = || Value::from(String::from_utf8_lossy(&bytes).into_owned());
        let stdin = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
        let mut call = Self { verb, env, stdin, entry: Value::Null };
        call.entry = call.pick();
        call
    }

    fn pick(&self) -> Value {
        let Some(fake) = self.stdin.get("fake") else { return Value::Null };
        let Some(entry) = fake.get(&self.verb).or_else(|| fake.get("*")) else { return Value::Null };
        match (entry.get("times").and_then(Value::as_u64), entry.get("counter").and_then(Value::as_str)) {
            (Some(times), Some(counter)) if count(counter) > times => Value::Null,
            _ => entry.clone(),
        }
    }

    fn trace(&self, line: &Value) {
        let Some(path) = self.stdin.pointer("/fake/trace").and_then(Value::as_str) else { return };
        // One write, so that lines of plugins that run beside each other do not mix.
        let written = File::options().create(true).append(true).open(path);
        let written = written.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        written.expect("the trace file can be written");
    }

    fn text<'a>(&'a self, key: &str, otherwise: &'a str) -> &'a str {
        self.entry.get(key).and_then(Value::as_str).unwrap_or(otherwise)
    }

    fn number(&self, key: &str, otherwise: u64) -> u64 {
        self.entry.get(key).and_then(Value::as_u64).unwrap_or(otherwise)
    }

    fn flag(&self, key: &str) -> bool {
        self.entry.get(key).and_then(Value::as_bool).unwrap_or_default()
    }

    fn var(&self, name: &str) -> &str {
        self.env.get(name).map_or("", String::as_str)
    }

    /// Returns the exit code, where it comes to that.
    fn behave(&self) -> u8 {
        thread::sleep(Duration::from_millis(self.number("delayMs", 0)));
        while !Path::new(self.text("until", "/")).exists() {
            thread::sleep(Duration::from_millis(10));
        }
        say_aside(self.text("stderr", "").as_bytes());
        if self.flag("work") {
            self.work();
        }
        let linger = self.number("lingerMs", 60_000) as f64 / 1000.0;
        match self.text("behave", "succeed") {
            "succeed" => self.succeed(|_| ()),
            "fail" => self.fail(1),
            "error-exit-0" => self.fail(0),
            "exit" => u8::try_from(self.number("exit", 1)).unwrap_or(1),
            "crash" => std::process::abort(),
            "killed" => become_shell("kill -KILL $$"),
            "hang" => become_shell("exec sleep 3600"),
            // An ignored signal stays ignored in what a process becomes.
            "ignore-sigterm" => become_shell("trap '' TERM; exec sleep 3600"),
            "garbage" => say(b"Segmentation fault (core dumped)\n"),
            "not-utf8" => say(b"{\"cniVersion\": \"\xff\xfe\"}"),
            "partial" => say(br#"{"cniVersion": "1.0.0", "interfaces": [{"name": "et"#),
            "array" => say(b"[]"),
            "empty" => 0,
            "null" => say(b"null"),
            "noise-before" => {
                say(b"loading plugin...\n");
                self.succeed(|_| ())
            }
            "two-objects" => {
                self.succeed(|_| ());
                self.succeed(|_| ())
            }
            "huge" => flood(&mut io::stdout(), self.number("bytes", 100_000_000)),
            "huge-stderr" => {
                flood(&mut io::stderr(), self.number("bytes", 100_000_000));
                self.succeed(|_| ())
            }
            "close-stdout" => become_shell(&format!("exec >&-; sleep {linger}; exit 0")),
            "hold-stdout" => {
                self.leave_a_child(linger);
                self.succeed(|_| ())
            }
            "no-version" => self.succeed(|result| drop(result.remove("cniVersion"))),
            "wrong-version" => self.succeed(|result| set(result, "cniVersion", json!("9.9.9"))),
            "double-address" => self.succeed(|result| {
                let ips = result.get("ips").and_then(Value::as_array).cloned().unwrap_or_default();
                set(result, "ips", ips.iter().chain(&ips).cloned().collect());
            }),
            "no-address" => self.succeed(|result| set(result, "ips", json!([]))),
            "wrong-name" => {
                let sandbox = self.var("CNI_NETNS");
                self.succeed(|result| {
                    set(result, "interfaces", json!([{"name": "other7", "sandbox": sandbox}]));
                })
            }
            "wrong-sandbox" => {
                let name = self.var("CNI_IFNAME");
                self.succeed(|result| {
                    set(result, "interfaces", json!([{"name": name, "sandbox": "/run/netns/another"}]));
                })
            }
            "secret" => {
                say_aside(self.stdin.to_string().as_bytes());
                self.fail(1)
            }
            unknown => panic!("there is no behaviour `{unknown}`"),
        }
    }

    /// What a plugin prints that did its work; changed by `bend` before it is printed.
    fn succeed(&self, bend: impl FnOnce(&mut serde_json::Map<String, Value>)) -> u8 {
        let printed = match self.verb.as_str() {
            "ADD" => self.entry.get("result").cloned().unwrap_or_else(|| self.result()),
            "VERSION" => json!({
                "cniVersion": "1.1.0",
                "supportedVersions": ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
            }),
            _ => return 0,
        };
        let mut printed = printed;
        if let Some(result) = printed.as_object_mut() {
            bend(result);
        }
        say(printed.to_string().as_bytes())
    }

    fn result(&self) -> Value {
        let version = self.stdin.get("cniVersion").and_then(Value::as_str).unwrap_or("1.0.0");
        let address = self.text("address", "10.99.0.2/24");
        let mut ip = json!({"address": address, "interface": 0});
        if version.starts_with("0.3") || version.starts_with("0.4") {
            set(ip.as_object_mut().expect("made as an object"), "version", json!("4"));
        }
        if version.starts_with("0.1") || version.starts_with("0.2") {
            return json!({"cniVersion": version, "ip4": {"ip": address}});
        }
        json!({
            "cniVersion": version,
            "interfaces": [{
                "name": self.var("CNI_IFNAME"), "mac": "02:00:00:00:00:07", "sandbox": self.var("CNI_NETNS"),
            }],
            "ips": [ip],
            "dns": {},
        })
    }

    fn fail(&self, exit: u8) -> u8 {
        let error = json!({
            "cniVersion": self.stdin.get("cniVersion").cloned().unwrap_or_else(|| json!("1.0.0")),
            "code": self.number("code", 7),
            "msg": self.text("msg", "the fake delegate was told to fail"),
            "details": self.text("details", ""),
        });
        say(error.to_string().as_bytes());
        exit
    }

    fn work(&self) {
        let link = self.var("CNI_IFNAME");
        let words: &[&str] = match self.verb.as_str() {
            "ADD" => &["ip", "link", "add", link, "type", "bridge"],
            "DEL" => &["ip", "link", "del", link],
            _ => return,
        };
        let netns = format!("--net={}", self.var("CNI_NETNS"));
        let done = Command::new("nsenter").arg(netns).args(words).stdout(Stdio::null()).status();
        // A DEL of what is gone ends with 1, and that is well. One that could not run `ip` has done nothing.
        let is_done = |code: i32| code == 0 || self.verb == "DEL" && code == 1;
        let code = done.ok().and_then(|status| status.code());
        assert!(code.is_some_and(is_done), "`{}` ended with {code:?}", words.join(" "));
    }

    #[expect(clippy::zombie_processes, reason = "leaving a child behind is what this behaviour is")]
    fn leave_a_child(&self, seconds: f64) {
        let mut child = Command::new("sleep");
        child.arg(seconds.to_string()).stdin(Stdio::null());
        if self.flag("escape") {
            child.process_group(0);
        }
        child.spawn().expect("`sleep` can be run");
    }
}

fn set(object: &mut serde_json::Map<String, Value>, key: &str, value: Value) {
    object.insert(key.to_string(), value);
}

/// The reader may be gone, and that is then the test.
fn say(bytes: &[u8]) -> u8 {
    let mut stdout = io::stdout();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
    0
}

fn say_aside(bytes: &[u8]) {
    let _ = io::stderr().write_all(bytes);
}

fn flood(to: &mut impl Write, bytes: u64) -> u8 {
    let chunk = [b'x'; 64 * 1024];
    let mut left = bytes;
    while left > 0 {
        let count = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if to.write_all(chunk.get(..count).unwrap_or_default()).is_err() {
            break;
        }
        left -= count as u64;
    }
    0
}

/// This process goes on as a shell, with the same process id and the same pipes.
fn become_shell(script: &str) -> u8 {
    let error = Command::new("sh").args(["-c", script]).exec();
    panic!("`sh` cannot be run: {error}");
}

/// How many calls there were, this one included: one byte each, so that calls beside each other do not lose one.
fn count(path: &str) -> u64 {
    let counter = File::options().create(true).append(true).open(path);
    let counter = counter.and_then(|mut file| file.write_all(b".").and_then(|()| file.metadata()));
    counter.expect("the counter can be written").len()
}
