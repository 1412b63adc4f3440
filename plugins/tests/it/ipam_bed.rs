//! A data folder of its own, and two ways to call an IPAM plugin: ours through the skeleton, the reference's executable.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends where it cannot go on")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use manifold_cni::{Attachment, Input, Plugin, RawObject, skel};
use serde_json::{Value, json};

/// The network of every test here.
pub(crate) const NETWORK: &str = "net";

/// Debian's package with the reference plugins.
const PACKAGE: &str = "containernetworking-plugins";

pub(crate) struct Bed {
    dir: tempfile::TempDir,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.data_dir().join(NETWORK)
    }

    pub(crate) fn lease(&self, ip: &str) -> PathBuf {
        self.folder().join(ip)
    }

    /// Every file of the network's folder with its content; none when the folder is missing.
    pub(crate) fn files(&self) -> BTreeMap<String, String> {
        let Ok(listing) = std::fs::read_dir(self.folder()) else { return BTreeMap::new() };
        let content = |path: PathBuf| String::from_utf8(std::fs::read(path).unwrap()).unwrap();
        listing
            .map(|e| e.unwrap())
            .map(|e| (e.file_name().into_string().unwrap(), content(e.path())))
            .collect()
    }

    /// The leases alone.
    pub(crate) fn leases(&self) -> BTreeMap<String, String> {
        let mut files = self.files();
        files.retain(|name, _| name.parse::<std::net::IpAddr>().is_ok());
        files
    }

    /// A configuration of version 1.0.0, the newest that the reference of Debian knows. `ipam` gets its `dataDir`.
    pub(crate) fn config(&self, ipam: Value) -> Value {
        let mut config = json!({"cniVersion": "1.0.0", "name": NETWORK, "type": "bridge", "ipam": ipam});
        config["ipam"]["type"] = json!("host-local");
        config["ipam"]["dataDir"] = json!(self.data_dir());
        config
    }

    /// The same in 1.1.0, for STATUS and GC.
    pub(crate) fn newest(&self, ipam: Value) -> Value {
        let mut config = self.config(ipam);
        config["cniVersion"] = json!("1.1.0");
        config
    }
}

/// The configuration as a plugin gets it, with more time than it needs.
pub(crate) fn input(config: &Value) -> Input {
    Input {
        version: config["cniVersion"].as_str().unwrap().parse().unwrap(),
        name: NETWORK.parse().unwrap(),
        config: RawObject::parse(config.to_string().as_bytes()).unwrap(),
        prev_result: None,
        path: Vec::new(),
        deadline: Instant::now() + Duration::from_secs(90),
    }
}

pub(crate) fn attachment(id: &str) -> Attachment {
    Attachment {
        container: id.parse().unwrap(),
        netns: "/nonexistent/netns".into(),
        ifname: "eth0".parse().unwrap(),
        args: Default::default(),
    }
}

/// What one call is about.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) verb: &'static str,
    pub(crate) id: String,
    pub(crate) ifname: String,
    pub(crate) args: String,
}

pub(crate) fn add(id: &str) -> Call {
    call("ADD", id)
}

pub(crate) fn del(id: &str) -> Call {
    call("DEL", id)
}

pub(crate) fn call(verb: &'static str, id: &str) -> Call {
    Call { verb, id: id.into(), ifname: "eth0".into(), args: String::new() }
}

impl Call {
    pub(crate) fn args(mut self, args: &str) -> Self {
        self.args = args.into();
        self
    }

    pub(crate) fn ifname(mut self, ifname: &str) -> Self {
        self.ifname = ifname.into();
        self
    }

    fn var(&self, key: &str) -> Option<String> {
        Some(match key {
            "CNI_COMMAND" => self.verb.into(),
            "CNI_CONTAINERID" => self.id.clone(),
            "CNI_IFNAME" => self.ifname.clone(),
            // IPAM never looks at it.
            "CNI_NETNS" => "/nonexistent/netns".into(),
            "CNI_PATH" => "/nonexistent".into(),
            "CNI_ARGS" if !self.args.is_empty() => self.args.clone(),
            _ => return None,
        })
    }
}

/// What a call printed, and whether it succeeded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) success: bool,
    /// `null` when stdout was empty.
    pub(crate) stdout: Value,
    pub(crate) stderr: String,
}

impl Answer {
    fn new(success: bool, stdout: &[u8], stderr: &[u8]) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let stdout = match text(stdout).trim() {
            "" => Value::Null,
            json => serde_json::from_str(json).unwrap_or_else(|e| panic!("stdout is not JSON ({e}): {json}")),
        };
        Self { success, stdout, stderr: text(stderr) }
    }

    /// The addresses of a successful ADD, with their prefix lengths.
    #[track_caller]
    pub(crate) fn ips(&self) -> Vec<String> {
        assert!(self.success, "{}", self.stdout);
        let ips = self.stdout["ips"].as_array().expect("a result of 0.3.0 or later has `ips`");
        ips.iter().map(|ip| ip["address"].as_str().unwrap().to_owned()).collect()
    }

    /// The result as newer versions of the reference print it.
    pub(crate) fn without_empty_dns(&self) -> Value {
        let mut result = self.stdout.clone();
        if result["dns"] == json!({}) {
            result.as_object_mut().unwrap().remove("dns");
        }
        result
    }

    #[track_caller]
    pub(crate) fn ok(&self) {
        assert!(self.success, "{}", self.stdout);
    }

    /// It failed with this code, and its words have `part` in them.
    #[track_caller]
    pub(crate) fn failed(&self, code: u32, part: &str) {
        assert!(!self.success, "{}", self.stdout);
        assert_eq!(self.stdout["code"], json!(code), "{}", self.stdout);
        assert!(self.stdout.to_string().contains(part), "{}", self.stdout);
    }
}

/// Calls a plugin of ours as its executable would be called.
pub(crate) fn ours(plugin: &dyn Plugin, call: &Call, config: &Value) -> Answer {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let exit = skel::serve(
        plugin,
        skel::Surroundings {
            var: &|key| call.var(key),
            stdin: &mut config.to_string().as_bytes(),
            stdout: &mut stdout,
            stderr: &mut stderr,
        },
    );
    Answer::new(exit == 0, &stdout, &stderr)
}

/// Calls the reference's executable.
pub(crate) fn reference(name: &str, call: &Call, config: &Value) -> Answer {
    let path = Path::new("/usr/lib/cni").join(name);
    assert!(path.exists(), "`{}` is missing: install the package `{PACKAGE}`", path.display());
    let mut command = Command::new(path);
    command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for key in ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS", "CNI_PATH", "CNI_ARGS"] {
        command.envs(call.var(key).map(|value| (key, value)));
    }
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Answer::new(output.status.success(), &output.stdout, &output.stderr)
}
