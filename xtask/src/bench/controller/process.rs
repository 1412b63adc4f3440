//! What a process has used.

use std::fs;

use anyhow::Context as _;

/// Of one process, so far.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Usage {
    /// MiB.
    pub(in crate::bench) resident: f64,
    /// MiB, the most that it ever was.
    pub(in crate::bench) peak: f64,
    /// Seconds.
    pub(in crate::bench) cpu: f64,
}

/// `getconf CLK_TCK` of every Linux.
const TICKS: f64 = 100.0;

impl Usage {
    pub(in crate::bench) fn of(pid: u32) -> anyhow::Result<Self> {
        let read = |file: &str| {
            fs::read_to_string(format!("/proc/{pid}/{file}"))
                .with_context(|| format!("process {pid} is gone"))
        };
        let (status, stat) = (read("status")?, read("stat")?);
        Self::read(&status, &stat).with_context(|| format!("`/proc/{pid}` is not as it was"))
    }

    fn read(status: &str, stat: &str) -> Option<Self> {
        let kib = |key: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(key))?;
            value.trim().strip_suffix(" kB")?.parse::<f64>().ok()
        };
        // The name, in brackets, may hold anything.
        let (_, fields) = stat.rsplit_once(") ")?;
        let ticks: Vec<f64> =
            fields.split(' ').skip(11).take(2).map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self {
            resident: kib("VmRSS:")? / 1024.0,
            peak: kib("VmHWM:")? / 1024.0,
            cpu: ticks.iter().sum::<f64>() / TICKS,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_time_are_read_as_the_kernel_writes_them() {
        let status = "Name:\tx\nVmHWM:\t    4096 kB\nVmRSS:\t    2048 kB\n";
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 3";
        let usage = Usage::read(status, stat).unwrap();
        assert_eq!((usage.resident, usage.peak, usage.cpu), (2.0, 4.0, 2.0));
    }
}
