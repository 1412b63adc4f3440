//! A node without an API server, for many rounds: networks and pods come from a folder of manifests, all state is in memory.
//!
//! A bed belongs to one thread, which has a mount namespace of its own: what the machine has in `/var/lib`, its boot id and
//! the lock of host ports are the bed's.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Pid;
use serde_json::{Map, Value, json};

use super::networks::Topology;
use super::tracer::{self, Fault, Leash, Traced};
use crate::child;
use crate::janitor;
use crate::leaks::{Glance, Oracle, Snapshot};
use crate::netns::{HostNs, TestNetns};
use crate::runtime::{ANNOTATIONS, CallOutcome, Pod, Runtime};

const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// The name of a bed's configuration list.
pub const NETWORK: &str = "manifold";
/// A call that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(100);
/// How long the kernel may take to remove links and namespaces on a busy machine.
const SETTLE: Duration = Duration::from_secs(20);

/// The node and its executables.
#[derive(Debug)]
pub struct Bed {
    host: HostNs,
    executable: PathBuf,
    topology: Topology,
    calls: u32,
}

/// A pod's sandbox.
#[derive(Debug)]
pub struct Sandbox {
    pub netns: TestNetns,
    pub pod: Pod,
}

impl Sandbox {
    /// The same for a pod that asks for these networks.
    #[must_use]
    pub fn asking(mut self, networks: &str) -> Self {
        self.pod = self.pod.annotated(NETWORKS, networks);
        self
    }
}

/// How one call is made.
#[derive(Clone, Copy, Debug)]
pub struct How {
    pub fault: Fault,
    /// How many seconds later than now the call believes to be.
    pub later: u64,
}

impl How {
    pub const PLAIN: Self = Self { fault: Fault::None, later: 0 };

    pub fn with(fault: Fault) -> Self {
        Self { fault, later: 0 }
    }
}

/// The call's words, and what the tracer saw of it.
#[derive(Debug)]
pub struct Made {
    pub outcome: CallOutcome,
    /// None: it was not traced.
    pub traced: Option<Traced>,
}

impl Bed {
    /// Makes one for the calling thread, which must not be used for anything else afterwards.
    pub fn on_this_thread(executable: &Path, topology: Topology) -> anyhow::Result<Self> {
        // It must see the machine's mounts, so it is started before this thread has others.
        janitor::folder(Path::new("/tmp/manifold-test-nothing")).context("cannot start the janitor")?;
        unshare(CloneFlags::CLONE_NEWNS).context("no mount namespace; tests of this kind run as root")?;
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .context("cannot keep mounts private")?;
        let host = HostNs::new()?;
        let bed = Self { host, executable: executable.to_owned(), topology, calls: 0 };
        let on = |what: &str| format!("cannot mount over `{what}`");
        mount(Some("tmpfs"), bed.host.folder(), Some("tmpfs"), MsFlags::empty(), Some("mode=0700"))
            .with_context(|| on("folder"))?;
        for folder in ["lib/cni", "bin", "conf", "manifests", "io"] {
            fs::create_dir_all(bed.folder(folder)).context("cannot make a folder of the bed")?;
        }
        bed.boot("first-boot")?;
        fs::write(bed.folder("ports"), "").context("cannot write a file of the bed")?;
        fs::write("/run/manifold-host-ports.lock", "")
            .context("cannot make the file of the lock of host ports")?;
        for (ours, place) in [
            ("lib", "/var/lib"),
            ("boot", "/proc/sys/kernel/random/boot_id"),
            ("ports", "/run/manifold-host-ports.lock"),
        ] {
            mount(Some(&bed.folder(ours)), place, none, MsFlags::MS_BIND, none).with_context(|| on(place))?;
        }
        bed.make_links()?;
        let manifests = topology.manifests(&bed.host);
        fs::write(bed.folder("manifests/networks.yaml"), manifests).context("cannot write the manifests")?;
        topology.install(&bed.folder("bin"))?;
        Ok(bed)
    }

