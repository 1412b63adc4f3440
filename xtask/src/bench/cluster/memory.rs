//! The most memory that plugins and daemons had at the same moment.
//!
//! Plugins live for milliseconds and the runtime waits for them, so nobody is told their peak: all of them are looked at
//! every few milliseconds while pods come and go. That costs processor time, so times are measured without it.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::cost::Watched;
use crate::bench::controller::process::Usage;

const PACE: Duration = Duration::from_millis(4);
/// What a page has on the architectures that this runs on.
const PAGE: f64 = 4096.0;
const MIB: f64 = 1024.0 * 1024.0;

/// MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Memory {
    /// Of all that were executed at one moment, together.
    pub(super) plugins: f64,
    /// Their own peaks.
    pub(super) daemons: f64,
    pub(super) cluster_role: f64,
}

impl Memory {
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            plugins: self.plugins.max(other.plugins),
            daemons: self.daemons.max(other.daemons),
            cluster_role: self.cluster_role.max(other.cluster_role),
        }
    }
}

/// Looks while something is done.
pub(super) fn peak_while(
    watched: &Watched,
    act: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Memory> {
    let over = AtomicBool::new(false);
    let (done, plugins) = thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut most = 0.0_f64;
            while !over.load(Ordering::Relaxed) {
                most = most.max(plugins(watched));
                thread::sleep(PACE);
            }
            most
        });
        let done = act();
        over.store(true, Ordering::Relaxed);
        (done, looking.join().unwrap_or_default())
    });
    done?;
    let peaks = |pids: &[u32]| -> anyhow::Result<f64> {
        pids.iter().map(|pid| Usage::of(*pid).map(|usage| usage.peak)).sum()
    };
    let (daemons, cluster_role) = (peaks(&watched.daemons)?, peaks(&watched.cluster_role)?);
    Ok(Memory { plugins, daemons, cluster_role })
}

fn plugins(watched: &Watched) -> f64 {
    let roots = std::iter::once(&watched.runtime).chain(&watched.daemons);
    roots.map(|root| below(*root, &name(*root))).sum()
}

/// What the descendants of a process have resident.
fn below(pid: u32, own: &str) -> f64 {
    children(pid).into_iter().map(|child| of(child, own)).sum()
}

fn of(pid: u32, parent: &str) -> f64 {
    let name = name(pid);
    // The runtime's shims hold containers, not networks. A child of its parent's name has not executed anything yet, and
    // what it has is its parent's.
    if name.starts_with("containerd") || name == parent {
        return 0.0;
    }
    resident(pid) + below(pid, &name)
}

fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

fn resident(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|word| word.parse::<f64>().ok());
    pages.unwrap_or_default() * PAGE / MIB
}

/// Each thread has its own.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let texts = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    texts.flat_map(|text| text.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_executed_below_a_process_is_seen() {
        let own = std::process::id();
        let mut child = Command::new("sh").args(["-c", "sleep 60; true"]).spawn().unwrap();
        let seen = (0..500).any(|_| {
            thread::sleep(Duration::from_millis(10));
            // The shell and what it runs.
            children(child.id()).len() == 1 && below(own, &name(own)) > resident(child.id())
        });
        for pid in children(child.id()).into_iter().chain([child.id()]) {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        child.wait().unwrap();
        assert!(seen);
    }
}
