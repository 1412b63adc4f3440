//! A machine of the cluster: network, mount and uts namespaces, in which the standard folders are its own.
//!
//! What runs inside finds `/run`, `/etc/cni`, `/opt/cni` and the like at their usual paths, and no other machine sees what
//! it writes there. The namespaces are kept by mounts in the cluster's folder; mounts made inside stay inside.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{gettid, sethostname};

use super::place::Place;
use crate::{child, netns};

/// What a node writes to. Each machine has its own.
const OWN: [&str; 10] = [
    "/run",
    "/etc/cni",
    "/opt/cni",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/lib/containerd",
    "/var/log/pods",
    "/var/log/containers",
    // Of k3s and of snaps.
    "/var/lib/rancher",
    "/var/snap",
];
/// As on every node of Kubernetes.
const SWITCHES: [&str; 3] =
    ["net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding", "net/ipv6/conf/all/forwarding"];
/// In the order in which they are entered: the mounts last, for they hide the others' files.
const KINDS: [(&str, CloneFlags); 3] =
    [("net", CloneFlags::CLONE_NEWNET), ("uts", CloneFlags::CLONE_NEWUTS), ("mnt", CloneFlags::CLONE_NEWNS)];

#[derive(Clone, Debug)]
pub struct Machine {
    place: Place,
    name: String,
}

impl Machine {
    pub(super) fn new(place: &Place, name: &str) -> Self {
        Self { place: place.clone(), name: name.to_owned() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The network namespace, for whoever only needs that.
    pub fn netns(&self) -> PathBuf {
        self.file("net")
    }

    /// A file of the machine as it is seen from outside: only those of its own folders are.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.place.disk(&self.name).join(inside.trim_start_matches('/'))
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.place.namespaces().join(format!("{}.{kind}", self.name))
    }

    /// Makes the namespaces and folders.
    pub(super) fn make(&self) -> anyhow::Result<()> {
        private_mount(&self.place.namespaces()).context("cannot make a place for namespaces")?;
        for folder in OWN {
            make_mount_point(&self.place, folder)?;
            let own = self.path(folder);
            fs::create_dir_all(&own).with_context(|| format!("cannot make `{}`", own.display()))?;
        }
        for (kind, _) in KINDS {
            File::create(self.file(kind))
                .with_context(|| format!("cannot make `{}`", self.file(kind).display()))?;
        }
        self.unshared().with_context(|| format!("cannot make the namespaces of `{}`", self.name))
    }

    /// A namespace of mounts cannot be mounted from inside itself, so a thread makes them and waits until they are kept.
    fn unshared(&self) -> anyhow::Result<()> {
        let (made, number) = mpsc::channel();
        let (kept, go) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                let outcome = self.become_machine();
                // Who waits for it is the thread below, which only ends after this.
                let _ = made.send(gettid());
                let _ = go.recv();
                outcome
            });
            let keep = || -> anyhow::Result<()> {
                let thread = number.recv().context("the thread that makes them ended")?;
                for (kind, _) in KINDS {
                    let own = format!("/proc/self/task/{thread}/ns/{kind}");
                    mount(
                        Some(own.as_str()),
                        &self.file(kind),
                        None::<&str>,
                        MsFlags::MS_BIND,
                        None::<&str>,
                    )?;
                }
                Ok(())
            };
            let outcome = keep();
            drop(kept);
            match inside.join() {
                Ok(made) => made.and(outcome),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn become_machine(&self) -> anyhow::Result<()> {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS)?;
        change("/", MsFlags::MS_PRIVATE)?;
        sethostname(&self.name)?;
        for folder in OWN {
            mount(Some(&self.path(folder)), folder, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        }
        for folder in ["/run/netns", "/run/lock"] {
            fs::create_dir_all(folder)?;
        }
        // Volumes that ask for it see what is mounted later.
        change("/", MsFlags::MS_SHARED)?;
        for switch in SWITCHES {
            // A kernel without IPv6 is none of this place's business.
            let _ = fs::write(Path::new("/proc/sys").join(switch), "1");
        }
        let said =
            Command::new("ip").args(["link", "set", "lo", "up"]).output().context("cannot run `ip`")?;
        netns::said("ip link set lo up", &said).map(drop)
    }

    /// A command that will run inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> anyhow::Result<Command> {
        let mut command = Command::new(program);
        let mut namespaces = Vec::new();
        for (kind, flag) in KINDS {
            let file = self.file(kind);
            let open = File::open(&file);
            namespaces.push((open.with_context(|| format!("`{}` is not up", self.name))?, flag));
        }
        child::enter_all(&mut command, namespaces);
        Ok(command)
    }