    /// A second card with its wire, and forwarding as on every node of Kubernetes.
    fn make_links(&self) -> anyhow::Result<()> {
        self.host.exec(&["ip", "link", "add", "eth1", "type", "veth", "peer", "name", "wire"])?;
        for link in ["eth1", "wire"] {
            self.host.exec(&["ip", "link", "set", link, "up"])?;
        }
        for link in ["eth1", "wire"] {
            self.host.netns().wait_for_own_address(link)?;
        }
        for switch in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            self.host.exec(&["sh", "-c", &format!("echo 1 > /proc/sys/{switch}")])?;
        }
        Ok(())
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.host.folder().join(name)
    }

    pub fn topology(&self) -> Topology {
        self.topology
    }

    /// The machine seems to have this boot id.
    pub fn boot(&self, id: &str) -> anyhow::Result<()> {
        fs::write(self.folder("boot"), format!("{id}\n")).context("cannot write the boot id")
    }

    /// The node's ledger.
    pub fn state(&self) -> PathBuf {
        self.folder("lib/cni/manifold")
    }

    /// An empty sandbox of a pod that asks for all networks of the topology.
    pub fn sandbox(&self) -> anyhow::Result<Sandbox> {
        let netns = TestNetns::new()?;
        let pod = self.pod(&netns);
        Ok(Sandbox { netns, pod })
    }

    /// Another sandbox in the same namespace, which must be empty again.
    pub fn pod(&self, netns: &TestNetns) -> Pod {
        let networks = self.topology.selection();
        let mut pod = Pod::new(netns, "default", "cart");
        if !networks.is_empty() {
            pod = pod.annotated(NETWORKS, networks);
        }
        pod.capability_args.insert("portMappings".into(), self.topology.ports());
        pod
    }

    fn entry(&self) -> Map<String, Value> {
        let entry = json!({
            "cniVersion": "1.1.0", "name": NETWORK, "type": "manifold",
            "capabilities": {ANNOTATIONS: true, "portMappings": true},
            "clusterNetwork": "cluster-wide-network", "manifests": self.folder("manifests"),
            "binDir": self.folder("bin"), "confDir": self.folder("conf"), "cniDir": self.folder("multus"),
            "deviceInfoDir": self.folder("devinfo"), "check": "all",
        });
        entry.as_object().cloned().unwrap_or_default()
    }

    /// A runtime that is configured with this node.
    pub fn runtime(&self) -> anyhow::Result<Runtime<'_>> {
        let list = json!({"cniVersion": "1.1.0", "name": NETWORK, "plugins": [self.entry()]});
        let mut runtime = Runtime::new(&self.executable, &list.to_string(), &self.host)?;
        runtime.cni_path = vec![self.folder("bin")];
        runtime.patience = PATIENCE;
        Ok(runtime)
    }

    /// A pod comes and goes, so that what stays for good is there; the namespace comes to rest.
    pub fn warm(&mut self, sandbox: &Sandbox) -> anyhow::Result<()> {
        for verb in ["ADD", "DEL"] {
            let made = self.call(verb, &sandbox.pod, None, How::PLAIN)?;
            ensure!(made.outcome.succeeded(), "{verb} on a fresh bed: {}", made.outcome);
        }
        let mut last = self.snapshot(&[sandbox])?;
        for _ in 0..50 {
            std::thread::sleep(Duration::from_millis(30));
            let next = self.snapshot(&[sandbox])?;
            if last.diff(&next).iter().all(|leak| leak.starts_with("machine: network namespace")) {
                return Ok(());
            }
            last = next;
        }
        bail!("the bed does not come to rest")
    }

    /// ADD, DEL or CHECK. `previous` is the result that a runtime would hand over.
    pub fn call(&mut self, verb: &str, pod: &Pod, previous: Option<Value>, how: How) -> anyhow::Result<Made> {
        let runtime = self.runtime()?;
        let variables = runtime.environment(verb, Some(pod))?;
        let input = runtime.attachment_input(pod, previous).to_string();
        drop(runtime);
        let mut command = Command::new(&self.executable);
        command.env_clear().envs(variables);
        self.make(command, &input, how)
    }

    /// GC, with what the runtime knows to be alive.
    pub fn gc(&mut self, alive: &[&Pod], how: How) -> anyhow::Result<Made> {
        let mut input = self.entry();
        let alive: Vec<Value> =
            alive.iter().map(|pod| json!({"containerID": pod.container_id, "ifname": pod.ifname})).collect();
        input.insert("cni.dev/valid-attachments".into(), alive.into());
        let variables = self.runtime()?.environment("GC", None)?;
        let mut command = Command::new(&self.executable);
        command.env_clear().envs(variables);
        self.make(command, &Value::from(input).to_string(), how)
    }

    /// What the idle sweep starts for a sandbox that nobody deletes.
    pub fn undo_forgotten(&mut self, pod: &Pod, how: How) -> anyhow::Result<Made> {
        let variables = self.runtime()?.environment("DEL", None)?;
        let mut command = Command::new(&self.executable);
        command.arg0("manifold").args(["undo-forgotten", &pod.container_id]).env_clear().envs(variables);
        let input = Value::from(self.entry()).to_string();
        self.make(command, &input, how)
    }

    fn make(&mut self, mut command: Command, input: &str, how: How) -> anyhow::Result<Made> {
        self.calls += 1;
        let file = |name: &str| self.folder(&format!("io/{name}"));
        let open = |name: &str| File::create(file(name)).context("cannot make a file of the bed");
        fs::write(file("in"), input).context("cannot write the input of a call")?;
        command.stdin(File::open(file("in")).context("cannot open the input of a call")?);
        command.stdout(open("out")?).stderr(open("err")?).current_dir("/").process_group(0);
        child::enter_netns(&mut command, self.host.path())?;
        if how.later > 0 {
            child::be_later(&mut command, how.later);
        }
        let begin = Instant::now();
        let (code, signal, timed_out, traced) = if how.fault == Fault::None {
            let mut child = command.spawn().context("cannot run the executable")?;
            let leash = Leash::new(Pid::from_raw(i32::try_from(child.id()).context("a pid")?), PATIENCE);
            let status = child.wait().context("cannot wait for the executable")?;
            (status.code(), status.signal(), leash.end_was_forced(), None)
        } else {
            let traced = tracer::run(&mut command, how.fault, PATIENCE)?;
            (traced.code, traced.signal, traced.timed_out, Some(traced))
        };
        let wall = begin.elapsed();
        let stdout = fs::read(file("out")).context("cannot read what a call printed")?;
        let stderr = fs::read(file("err")).context("cannot read what a call logged")?;
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        let outcome = CallOutcome { code, signal, timed_out, stdout, stderr, wall, held_open: false };
        Ok(Made { outcome, traced })
    }

    /// A look at what a call can change, for every round.
    pub fn glance(&self, sandboxes: &[&Sandbox]) -> anyhow::Result<Glance> {
        let mut places = vec![("host", self.host.path())];
        places.extend(sandboxes.iter().map(|sandbox| ("pod", sandbox.netns.path())));
        let folders = [self.folder("lib"), self.folder("devinfo")];
        Glance::at(&places, &folders.iter().map(PathBuf::as_path).collect::<Vec<_>>())
    }

    /// How the world differs from then, when the kernel has had time: empty is what one wants.
    pub fn differs(&self, sandboxes: &[&Sandbox], before: &Glance) -> anyhow::Result<Vec<String>> {
        let deadline = Instant::now() + SETTLE;
        let mut pause = Duration::from_millis(1);
        loop {
            let leaks = before.diff(&self.glance(sandboxes)?);
            if leaks.is_empty() || Instant::now() > deadline {
                return Ok(leaks);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    fn oracle(&self, sandboxes: &[&Sandbox]) -> Oracle<'_> {
        let oracle = sandboxes.iter().fold(Oracle::new(&self.host), |oracle, one| oracle.pod(&one.netns));
        oracle
            .folder("leases", &self.folder("lib/cni/networks"))
            .folder("links", &self.folder("lib/cni/manifold-links"))
            .folder("devinfo", &self.folder("devinfo"))
    }

    /// How many interfaces a sandbox has beside `lo`.
    pub fn links_of(&self, sandbox: &Sandbox) -> anyhow::Result<usize> {
        let seen = Glance::at(&[("pod", sandbox.netns.path())], &[])?;
        Ok(seen.count("pod: link ").saturating_sub(1))
    }

    /// Everything that the leak oracle knows.
    pub fn snapshot(&self, sandboxes: &[&Sandbox]) -> anyhow::Result<Snapshot> {
        self.oracle(sandboxes).snapshot()
    }

    /// What the oracle says has been left since. Named namespaces that others make meanwhile are theirs.
    pub fn leaks(&self, sandboxes: &[&Sandbox], before: &Snapshot) -> anyhow::Result<Vec<String>> {
        self.oracle(sandboxes).leaks_but(before, |leak| leak.starts_with("machine: network namespace"))
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // Else the folder below could not be removed.
        let _ = umount2(self.host.folder(), MntFlags::MNT_DETACH);
    }
}
