//! Where it is measured: a network namespace in the machine's place, and in it an API server and the driver.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use manifold_e2e::api_server::ApiServer;
use manifold_e2e::cluster_binary;
use manifold_e2e::netns::HostNs;

use crate::build;
use crate::progress::{self, Detail};

/// How much of the driver's log an error repeats.
const LAST_WORDS: usize = 12;

#[derive(Debug)]
pub(super) struct Bed {
    // Dropped in this order: what runs in the namespace before the namespace.
    api: ApiServer,
    host: HostNs,
}

impl Bed {
    pub(super) fn start(detail: &Detail) -> anyhow::Result<Self> {
        let cluster = cluster_binary::cluster_binary(&mut |step| detail.say(step))?;
        let host = HostNs::new()?;
        let bed = Self { api: ApiServer::start_in(&host)?, host };
        fs::create_dir_all(bed.folder().join("bin")).context("cannot make a folder")?;
        // The one executable is every component, by the name it is called by.
        std::os::unix::fs::symlink(cluster, bed.folder().join("bin/kubectl"))
            .context("cannot link kubectl")?;
        Ok(bed)
    }

    fn folder(&self) -> PathBuf {
        self.host.folder().join("bench")
    }

    /// The path of a file of this name in the bed's folder.
    pub(super) fn file(&self, name: &str) -> String {
        self.folder().join(name).display().to_string()
    }

    pub(super) fn kubeconfig(&self) -> String {
        self.api.kubeconfig().display().to_string()
    }

    /// Whose processor time is told beside: the servers'.
    pub(super) fn watched(&self) -> Vec<String> {
        let (api, etcd) = self.api.pids();
        let api = api.map(|pid| ["--watch".to_owned(), format!("apiserver={pid}")]);
        api.into_iter().flatten().chain(["--watch".to_owned(), format!("etcd={etcd}")]).collect()
    }

    /// Runs the driver as one step. What it says goes to the log, and line by line to the terminal.
    pub(super) fn driver(&self, step: &str, words: &[impl AsRef<str>]) -> anyhow::Result<()> {
        progress::watched(step, |detail| self.drive(words, detail))
    }

    fn drive(&self, words: &[impl AsRef<str>], detail: &Detail) -> anyhow::Result<()> {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut log = File::options()
            .create(true)
            .append(true)
            .open(self.file("driver.log"))
            .context("cannot write the driver's log")?;
        let mut command = Command::new("python3");
        command
            .arg(build::root().join("e2e/bench/bench_meta.py"))
            .args(words.iter().map(AsRef::as_ref))
            .env("BENCH_DIR", self.folder())
            .env("BENCH_OUTER_NETNS", format!("/proc/{}/ns/net", std::process::id()))
            .env("PATH", format!("{}:{path}", self.folder().join("bin").display()))
            .env("HOME", self.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone().context("cannot share the driver's log")?);
        let mut child = self.host.spawn(command)?;
        let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            writeln!(log, "{line}").context("cannot write the driver's log")?;
            detail.say(line.trim());
        }
        let status = child.wait().context("cannot wait for python3")?;
        if !status.success() {
            bail!("the driver ended with {status}; its last words:\n{}", self.last_words());
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.file("driver.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LAST_WORDS)..).unwrap_or_default().join("\n")
    }

    /// Copies what was measured, and the log.
    pub(super) fn keep(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        for entry in fs::read_dir(self.folder()).context("cannot read the bed's folder")?.flatten() {
            let path = entry.path();
            // Credentials lie there too, under another ending.
            if path.extension().is_some_and(|e| e == "json" || e == "log") {
                fs::copy(&path, folder.join(entry.file_name()))
                    .with_context(|| format!("cannot write into `{}`", folder.display()))?;
            }
        }
        Ok(())
    }
}
