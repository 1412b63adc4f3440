//! A node: containerd with runc, the kubelet, kube-proxy, each on the node's own machine.
//!
//! A node can be killed and booted again: `/run` and all namespaces of pods are gone then, as after a power cut, and what
//! lies on the disk is still there.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::control_plane::POD_CIDR;
use super::daemon::Daemon;
use super::machine::Machine;
use super::place::Place;
use super::{cgroups, images, settings, sweep, underlay};

/// A runtime that does not answer by then never will, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A part of containerd's configuration, in the cluster's folder, where the folders are others than usual.
pub(super) const CNI_FOLDERS: &str = "cni.toml";

#[derive(Debug)]
pub struct Node {
    place: Place,
    executable: PathBuf,
    machine: Machine,
    number: usize,
}

impl Node {
    /// `number` counts from 1.
    pub(super) fn new(place: &Place, executable: &Path, number: usize) -> Self {
        let machine = Machine::new(place, &name(number));
        Self { place: place.clone(), executable: executable.to_owned(), machine, number }
    }

    pub fn name(&self) -> &str {
        self.machine.name()
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    pub fn address(&self) -> String {
        underlay::node_address(self.number)
    }

    /// Runs a program on the node; anything but success is an error that repeats what it said.
    pub fn exec(&self, words: &[&str]) -> anyhow::Result<String> {
        self.machine.exec(words)
    }

    /// A file of the node as it is seen from outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.machine.path(inside)
    }

    /// Writes a file of the node, with the folders above it.
    pub fn write(&self, inside: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path(inside);
        let folder = path.parent().context("a file lies in a folder")?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("cannot write `{inside}` of `{}`", self.name()))
    }

    /// Starts what does not run. The images are imported while the kubelet starts.
    pub fn start(&self) -> anyhow::Result<()> {
        self.start_runtime()?;
        self.import(&images::all(&self.place)?)?;
        self.start_kubelet()?;
        self.start_proxy()
    }

    pub fn start_runtime(&self) -> anyhow::Result<()> {
        let folders = fs::read_to_string(self.place.join(CNI_FOLDERS)).unwrap_or_default();
        self.write("/run/containerd.toml", &format!("{}{folders}", settings::CONTAINERD))?;
        let mut command = self.machine.command("containerd")?;
        command.args(["--config", "/run/containerd.toml"]);
        let runtime = self.daemon("containerd");
        runtime.start(command)?;
        let deadline = Instant::now() + PATIENCE;
        while !self.machine.try_exec(&["ctr", "version"])?.status.success() {
            runtime.must_run()?;
            if Instant::now() > deadline {
                bail!("containerd of `{}` does not answer after {PATIENCE:?}", self.name());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    pub fn start_kubelet(&self) -> anyhow::Result<()> {
        let cgroup = self.cgroup();
        cgroups::make(&cgroup)?;
        fs::create_dir_all(self.path("/var/lib/kubelet/manifests")).context("cannot make a folder")?;
        let authority = self.place.pki("ca.crt");
        let text = settings::kubelet(&self.address(), &cgroup, &authority.display().to_string());
        self.write("/var/lib/kubelet/config.yaml", &text)?;
        let mut command = self.machine.command(&self.executable)?;
        let kubeconfig = self.place.join(format!("{}.kubeconfig", self.name()));
        command.arg("kubelet").args([
            "--config=/var/lib/kubelet/config.yaml",
            &format!("--kubeconfig={}", kubeconfig.display()),
            &format!("--hostname-override={}", self.name()),
            &format!("--node-ip={}", self.address()),
            "--root-dir=/var/lib/kubelet",
            "--cert-dir=/var/lib/kubelet/pki",
            "--v=2",
        ]);
        self.daemon("kubelet").start(command)
    }

    fn start_proxy(&self) -> anyhow::Result<()> {
        let mut command = self.machine.command(&self.executable)?;
        let kubeconfig = self.place.join("proxy.kubeconfig");
        command.arg("kube-proxy").args([
            &format!("--kubeconfig={}", kubeconfig.display()),
            "--proxy-mode=nftables",
            &format!("--hostname-override={}", self.name()),
            &format!("--cluster-cidr={POD_CIDR}"),
            "--healthz-bind-address=127.0.0.1:10256",
            "--metrics-bind-address=127.0.0.1:10249",
            // The machine's limits are not the node's to set.
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ]);
        self.daemon("kube-proxy").start(command)
    }

    /// One of `containerd`, `kubelet` and `kube-proxy`.
    pub fn daemon(&self, component: &str) -> Daemon {
        Daemon::new(&self.place, &format!("{component}-{}", self.name()))
    }

    /// Starts a daemon of somebody else on the node. [`Node::daemon`] finds it again, and it ends with the cluster.
    pub fn run(&self, name: &str, words: &[&str]) -> anyhow::Result<()> {
        let (program, arguments) = words.split_first().context("no program was named")?;
        let mut command = self.machine.command(program)?;
        command.args(arguments);
        self.daemon(name).start(command)
    }

    /// Every process of the node, those of its pods included.
    pub fn processes(&self) -> Vec<u32> {
        let all = sweep::inhabitants(&self.machine, &self.cgroup());
        all.into_iter().filter_map(|known| u32::try_from(known.pid).ok()).collect()
    }

    /// Kills the runtime and starts it again. Pods go on meanwhile, as their shims do.
    pub fn restart_runtime(&self) -> anyhow::Result<()> {
        self.daemon("containerd").kill()?;
        self.start_runtime()
    }

    /// Kills everything on the node at once. The disk stays as it was in that moment.
    pub fn power_off(&self) -> anyhow::Result<()> {
        for component in ["kubelet", "containerd", "kube-proxy"] {
            self.daemon(component).kill()?;
        }
        sweep::kill_all(&self.machine, &self.cgroup())?;
        cgroups::remove(&self.cgroup())?;
        self.machine.delete();
        Ok(())
    }

    /// Makes the machine anew around its old disk, without what does not survive a boot.
    pub(super) fn power_on(&self, control_plane: &Machine) -> anyhow::Result<()> {
        let run = self.path("/run");
        fs::remove_dir_all(&run).with_context(|| format!("cannot empty `{}`", run.display()))?;
        self.machine.make()?;
        underlay::plug_in(control_plane, &self.machine, self.number)
    }

    /// Puts archives of images where the kubelet looks for them.
    pub fn import(&self, archives: &[PathBuf]) -> anyhow::Result<()> {
        for archive in archives {
            let archive = archive.display().to_string();
            self.exec(&["ctr", "--namespace", "k8s.io", "images", "import", &archive])?;
        }
        Ok(())
    }

    pub(super) fn cgroup(&self) -> String {
        self.place.cgroup(self.name())
    }
}

pub(super) fn name(number: usize) -> String {
    format!("node{number}")
}
