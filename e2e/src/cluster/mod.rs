//! A whole cluster on this machine: a control plane and nodes with a real kubelet and container runtime, each on a
//! machine of its own ([`machine`]), with a network between them ([`underlay`]).
//!
//! Unlike the other beds it outlives the process that started it: it takes a minute of processor time to start, so tests
//! and people use the one that is there ([`Cluster::running`]). [`Cluster::down`] takes everything away.

mod by_hand;
pub(crate) mod cgroups;
mod chart;
mod control_plane;
mod daemon;
mod images;
mod kubectl;
mod machine;
mod node;
mod place;
mod settings;
mod sweep;
mod underlay;
mod wait;

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};

use crate::api_client::ApiClient;
use crate::cluster_binary::cluster_binary;

pub use chart::Executables;
pub use control_plane::{ControlPlane, POD_CIDR, address};
pub use daemon::Daemon;
pub use images::{Image, POD};
pub use machine::Machine;
pub use node::Node;
pub use place::{Place, VARIABLE};
pub use wait::PATIENCE;

/// A cluster that is up, or is being started.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
    executable: PathBuf,
    control_plane: ControlPlane,
    nodes: Vec<Node>,
    client: ApiClient,
}

impl Cluster {
    /// The one that is up.
    pub fn running() -> anyhow::Result<Self> {
        Self::at(&Place::of_environment())
    }

    pub fn at(place: &Place) -> anyhow::Result<Self> {
        let list = place.join("nodes");
        let Ok(count) = fs::read_to_string(&list) else {
            bail!(
                "there is no cluster in `{}`; start one: `cargo xtask cluster up`",
                place.folder().display()
            )
        };
        let count = count.trim().parse().with_context(|| format!("`{}` holds no number", list.display()))?;
        let cluster = Self::new(place, count)?;
        cluster.control_plane.daemon("kube-apiserver").must_run()?;
        Ok(cluster)
    }

    fn new(place: &Place, count: usize) -> anyhow::Result<Self> {
        let executable = cluster_binary(&mut |_| {})?;
        let control_plane = ControlPlane::new(place, &executable);
        let nodes = (1..=count).map(|number| Node::new(place, &executable, number)).collect();
        let client = control_plane.client()?;
        Ok(Self { place: place.clone(), executable, control_plane, nodes, client })
    }

    /// Makes the machines, the wires between them, and everybody's keys. What an earlier run left is removed.
    pub fn make_machines(place: &Place, count: usize) -> anyhow::Result<Self> {
        Self::down(place)?;
        fs::create_dir_all(place.folder())
            .with_context(|| format!("cannot make `{}`", place.folder().display()))?;
        fs::write(place.join("nodes"), count.to_string()).context("cannot write to the cluster's folder")?;
        let executable = cluster_binary(&mut |_| {})?;
        let control_plane = ControlPlane::new(place, &executable);
        control_plane.machine().make()?;
        underlay::switches(control_plane.machine())?;
        let names: Vec<String> = (1..=count).map(node::name).collect();
        control_plane.write_files(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let cluster = Self::new(place, count)?;
        for (node, number) in cluster.nodes.iter().zip(1..) {
            node.machine().make()?;
            underlay::plug_in(control_plane.machine(), node.machine(), number)?;
        }
        cluster.write_commands()?;
        images::make_pod_image(place)?;
        Ok(cluster)
    }

    /// Every container runtime looks for plugins and configurations there from now on.
    pub fn set_cni_folders(&self, bin: &str, conf: &str) -> anyhow::Result<()> {
        fs::write(self.place.join(node::CNI_FOLDERS), settings::cni_folders(bin, conf))
            .context("cannot write to the cluster's folder")?;
        for node in &self.nodes {
            for folder in [bin, conf] {
                let path = node.path(folder);
                fs::create_dir_all(&path).with_context(|| format!("cannot make `{}`", path.display()))?;
            }
            node.restart_runtime()?;
        }
        Ok(())
    }

    /// Starts every node, all at once.
    pub fn start_nodes(&self) -> anyhow::Result<()> {
        thread::scope(|scope| {
            let started: Vec<_> = self.nodes.iter().map(|node| scope.spawn(|| node.start())).collect();
            started.into_iter().try_for_each(|thread| match thread.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    }

    /// Takes everything away: processes, namespaces, mounts, cgroups, files. Does no harm where nothing is.
    pub fn down(place: &Place) -> anyhow::Result<()> {
        let names = fs::read_dir(place.join(place::DISKS)).into_iter().flatten().flatten();
        let mut names: Vec<String> = names.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        // Nodes first: `control-plane` comes first in the alphabet, and nobody should miss it.
        names.sort_by(|a, b| b.cmp(a));
        for name in &names {
            let machine = Machine::new(place, name);
            for component in ["kubelet", "containerd"] {
                Daemon::new(place, &format!("{component}-{name}")).kill()?;
            }
            sweep::kill_all(&machine, &place.cgroup(name))?;
            cgroups::remove(&place.cgroup(name))?;
            machine.delete();
        }
        machine::unmount(&place.namespaces());
        machine::remove_mount_points(place)?;
        match fs::remove_dir_all(place.folder()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("cannot remove `{}`", place.folder().display()))
            }
            _ => Ok(()),
        }
    }

    /// Held while a cluster is started or taken away.
    pub fn lock(place: &Place) -> anyhow::Result<Flock<File>> {
        let path = place.folder().with_extension("lock");
        let file = File::create(&path).with_context(|| format!("cannot open `{}`", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(lock),
            Err(_) => bail!("another process starts or ends the cluster in `{}`", place.folder().display()),
        }
    }

    /// Switches a node off and on again: pods, namespaces and `/run` are gone, the disk is not.
    pub fn reboot(&self, node: &Node) -> anyhow::Result<()> {
        node.power_off()?;
        node.power_on(self.control_plane.machine())?;
        node.start()?;
        if self.is_by_hand(node) { self.route_pods() } else { Ok(()) }
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub fn node(&self, name: &str) -> anyhow::Result<&Node> {
        self.nodes
            .iter()
            .find(|node| node.name() == name)
            .with_context(|| format!("there is no node `{name}`"))
    }

    /// Speaks to the API server as the administrator.
    pub fn client(&self) -> &ApiClient {
        &self.client
    }
}
