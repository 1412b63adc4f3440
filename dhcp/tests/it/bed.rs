//! A host with a bridge, pods, the daemon, and the plugins as a runtime executes them.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use manifold_e2e::executable;
use manifold_e2e::netns::{HostNs, TestNetns};
use serde_json::{Value, json};

/// Long enough for a busy machine; nothing waits so long unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Bed {
    pub(crate) host: HostNs,
    pub(crate) folder: tempfile::TempDir,
    daemon: Option<Child>,
}

pub(crate) struct Answer {
    pub(crate) ok: bool,
    pub(crate) json: Value,
}

pub(crate) fn manifold() -> PathBuf {
    match std::env::var_os("MANIFOLD_EXECUTABLE").filter(|path| !path.is_empty()) {
        Some(path) => path.into(),
        None => executable::executable("manifold").unwrap(),
    }
}

/// Waits until something is so, and says what was waited for when it never is.
#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    wait_until_within(what, PATIENCE, is_so);
}

pub(crate) fn wait_until_within(what: &str, patience: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Bed {
    /// With a bridge `br0` that has 10.77.0.1/24, and `m0`, a link behind it for macvlan.
    pub(crate) fn new() -> Self {
        let bed = Self::without_daemon();
        let mut bed = bed;
        bed.start_daemon(&[]);
        bed
    }

    pub(crate) fn without_daemon() -> Self {
        let bed = Self { host: HostNs::new().unwrap(), folder: tempfile::tempdir().unwrap(), daemon: None };
        for words in [
            "ip link set lo up",
            "ip link add br0 type bridge",
            "ip addr add 10.77.0.1/24 dev br0",
            "ip link set br0 up",
            "ip link add m0 type veth peer name m1",
            "ip link set m1 master br0 up",
            "ip link set m0 up",
            // Broadcasts of the server to 255.255.255.255 need a way.
            "ip route add default dev br0",
        ] {
            bed.host.exec(&words.split(' ').collect::<Vec<_>>()).unwrap();
        }
        bed
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("run/dhcp.sock")
    }

    pub(crate) fn start_daemon(&mut self, more: &[&str]) {
        let mut command = Command::new(manifold());
        command.args(["dhcp", "daemon", "-socketpath"]).arg(self.socket());
        command.arg("-statedir").arg(self.path("leases")).args(more);
        self.start(command);
        let socket = self.socket();
        wait_until("the daemon listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    }

    pub(crate) fn start(&mut self, mut command: Command) {
        let log = fs::File::options().create(true).append(true).open(self.path("daemon.log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.daemon = Some(manifold_e2e::child::spawn_for_life(command).unwrap());
    }

    pub(crate) fn daemon_pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    /// As a crash does.
    pub(crate) fn kill_daemon(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    pub(crate) fn end_daemon(&mut self) -> std::process::ExitStatus {
        let mut daemon = self.daemon.take().unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        daemon.wait().unwrap()
    }

    pub(crate) fn daemon_said(&self) -> String {
        fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    pub(crate) fn lease_files(&self) -> usize {
        // A lease that is just renewed has a second file under a name of its own, for a moment.
        let names = fs::read_dir(self.path("leases")).into_iter().flatten().flatten();
        names.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "json")).count()
    }

    /// `bridge` or `macvlan` with the addresses of DHCP.
    pub(crate) fn conf(&self, kind: &str, ipam: Value) -> Value {
        let mut conf = json!({"cniVersion": "1.1.0", "name": "dhcp-net", "type": kind, "ipam": ipam});
        conf["ipam"]["type"] = json!("dhcp");
        conf["ipam"]["daemonSocketPath"] = json!(self.socket());
        match kind {
            "bridge" => conf["bridge"] = json!("br0"),
            "macvlan" => conf["master"] = json!("m0"),
            _ => {}
        }
        conf
    }

    /// Executes a plugin as a runtime does, on the bed's host.
    pub(crate) fn call(&self, verb: &str, conf: &Value, at: Option<(&str, &Path)>, args: &str) -> Answer {
        let mut command = self.host.netns().command(manifold()).unwrap();
        command.arg0(conf["type"].as_str().unwrap());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("CNI_COMMAND", verb).env("CNI_PATH", "/nowhere").env("CNI_ARGS", args);
        if let Some((id, netns)) = at {
            command.env("CNI_CONTAINERID", id).env("CNI_IFNAME", "eth0");
            if netns != Path::new("") {
                command.env("CNI_NETNS", netns);
            }
        }
        answer(&executed(command, conf))
    }

    pub(crate) fn add(&self, conf: &Value, id: &str, pod: &TestNetns) -> Answer {
        self.call("ADD", conf, Some((id, pod.path())), "")
    }

    pub(crate) fn del(&self, conf: &Value, id: &str, pod: &TestNetns) -> Answer {
        self.call("DEL", conf, Some((id, pod.path())), "")
    }

    /// A pod with a link of its own on the bridge, for the plugin `dhcp` alone.
    pub(crate) fn linked_pod(&self, name: &str) -> TestNetns {
        let pod = TestNetns::new().unwrap();
        self.host.veth_to(&pod, name, "eth0").unwrap();
        self.host.exec(&["ip", "link", "set", name, "master", "br0", "up"]).unwrap();
        // The kernel lets frames through a moment later.
        let port = ["bridge", "link", "show", "dev", name];
        wait_until("the port forwards", || self.host.exec(&port).unwrap().contains("state forwarding"));
        pod
    }

    /// The `dhcp` plugin's own configuration.
    pub(crate) fn dhcp(&self, ipam: Value) -> Value {
        self.conf("dhcp", ipam)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "the daemon said:\n{}", self.daemon_said());
        }
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn good(self) -> Value {
        assert!(self.ok, "{}", self.json);
        self.json
    }

    /// Code and text of the refusal.
    #[track_caller]
    pub(crate) fn bad(self) -> (u64, String) {
        assert!(!self.ok, "{}", self.json);
        let text = format!("{} {}", self.json["msg"].as_str().unwrap(), self.json["details"]);
        (self.json["code"].as_u64().unwrap(), text)
    }
}

fn executed(mut command: Command, conf: &Value) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(conf.to_string().as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn answer(output: &Output) -> Answer {
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Answer { ok: output.status.success(), json }
}

/// The one IPv4 address of a result, without its prefix.
pub(crate) fn address(result: &Value) -> String {
    result["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap().to_owned()
}