    /// Runs a program inside and returns its output; anything but success is an error that repeats what it said.
    pub fn exec(&self, words: &[&str]) -> anyhow::Result<String> {
        let output = self.try_exec(words)?;
        netns::said(&format!("{}: {}", self.name, words.join(" ")), &output)
    }

    /// The same for a program that may fail.
    pub fn try_exec(&self, words: &[&str]) -> anyhow::Result<Output> {
        let (program, arguments) = words.split_first().context("no program was named")?;
        let mut command = self.command(program)?;
        command.args(arguments).output().with_context(|| format!("cannot run `{program}` in `{}`", self.name))
    }

    /// Lets go of the namespaces. What still runs inside keeps them.
    pub(super) fn delete(&self) {
        for (kind, _) in KINDS {
            netns::remove(&self.file(kind));
        }
    }

    /// The namespaces as the kernel numbers them, to tell which processes live in them.
    pub(super) fn numbers(&self) -> Vec<PathBuf> {
        use std::os::unix::fs::MetadataExt;
        let number =
            |kind: &str| fs::metadata(self.file(kind)).ok().map(|file| (kind.to_owned(), file.ino()));
        let found = KINDS.iter().filter(|(kind, _)| *kind != "uts").filter_map(|(kind, _)| number(kind));
        found.map(|(kind, number)| PathBuf::from(format!("{kind}:[{number}]"))).collect()
    }
}

fn change(path: &str, how: MsFlags) -> nix::Result<()> {
    mount(None::<&str>, path, None::<&str>, MsFlags::MS_REC | how, None::<&str>)
}

/// Namespaces of mounts can only be kept below a mount that is private.
fn private_mount(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let is_mounted = mounts.lines().any(|line| line.split(' ').nth(1).map(Path::new) == Some(folder));
    if !is_mounted {
        mount(Some(folder), folder, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    }
    mount(None::<&str>, folder, None::<&str>, MsFlags::MS_PRIVATE, None::<&str>)?;
    Ok(())
}

pub(super) fn unmount(folder: &Path) {
    // It fails when it is gone already, which is what is wanted.
    let _ = umount2(folder, MntFlags::MNT_DETACH);
}

/// Something can only be mounted where there is a folder. One that the machine outside lacks is made, and noted for the end.
fn make_mount_point(place: &Place, folder: &str) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    let mut at = Path::new(folder);
    while !at.exists() {
        missing.push(at);
        at = at.parent().unwrap_or(Path::new("/"));
    }
    let list = place.join("made");
    let mut made = fs::read_to_string(&list).unwrap_or_default();
    // The deepest first: the order in which they can be removed.
    for path in &missing {
        made.push_str(&format!("{}\n", path.display()));
    }
    if !missing.is_empty() {
        fs::write(&list, made).with_context(|| format!("cannot write `{}`", list.display()))?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make `{folder}`"))?;
    }
    Ok(())
}

/// Removing the folder below a mount ends the mount, also in the namespaces of another cluster.
fn is_mounted_anywhere(folder: &str) -> bool {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut tables = entries.filter_map(|entry| fs::read_to_string(entry.path().join("mountinfo")).ok());
    tables.any(|table| {
        let mut points = table.lines().filter_map(|line| line.split(' ').nth(4));
        points.any(|point| Path::new(point).starts_with(folder))
    })
}

/// Removes the folders that were made on the machine outside, as far as they are empty.
pub(super) fn remove_mount_points(place: &Place) -> anyhow::Result<()> {
    let made = fs::read_to_string(place.join("made")).unwrap_or_default();
    for folder in made.lines().filter(|folder| !is_mounted_anywhere(folder)) {
        match fs::remove_dir(folder) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => bail!("cannot remove `{folder}`: {e}"),
            _ => {}
        }
    }
    Ok(())
}
