//! Network namespaces that a test makes: pods, and the "host" beside them.
//!
//! A [`TestNetns`] is what a container runtime hands to a plugin: a namespace kept alive by a mount below `/run/netns`,
//! with everything down. A [`HostNs`] takes the machine's place: bridges, masters and rules that a plugin makes "on the
//! host" land in it, so tests run beside each other and never touch the machine.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::child;
use crate::janitor::{self, Scratch};

/// Where runtimes, and `ip netns`, mount namespaces.
pub const FOLDER: &str = "/run/netns";
/// How the names of all namespaces made here begin.
pub const PREFIX: &str = "manifold-test-";

const PATIENCE: Duration = Duration::from_secs(60);

/// A named network namespace with nothing in it, deleted when dropped.
#[derive(Debug)]
pub struct TestNetns {
    name: String,
    path: PathBuf,
}

impl TestNetns {
    pub fn new() -> anyhow::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("{PREFIX}{}-{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        janitor::netns(&Path::new(FOLDER).join(&name)).context("cannot start the janitor")?;
        Self::named(&name)
    }

    /// Under a name that people will use. It takes the place of one of that name, and outlives a process that is
    /// killed: whoever wants such names removes what an earlier run left.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        let path = Path::new(FOLDER).join(name);
        fs::create_dir_all(FOLDER)
            .with_context(|| format!("cannot make `{FOLDER}`; tests of this kind run as root"))?;
        // A killed process of the same number may have left one, if its janitor was killed too.
        remove(&path);
        File::create_new(&path).with_context(|| format!("cannot make `{}`", path.display()))?;
        let netns = Self { name: name.to_string(), path };
        on_own_thread(|| make(&netns.path))
            .with_context(|| format!("cannot make the network namespace `{name}`"))?;
        Ok(netns)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a runtime passes as `CNI_NETNS`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that will run inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> anyhow::Result<Command> {
        let mut command = Command::new(program);
        child::enter_netns(&mut command, &self.path)?;
        Ok(command)
    }

    /// Runs a program inside and returns its output; anything but success is an error that repeats what it said.
    pub fn exec(&self, words: &[&str]) -> anyhow::Result<String> {
        let (program, arguments) = words.split_first().context("no program was named")?;
        let output = self
            .command(program)?
            .args(arguments)
            .output()
            .with_context(|| format!("cannot run `{program}` in `{}`", self.name))?;
        said(&words.join(" "), &output)
    }

    /// Waits for the address that the kernel gives a link by itself, some time after the link is up.
    pub fn wait_for_own_address(&self, link: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.exec(&["ip", "-6", "address", "show", "dev", link])?.contains("fe80::") {
            if Instant::now() > deadline {
                bail!("`{link}` in `{}` has no address of its own after {PATIENCE:?}", self.name);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Runs a closure on a thread inside. Sockets that it opens stay in this namespace.
    pub fn run<T: Send>(&self, act: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        inside(&self.path, act)
    }

    /// Removes the namespace now, as a runtime that is ahead of its DEL does. Dropping it later does no harm.
    pub fn delete(&self) {
        remove(&self.path);
    }
}

impl Drop for TestNetns {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// A namespace in the machine's place, with `lo` up, and a folder for the state of what runs in it.
#[derive(Debug)]
pub struct HostNs {
    netns: TestNetns,
    folder: Scratch,
}

impl HostNs {
    pub fn new() -> anyhow::Result<Self> {
        Self::of(TestNetns::new()?, Scratch::new("host").context("cannot make a temporary folder")?)
    }

    /// Under a name, and with a folder, that people will use; see [`TestNetns::named`].
    pub fn named(name: &str, folder: &Path) -> anyhow::Result<Self> {
        let kept = Scratch::at(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        Self::of(TestNetns::named(name)?, kept)
    }

    fn of(netns: TestNetns, folder: Scratch) -> anyhow::Result<Self> {
        netns.exec(&["ip", "link", "set", "lo", "up"])?;
        Ok(Self { netns, folder })
    }

    pub fn netns(&self) -> &TestNetns {
        &self.netns
    }

    pub fn path(&self) -> &Path {
        self.netns.path()
    }

    /// For the state of what runs here: leases, ledger, configuration. Gone with the host.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn exec(&self, words: &[&str]) -> anyhow::Result<String> {
        self.netns.exec(words)
    }

    /// Starts a command with this namespace in the machine's place.
    pub fn spawn(&self, mut command: Command) -> anyhow::Result<Child> {
        child::enter_netns(&mut command, self.path())?;
        command.spawn().with_context(|| format!("cannot run `{}`", command.get_program().display()))
    }

    /// A pod-like namespace joined to this one by a pair of veths, both up.
    pub fn veth_to(&self, other: &TestNetns, here: &str, there: &str) -> anyhow::Result<()> {
        self.exec(&[
            "ip",
            "link",
            "add",
            here,
            "type",
            "veth",
            "peer",
            "name",
            there,
            "netns",
            other.name(),
        ])?;
        self.exec(&["ip", "link", "set", here, "up"])?;
        other.exec(&["ip", "link", "set", there, "up"])?;
        Ok(())
    }
}

/// Runs a closure on a thread inside the namespace mounted at `path`.
pub fn inside<T: Send>(path: &Path, act: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    let netns =
        File::open(path).with_context(|| format!("there is no network namespace `{}`", path.display()))?;
    on_own_thread(|| {
        setns(&netns, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
        Ok(act())
    })
    .with_context(|| format!("cannot enter the network namespace `{}`", path.display()))
}

/// A thread that changed its namespace must not be used again: this one ends with the closure.
pub(crate) fn on_own_thread<T: Send>(act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| match scope.spawn(act).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn make(path: &Path) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    mount(Some("/proc/thread-self/ns/net"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    Ok(())
}

/// Removes the namespace mounted at `path`, whoever made it. What lives in it goes with its last user.
pub fn remove(path: &Path) {
    // Both fail when it is gone already, which is what is wanted.
    let _ = umount2(path, MntFlags::MNT_DETACH);
    let _ = fs::remove_file(path);
}

/// Standard output of a program that succeeded.
pub(crate) fn said(what: &str, output: &Output) -> anyhow::Result<String> {
    if !output.status.success() {
        bail!("`{what}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
