//! The control plane on its machine: etcd, kube-apiserver, kube-controller-manager, kube-scheduler.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::daemon::Daemon;
use super::machine::Machine;
use super::place::Place;
use super::underlay;
use crate::api_client::ApiClient;
use crate::api_server::{Ports, flags};
use crate::certificates::{Authority, Identity};
use crate::kubeconfig::{self, User};

/// The machine's name.
pub(super) const NAME: &str = "control-plane";
/// What pods get their addresses from.
pub const POD_CIDR: &str = "10.244.0.0/16";
const PORTS: Ports = Ports { api: 6443, etcd: 2379, etcd_peer: 2380 };
/// What is not there by then never will be, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Debug)]
pub struct ControlPlane {
    place: Place,
    executable: PathBuf,
    machine: Machine,
}

impl ControlPlane {
    pub(super) fn new(place: &Place, executable: &Path) -> Self {
        let machine = Machine::new(place, NAME);
        Self { place: place.clone(), executable: executable.to_owned(), machine }
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Certificates, keys and kubeconfigs of everybody.
    pub(super) fn write_files(&self, nodes: &[&str]) -> anyhow::Result<()> {
        let folder = self.place.folder();
        let authority = Authority::new(&folder.join("pki"))?;
        flags::write_files(folder, PORTS, &authority)?;
        authority.server("apiserver", &[IpAddr::V4(Ipv4Addr::from(underlay::CONTROL_PLANE))])?;
        let write = |name: &str, who: &Identity| {
            let path = folder.join(format!("{name}.kubeconfig"));
            kubeconfig::write_for(&path, address(), authority.pem(), &User::Certificate(who))
        };
        write("admin", &authority.client("admin", "admin", Some("system:masters"))?)?;
        write("scheduler", &authority.client("scheduler", "system:kube-scheduler", None)?)?;
        write("proxy", &authority.client("proxy", "system:kube-proxy", None)?)?;
        for node in nodes {
            let user = format!("system:node:{node}");
            write(node, &authority.client(node, &user, Some("system:nodes"))?)?;
        }
        Ok(())
    }

    /// Starts what does not run, and returns when the API server is ready.
    pub fn start(&self) -> anyhow::Result<()> {
        self.component("etcd", &flags::etcd(self.place.folder(), PORTS))?;
        self.component("kube-apiserver", &self.api_server())?;
        self.wait_ready()?;
        self.component("kube-controller-manager", &self.controller_manager())?;
        self.component("kube-scheduler", &self.scheduler())
    }

    pub fn daemon(&self, name: &str) -> Daemon {
        Daemon::new(&self.place, name)
    }

    /// Speaks as the administrator.
    pub fn client(&self) -> anyhow::Result<ApiClient> {
        let read = |name: &str| {
            let path = self.place.pki(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))
        };
        let netns = Some(self.machine.netns());
        ApiClient::from_pem(PORTS.api, netns, &read("ca.crt")?, &read("admin.crt")?, &read("admin.key")?)
    }

    /// Speaks as whoever has this token.
    pub fn client_with_token(&self, token: &str) -> anyhow::Result<ApiClient> {
        ApiClient::from_token(PORTS.api, Some(self.machine.netns()), &self.authority()?, token)
    }

    /// What signed the API server's certificate, as PEM.
    pub(super) fn authority(&self) -> anyhow::Result<String> {
        fs::read_to_string(self.place.pki("ca.crt")).context("cannot read the authority's certificate")
    }

    fn wait_ready(&self) -> anyhow::Result<()> {
        let client = self.client()?;
        let deadline = Instant::now() + PATIENCE;
        while !client.get("/readyz").is_ok_and(|answer| answer.ok()) {
            for name in ["etcd", "kube-apiserver"] {
                self.daemon(name).must_run()?;
            }
            if Instant::now() > deadline {
                let log = self.place.log("kube-apiserver");
                bail!("the API server is not ready after {PATIENCE:?}; see `{}`", log.display());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn component(&self, name: &str, flags: &[String]) -> anyhow::Result<()> {
        let mut command = self.machine.command(&self.executable)?;
        command.arg(name).args(flags);
        self.daemon(name).start(command)
    }

    fn api_server(&self) -> Vec<String> {
        // Of two flags of one name the last one counts.
        let more = [
            "--bind-address=0.0.0.0".to_owned(),
            format!("--advertise-address={}", address().ip()),
            "--enable-aggregator-routing=true".into(),
        ];
        flags::api_server(self.place.folder(), PORTS, &more)
    }

    fn controller_manager(&self) -> Vec<String> {
        let mut flags = flags::controller_manager(self.place.folder());
        flags.extend([
            "--allocate-node-cidrs=true".to_owned(),
            format!("--cluster-cidr={POD_CIDR}"),
            "--node-cidr-mask-size=24".into(),
            // A node that was switched off is given up while a test looks.
            "--node-monitor-grace-period=20s".into(),
        ]);
        flags
    }

    fn scheduler(&self) -> Vec<String> {
        let kubeconfig = self.place.join("scheduler.kubeconfig");
        vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            "--leader-elect=false".into(),
            "--secure-port=0".into(),
        ]
    }
}

/// Where the API server is for everybody but pods.
pub fn address() -> SocketAddr {
    (underlay::CONTROL_PLANE, PORTS.api).into()
}
