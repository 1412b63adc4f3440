//! Ends everything of a machine: components, runtime shims, and the processes of pods, wherever they came from.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::bail;
use nix::sys::signal::Signal;

use super::cgroups;
use super::daemon::{self, Known};
use super::machine::Machine;

/// Processes that are killed may just have forked.
const PATIENCE: Duration = Duration::from_secs(120);

/// Kills until nobody is left.
pub(super) fn kill_all(machine: &Machine, cgroup: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = inhabitants(machine, cgroup);
        if left.is_empty() {
            return Ok(());
        }
        for known in &left {
            known.signal(Signal::SIGKILL)?;
        }
        daemon::wait_gone(&left)?;
        if Instant::now() > deadline {
            bail!("processes of `{}` go on to appear", machine.name());
        }
    }
}

/// Those whose mounts or network are the machine's, and those in its cgroups: pods have namespaces of their own.
pub(super) fn inhabitants(machine: &Machine, cgroup: &str) -> Vec<Known> {
    let namespaces = machine.numbers();
    let own = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let here = numbers.filter(|pid| u32::try_from(*pid) != Ok(own));
    here.filter(|pid| is_in(*pid, &namespaces) || cgroups::has(cgroup, *pid)).filter_map(Known::of).collect()
}

fn is_in(pid: i32, namespaces: &[PathBuf]) -> bool {
    let folder = Path::new("/proc").join(pid.to_string()).join("ns");
    ["mnt", "net"]
        .iter()
        .any(|kind| fs::read_link(folder.join(kind)).is_ok_and(|ns| namespaces.contains(&ns)))
}
