//! Podman of the distribution, with a plugin folder of ours, on a machine of its own.
//!
//! The machine is a network, mount and process namespace: `/run`, `/var/lib` and `/dev/shm`, where Podman, its runtime and the
//! plugins keep what they know, are folders of the test. Its first process ends with the test, and takes the containers along.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::cluster::cgroups;
use crate::netns::{HostNs, said};
use crate::{child, executable};

const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 8] = ["cat", "httpd", "ip", "nc", "ping", "sh", "sleep", "wget"];
/// The machine's own: what is there, and the folder of the test that takes its place.
const OWN: [(&str, &str); 3] = [("/run", "run"), ("/var/lib", "lib"), ("/dev/shm", "shm")];
/// Says its number as this process knows it, and collects what the containers leave.
const INIT: &str = r#"
read -r pid rest </proc/self/stat
mount -t proc proc /proc || exit
while [ $# -gt 0 ]; do mount --bind "$2" "$1" || exit; shift 2; done
mkdir -p /run/netns
echo "$pid"
while :; do sleep 3600 & wait $!; done
"#;

/// A machine with Podman. Containers run from one root folder that has little but busybox.
#[derive(Debug)]
pub struct Podman<'h> {
    host: &'h HostNs,
    first: Child,
    first_pid: u32,
    cgroup: String,
}

impl<'h> Podman<'h> {
    /// The executable stands in the plugin folder under each of the names, and nothing else does.
    pub fn new(host: &'h HostNs, plugin: &Path, names: &[&str]) -> anyhow::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        for (_, folder) in OWN {
            make_folder(&host.folder().join(folder))?;
        }
        executable::install(plugin, &host.folder().join("bin"), names)?;
        make_root(&host.folder().join("root"))?;
        make_folder(&host.folder().join("net.d"))?;
        let settings = host.folder().join("containers.conf");
        fs::write(&settings, settings_of(host.folder())).context("cannot write Podman's settings")?;
        let (first, first_pid) = start_machine(host)?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("manifold-podman-{}-{number}", std::process::id());
        Ok(Self { host, first, first_pid, cgroup })
    }

    /// Puts a network definition where `podman network create` puts its own.
    pub fn define(&self, list: &Value) -> anyhow::Result<()> {
        let name = list.get("name").and_then(Value::as_str).context("the list has no name")?;
        let file = self.host.folder().join("net.d").join(format!("{name}.conflist"));
        fs::write(&file, list.to_string()).with_context(|| format!("cannot write `{}`", file.display()))
    }

    /// A folder of the machine as it is seen from outside.
    pub fn lib(&self, below: &str) -> PathBuf {
        self.host.folder().join("lib").join(below)
    }

    /// `podman WORDS`, which must succeed. What it prints, without the line's end.
    pub fn exec(&self, words: &[&str]) -> anyhow::Result<String> {
        let output = self.try_exec(words)?;
        Ok(said(&format!("podman {}", words.join(" ")), &output)?.trim_end().to_owned())
    }

    /// The same for what may fail.
    pub fn try_exec(&self, words: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first_pid.to_string(), "--net", "--mount", "--pid", "podman"]);
        command.args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/var/lib");
        command.env("CONTAINERS_CONF", self.host.folder().join("containers.conf")).stdin(Stdio::null());
        command.output().context("cannot run `nsenter`")
    }

    /// `podman run --detach` of a program of busybox, under a name and with more options.
    pub fn run(&self, name: &str, options: &[&str], program: &[&str]) -> anyhow::Result<String> {
        let (cgroup, root) = (format!("/{}", self.cgroup), self.host.folder().join("root"));
        let root = root.to_str().context("a temporary folder with an odd name")?;
        let fixed = ["run", "--detach", "--cgroup-parent", &cgroup, "--name", name];
        self.exec(&[&fixed[..], options, &["--rootfs", root], program].concat())
    }

    /// What `podman inspect` says of a container.
    pub fn inspect(&self, name: &str) -> anyhow::Result<Value> {
        let mut all: Vec<Value> = serde_json::from_str(&self.exec(&["inspect", name])?)?;
        all.pop().context("`podman inspect` named no container")
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        // With `unshare` its first process ends, and with that every other of the machine.
        let _ = self.first.kill();
        let _ = self.first.wait();
        // An empty group that stays does no harm.
        let _ = cgroups::remove(&self.cgroup);
    }
}

fn make_folder(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make `{}`", path.display()))
}

fn make_root(root: &Path) -> anyhow::Result<()> {
    for folder in ["bin", "dev", "etc", "proc", "run", "sys", "tmp", "www"] {
        make_folder(&root.join(folder))?;
    }
    executable::install(Path::new(BUSYBOX), &root.join("bin"), &["busybox"])?;
    for applet in APPLETS {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).context("cannot make a link")?;
    }
    fs::write(root.join("www/index.html"), "served by a container\n").context("cannot write a page")
}

/// Limits that every machine grants, a runtime that knows both versions of cgroups, and nothing of systemd's.
fn settings_of(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[network]
network_backend = "cni"
cni_plugin_dirs = ["{folder}/bin"]
network_config_dir = "{folder}/net.d"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
"#
    )
}

fn start_machine(host: &HostNs) -> anyhow::Result<(Child, u32)> {
    let mut command = host.netns().command("unshare")?;
    command.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]);
    command.args(["sh", "-c", INIT, "init"]);
    for (place, folder) in OWN {
        command.arg(place).arg(host.folder().join(folder));
    }
    let mut first = child::spawn_for_life({
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        command
    })
    .context("cannot run `unshare`")?;
    let mut line = String::new();
    let out = first.stdout.take().expect("stdout was asked to be a pipe");
    BufReader::new(out).read_line(&mut line).context("the machine's first process says nothing")?;
    match line.trim().parse() {
        Ok(pid) => Ok((first, pid)),
        Err(_) => bail!("the machine for Podman could not be made"),
    }
}
