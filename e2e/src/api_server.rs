//! A real API server on loopback: etcd and kube-apiserver, with the rights, tokens and definitions of a cluster.
//!
//! It starts in a few seconds, so tests share one per process ([`ApiServer::shared`]), each in a namespace of its own
//! ([`ApiServer::namespace`]). A test that stops the server, or counts its requests, starts one for itself. There is no
//! controller-manager unless asked for: namespaces get their `default` service account from the test bed, and nothing
//! collects garbage.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::api_client::ApiClient;
use crate::certificates::Authority;
use crate::child;
use crate::cluster_binary::cluster_binary;
use crate::janitor::Scratch;
use crate::kubeconfig;
use crate::netns::{self, HostNs};
use crate::ports;

mod crd;
pub(crate) mod flags;
mod objects;
mod requests;
mod shim;

pub use objects::{Annotations, TestNamespace};
pub use requests::RequestCounts;
pub use shim::ShimAccess;

/// A server that is not ready by then never will be, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// How a server may differ from what [`ApiServer::start`] starts.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Run, and listen, in this network namespace: a shim in the same [`HostNs`] reaches it at the same address.
    pub netns: Option<PathBuf>,
    /// Run the kube-controller-manager too: garbage collection, namespace deletion, service accounts.
    pub controller_manager: bool,
    /// More flags for kube-apiserver.
    pub flags: Vec<String>,
}

/// A running API server. Dropping it ends its processes and removes its folder.
#[derive(Debug)]
pub struct ApiServer {
    folder: Scratch,
    executable: PathBuf,
    options: Options,
    ports: Ports,
    authority: Authority,
    client: ApiClient,
    kubeconfig: PathBuf,
    running: Mutex<Running>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) api: u16,
    pub(crate) etcd: u16,
    pub(crate) etcd_peer: u16,
}

#[derive(Debug)]
struct Running {
    etcd: Process,
    api: Option<Process>,
    /// Held for its drop, which ends the process.
    controllers: Option<Process>,
}

