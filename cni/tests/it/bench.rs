//! A folder with fake plugins, and ways to call them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use manifold_cni::{CniArgs, CniError, Delegate, Executed, Invocation, PluginType, Verb, find};
use serde_json::Value;

pub(crate) struct Bench(tempfile::TempDir);

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Installs a shell script as plugin. `$D` in it is the bench's folder.
    pub(crate) fn script(&self, name: &str, body: &str) -> &Self {
        let draft = self.path().join(".draft");
        fs::write(&draft, format!("#!/bin/sh\nD={}\n{body}\n", self.path().display())).expect("written");
        self.install(&draft, name)
    }

    /// By another process: had this one the file open for writing while a neighbouring test forks, nobody could execute
    /// it.
    fn install(&self, from: &Path, name: &str) -> &Self {
        let made = Command::new("install").args(["-m", "755"]).arg(from).arg(self.path().join(name)).status();
        assert!(made.expect("`install` is there").success(), "{name} cannot be installed");
        self
    }

    /// Installs the example plugin under a name.
    pub(crate) fn example(&self, name: &str) -> &Self {
        let example = std::env::current_exe().expect("a test executable");
        let example = example.ancestors().nth(2).expect("target/<profile>").join("examples/minimal");
        assert!(example.is_file(), "build the example first: cargo build -p manifold-cni --examples");
        self.install(&example, name)
    }

    /// What a script wrote into the bench's folder.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).expect("JSON")
    }

    pub(crate) fn executed(&self, name: &str) -> Executed {
        let kind: PluginType = name.parse().expect("a type");
        let path = find(&kind, &[self.path().to_owned()]).expect("installed");
        Executed::new(kind, path)
    }

    pub(crate) fn call(&self, name: &str, verb: Verb, config: &str) -> Result<Vec<u8>, CniError> {
        call(&self.executed(name), verb, config, Duration::from_secs(120))
    }

    /// Runs an installed plugin as a runtime does, with these variables beside the usual ones.
    pub(crate) fn run(&self, name: &str, command: &str, config: &Value, more: &[(&str, &str)]) -> Output {
        let mut child = self.start(name, command, more);
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(config.to_string().as_bytes()).expect("written");
        drop(stdin);
        child.wait_with_output().expect("ends")
    }

    pub(crate) fn start(&self, name: &str, command: &str, more: &[(&str, &str)]) -> std::process::Child {
        let mut plugin = Command::new(self.path().join(name));
        plugin.env_clear().envs(self.environment(command)).envs(more.iter().copied());
        plugin.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            match plugin.spawn() {
                Ok(child) => return child,
                // A neighbouring test forked while this one wrote the file; the fork has it open until it execs.
                Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(e) => panic!("{name} does not start: {e}"),
            }
        }
    }

    pub(crate) fn environment(&self, command: &str) -> BTreeMap<String, String> {
        let path = self.path().display().to_string();
        [
            ("PATH", "/usr/bin:/bin"),
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", "c1"),
            ("CNI_NETNS", "/run/netns/nowhere"),
            ("CNI_IFNAME", "eth0"),
            ("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=cart"),
            ("CNI_PATH", &path),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
    }
}

pub(crate) fn call(
    plugin: &Executed,
    verb: Verb,
    config: &str,
    patience: Duration,
) -> Result<Vec<u8>, CniError> {
    let folder: PathBuf = plugin.path().parent().expect("in a folder").to_owned();
    plugin.call(&Invocation {
        verb,
        container: Some(&"c1".parse().expect("an id")),
        netns: Some("/run/netns/nowhere".into()),
        ifname: Some(&"eth0".parse().expect("a name")),
        args: CniArgs::parse("K8S_POD_NAME=cart"),
        path: &[folder],
        config: config.as_bytes().to_vec(),
        deadline: Instant::now() + patience,
    })
}

/// Waits, at most a minute, until `done` says so.
#[track_caller]
pub(crate) fn eventually(what: &str, done: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < until, "{what} did not happen within a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process runs: a zombie that nobody collects does not.
pub(crate) fn lives(pid: &str) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", pid.trim())) else { return false };
    !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
}
