//! One replica: a process that is started, watched, and ended in every way that a process can end.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::child;

use super::service::inside;
use super::{Metrics, PATIENCE, folder};

/// How much of its log an error repeats.
const LAST_WORDS: usize = 12;

/// Where a replica listens.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) number: usize,
    pub(super) status: u16,
    pub(super) admission: u16,
    pub(super) netns: Option<PathBuf>,
}

/// A replica, running or not.
#[derive(Debug)]
pub struct Replica {
    place: Place,
    identity: String,
    executable: PathBuf,
    kubeconfig: PathBuf,
    folder: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Replica {
    pub(super) fn new(
        executable: &Path,
        bed: &Path,
        kubeconfig: &Path,
        place: Place,
        config: &Value,
    ) -> anyhow::Result<Self> {
        let identity = format!("manifold-controller-{}", place.number);
        let own = bed.join(&identity);
        folder(&own)?;
        let yaml = serde_yaml::to_string(config).context("a configuration is not YAML")?;
        fs::write(own.join("config.yaml"), yaml).context("cannot write the controller's configuration")?;
        Ok(Self {
            place,
            identity,
            executable: executable.to_path_buf(),
            kubeconfig: kubeconfig.to_path_buf(),
            folder: own,
            child: Mutex::default(),
        })
    }

    /// Starts the process. It need not be ready when this returns.
    pub fn start(&self) -> anyhow::Result<()> {
        let mut running = self.lock();
        if running.is_some() {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(self.log()).context("cannot write a log")?;
        let mut command = Command::new(&self.executable);
        command
            .arg("controller")
            .arg("--config")
            .arg(self.folder.join("config.yaml"))
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--replica")
            .arg(&self.identity)
            // What a pod knows of itself.
            .env("POD_NAME", &self.identity)
            .env("HOSTNAME", &self.identity)
            .env("POD_NAMESPACE", super::NAMESPACE)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share a log")?)
            .stderr(log);
        if let Some(netns) = &self.place.netns {
            child::enter_netns(&mut command, netns)?;
        }
        let started = child::spawn_for_life(command);
        *running = Some(started.with_context(|| format!("cannot start `{}`", self.executable.display()))?);
        Ok(())
    }

    /// SIGKILL, and it is gone when this returns.
    pub fn kill(&self) {
        if let Some(mut child) = self.lock().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, as the kubelet stops a container; how it ended, and after how long.
    pub fn stop(&self) -> anyhow::Result<(ExitStatus, Duration)> {
        let begin = Instant::now();
        self.signal(Signal::SIGTERM)?;
        loop {
            if let Some(status) = self.ended()? {
                return Ok((status, begin.elapsed()));
            }
            if begin.elapsed() > PATIENCE {
                bail!("`{}` did not stop when asked to; it says:\n{}", self.identity, self.last_words());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// How the process ended by itself; `None` while it runs.
    pub fn ended(&self) -> anyhow::Result<Option<ExitStatus>> {
        let mut running = self.lock();
        let child = running.as_mut().with_context(|| format!("`{}` was not started", self.identity))?;
        let status = child.try_wait().context("cannot ask for a process")?;
        if status.is_some() {
            *running = None;
        }
        Ok(status)
    }

    /// SIGSTOP: the process sleeps, as on a machine that is swapping or was suspended.
    pub fn sleep(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// SIGCONT.
    pub fn wake(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().with_context(|| format!("`{}` does not run", self.identity))?;
        let pid = i32::try_from(pid).context("a process number is too large")?;
        kill(Pid::from_raw(pid), signal)
            .with_context(|| format!("cannot send {signal} to `{}`", self.identity))
    }

    pub fn pid(&self) -> Option<u32> {
        self.lock().as_ref().map(Child::id)
    }

    pub fn is_running(&self) -> bool {
        self.lock().is_some()
    }

    /// By which the Lease names it.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    pub fn status_port(&self) -> u16 {
        self.place.status
    }

    pub fn admission_port(&self) -> u16 {
        self.place.admission
    }

    pub fn is_ready(&self) -> bool {
        self.get("/readyz").is_ok_and(|(status, _)| status == 200)
    }

    /// Returns when it is ready; a process that ends meanwhile is an error with its last words.
    pub fn wait_ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_ready() {
            if let Some(status) = self.ended()? {
                bail!("`{}` ended with {status}; its last words:\n{}", self.identity, self.last_words());
            }
            if Instant::now() > deadline {
                bail!("`{}` is not ready after {PATIENCE:?}; it says:\n{}", self.identity, self.last_words());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    pub fn metrics(&self) -> anyhow::Result<Metrics> {
        match self.get("/metrics")? {
            (200, text) => Ok(Metrics(text)),
            (status, text) => bail!("`/metrics` of `{}` answered {status}: {text}", self.identity),
        }
    }

    /// A request to the status address: code and body.
    pub fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.place.status));
        let patience = Duration::from_secs(5);
        let mut stream =
            inside(self.place.netns.as_deref(), move || TcpStream::connect_timeout(&address, patience))??;
        stream.set_read_timeout(Some(patience))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no head")?;
        let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok());
        Ok((status.context("the answer has no status")?, body.to_string()))
    }

    /// Everything that it said, in all its lives.
    pub fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    pub fn last_words(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        lines.get(lines.len().saturating_sub(LAST_WORDS)..).unwrap_or_default().join("\n")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}