impl ApiServer {
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(Options::default())
    }

    /// On the loopback of a test's host, where what runs in it finds the server.
    pub fn start_in(host: &HostNs) -> anyhow::Result<Self> {
        Self::start_with(Options { netns: Some(host.path().to_path_buf()), ..Options::default() })
    }

    pub fn start_with(options: Options) -> anyhow::Result<Self> {
        let executable = cluster_binary(&mut tell)?;
        let folder = Scratch::new("api").context("cannot make a temporary folder")?;
        let [api, etcd, etcd_peer] = ports::free(options.netns.as_deref())?;
        let ports = Ports { api, etcd, etcd_peer };
        let authority = Authority::new(&folder.join("pki"))?;
        let admin = authority.client("admin", "admin", Some("system:masters"))?;
        let client = ApiClient::new(ports.api, options.netns.clone(), &authority, &admin)?;
        let kubeconfig = folder.join("admin.kubeconfig");
        kubeconfig::write(&kubeconfig, ports.api, &authority, &kubeconfig::User::Certificate(&admin))?;
        let flags = flags::write_files(folder.path(), ports, &authority)?;
        let launch = Launch { executable: &executable, folder: &folder, netns: options.netns.as_deref() };
        let etcd = launch.component("etcd", &flags.etcd)?;
        let running = Mutex::new(Running { etcd, api: None, controllers: None });
        let server = Self { folder, executable, options, ports, authority, client, kubeconfig, running };
        server.start_again()?;
        crd::install(&server.client)?;
        if server.options.controller_manager {
            server.lock().controllers =
                Some(server.launch().component("kube-controller-manager", &flags.controllers)?);
        }
        Ok(server)
    }

    /// The one server of this test process. It dies with the process.
    pub fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceLock<Result<ApiServer, String>> = OnceLock::new();
        match SHARED.get_or_init(|| Self::start().map_err(|error| format!("{error:#}"))) {
            Ok(server) => Ok(server),
            Err(why) => bail!("the shared API server did not start: {why}"),
        }
    }

    /// Takes the API server away, as a crash does. etcd stays, so nothing that was stored is lost.
    pub fn stop(&self) {
        self.lock().api = None;
    }

    /// Starts kube-apiserver, over the same data and on the same port, and waits until it is ready.
    pub fn start_again(&self) -> anyhow::Result<()> {
        let mut running = self.lock();
        if running.api.is_none() {
            let flags = flags::api_server(self.folder.path(), self.ports, &self.options.flags);
            running.api = Some(self.launch().component("kube-apiserver", &flags)?);
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.is_ready() {
            let Running { etcd, api: Some(api), .. } = &mut *running else {
                bail!("the API server was stopped")
            };
            etcd.must_run()?;
            api.must_run()?;
            if Instant::now() > deadline {
                bail!("kube-apiserver is not ready after {PATIENCE:?}; it says:\n{}", api.last_words());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.client.get("/readyz").is_ok_and(|answer| answer.ok())
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.ports.api
    }

    /// A kubeconfig that may do everything.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// What signs this server's certificates, and those of its clients.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Requests as the administrator, without the cost of kubectl.
    pub fn client(&self) -> &ApiClient {
        &self.client
    }

    /// Requests with a service account's token.
    pub fn client_with_token(&self, token: &str) -> anyhow::Result<ApiClient> {
        ApiClient::with_token(self.ports.api, self.options.netns.clone(), &self.authority, token)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The network namespace in which it listens; none: this process's own.
    pub fn netns(&self) -> Option<&Path> {
        self.options.netns.as_deref()
    }

    /// The process ids of kube-apiserver (none: stopped) and etcd, for measurements.
    pub fn pids(&self) -> (Option<u32>, u32) {
        let running = self.lock();
        (running.api.as_ref().map(|api| api.child.id()), running.etcd.child.id())
    }

    /// Runs kubectl as the administrator.
    pub fn kubectl(&self, arguments: &[&str], stdin: &str) -> anyhow::Result<Output> {
        let mut command = Command::new(&self.executable);
        command.arg("kubectl").arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        // Its discovery cache belongs to this server, not to the user's home.
        command.env("HOME", self.folder.path()).env_remove("KUBECONFIG");
        if let Some(netns) = &self.options.netns {
            child::enter_netns(&mut command, netns)?;
        }
        child::answer(command, stdin)
    }

    /// `kubectl apply` of one or more documents.
    pub fn apply(&self, yaml: &str) -> anyhow::Result<()> {
        let output = self.kubectl(&["apply", "-f", "-"], yaml)?;
        netns::said("kubectl apply", &output).map(drop)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn launch(&self) -> Launch<'_> {
        Launch { executable: &self.executable, folder: &self.folder, netns: self.options.netns.as_deref() }
    }
}

/// Starts components of the one executable.
struct Launch<'a> {
    executable: &'a Path,
    folder: &'a Scratch,
    netns: Option<&'a Path>,
}

impl Launch<'_> {
    fn component(&self, name: &'static str, flags: &[String]) -> anyhow::Result<Process> {
        let log = self.folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).context("cannot write a log")?;
        let mut command = Command::new(self.executable);
        command.arg(name).args(flags).current_dir(self.folder.path()).stdin(Stdio::null());
        // Memory for time: most of what a start allocates is garbage at once, and a suite starts dozens of servers.
        command.envs([("GOGC", "400"), ("GOMEMLIMIT", "1GiB")]);
        command.stdout(output.try_clone().context("cannot share a log")?).stderr(output);
        if let Some(netns) = self.netns {
            child::enter_netns(&mut command, netns)?;
        }
        let child = child::spawn_for_life(command).with_context(|| format!("cannot start {name}"))?;
        Ok(Process { name, log, child })
    }
}

#[derive(Debug)]
struct Process {
    name: &'static str,
    log: PathBuf,
    child: Child,
}

impl Process {
    fn must_run(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().with_context(|| format!("cannot ask for {}", self.name))? {
            None => Ok(()),
            Some(status) => {
                bail!("{} ended with {status}; its last words:\n{}", self.name, self.last_words())
            }
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Killed, not asked: what etcd holds is either thrown away next or must survive a crash anyway.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A test that is silent for the ten minutes of a cold build looks hung, and the test runner hides what is printed.
fn tell(step: &str) {
    let _ = writeln!(io::stderr(), "{step}");
}
