//! A cgroup with a limit of memory; what it used and whom it killed is counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

#[derive(Debug)]
pub(super) struct Cgroup {
    folder: PathBuf,
    unified: bool,
}

impl Cgroup {
    pub(super) fn new(bytes: u64) -> anyhow::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let root = Path::new("/sys/fs/cgroup");
        let unified = root.join("cgroup.controllers").exists();
        let base = if unified { root.to_owned() } else { root.join("memory") };
        let name =
            format!("manifold-test-storm-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let cgroup = Self { folder: base.join(name), unified };
        fs::create_dir(&cgroup.folder).context("cannot make a cgroup; tests of this kind run as root")?;
        fs::write(cgroup.file("memory.max", "memory.limit_in_bytes"), bytes.to_string())
            .context("cannot limit the memory of a cgroup")?;
        Ok(cgroup)
    }

    fn file(&self, unified: &str, old: &str) -> PathBuf {
        self.folder.join(if self.unified { unified } else { old })
    }

    pub(super) fn procs(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// The most memory that it used, in bytes; with what the kernel keeps of files.
    pub(super) fn most(&self) -> anyhow::Result<u64> {
        let text = fs::read_to_string(self.file("memory.peak", "memory.max_usage_in_bytes"))
            .context("cannot read how much a cgroup used")?;
        text.trim().parse().context("a number of bytes")
    }

    /// How many processes the kernel killed for want of memory.
    pub(super) fn killed(&self) -> anyhow::Result<u64> {
        let text = fs::read_to_string(self.file("memory.events", "memory.oom_control"))
            .context("cannot read whom a cgroup killed")?;
        let count =
            text.lines().find_map(|line| line.strip_prefix("oom_kill ")).context("no count of kills")?;
        count.trim().parse().context("a number of kills")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The last process is gone for us a moment before it is for the kernel.
        let until = Instant::now() + Duration::from_secs(10);
        while fs::remove_dir(&self.folder).is_err() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
