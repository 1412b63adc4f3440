//! Whose processor time and memory is told.
//!
//! The runtime executes every plugin of every row, and waits for it, so the kernel adds what a plugin and all its
//! descendants used to what the runtime's children used: exact, also for those that live for a millisecond. Daemons are
//! read beside; so are the children of a daemon that executes plugins itself.

use std::fs;

use anyhow::Context as _;

use crate::bench::controller::process::Usage;

/// `getconf CLK_TCK` of every Linux.
const TICKS: f64 = 100.0;

/// The processes of a cluster, by what they do.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    pub(super) runtime: u32,
    /// On the node: the node agent, or the daemon of Multus.
    pub(super) daemons: Vec<u32>,
    /// Both replicas of the controller.
    pub(super) cluster_role: Vec<u32>,
    /// API server and etcd.
    pub(super) servers: Vec<u32>,
}

/// Seconds of processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    pub(super) plugins: f64,
    pub(super) daemons: f64,
    pub(super) cluster_role: f64,
    pub(super) servers: f64,
    /// Whoever it was.
    pub(super) machine: f64,
}

impl Watched {
    pub(super) fn cost(&self) -> anyhow::Result<Cost> {
        let own = |pids: &[u32]| -> anyhow::Result<f64> {
            pids.iter().map(|pid| Usage::of(*pid).map(|usage| usage.cpu)).sum()
        };
        let executing = std::iter::once(&self.runtime).chain(&self.daemons);
        Ok(Cost {
            plugins: executing.map(|pid| of_children(*pid)).sum::<anyhow::Result<f64>>()?,
            daemons: own(&self.daemons)?,
            cluster_role: own(&self.cluster_role)?,
            servers: own(&self.servers)?,
            machine: of_machine()?,
        })
    }
}

impl Cost {
    pub(super) fn since(self, before: Self) -> Self {
        self.with(before, |now, then| now - then)
    }

    /// Everything that a row brings along.
    pub(super) fn networks(self) -> f64 {
        self.plugins + self.daemons + self.cluster_role
    }

    /// Of several rounds.
    pub(super) fn mean(all: &[Self]) -> Self {
        let sum = all.iter().fold(Self::default(), |sum, one| sum.with(*one, |a, b| a + b));
        sum.with(sum, |sum, _| sum / all.len().max(1) as f64)
    }

    fn with(self, other: Self, of: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            plugins: of(self.plugins, other.plugins),
            daemons: of(self.daemons, other.daemons),
            cluster_role: of(self.cluster_role, other.cluster_role),
            servers: of(self.servers, other.servers),
            machine: of(self.machine, other.machine),
        }
    }
}

/// Of the children that ended and were waited for, with all of theirs.
fn of_children(pid: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"));
    let text = text.with_context(|| format!("process {pid} is gone"))?;
    children_in(&text).with_context(|| format!("`/proc/{pid}/stat` is not as it was"))
}

fn children_in(stat: &str) -> Option<f64> {
    // The name, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: Vec<f64> =
        fields.split(' ').skip(13).take(2).map(str::parse).collect::<Result<_, _>>().ok()?;
    (ticks.len() == 2).then(|| ticks.iter().sum::<f64>() / TICKS)
}

fn of_machine() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/stat").context("cannot read `/proc/stat`")?;
    busy_in(&text).context("`/proc/stat` is not as it was")
}

/// All but idle, waiting for disks, and what a hypervisor took.
fn busy_in(stat: &str) -> Option<f64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Vec<f64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    let busy = [0, 1, 2, 5, 6].iter().filter_map(|column| ticks.get(*column)).sum::<f64>();
    Some(busy / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_kernel_writes_them() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 300 100 20 0 3";
        assert_eq!(children_in(stat), Some(4.0));
        assert_eq!(children_in("7 (a) S 1"), None);
        assert_eq!(busy_in("cpu  100 1 99 5000 70 50 50 9 0 0\ncpu0 1"), Some(3.0));
    }

    #[test]
    fn a_cost_is_the_difference_and_the_mean_of_rounds() {
        let cost = |plugins| Cost { plugins, daemons: 1.0, ..Cost::default() };
        let (first, second) = (cost(5.0).since(cost(2.0)), cost(4.0).since(cost(3.0)));
        assert_eq!(Cost::mean(&[first, second]), Cost { plugins: 2.0, ..Cost::default() });
        assert_eq!(cost(5.0).networks(), 6.0);
    }
}
