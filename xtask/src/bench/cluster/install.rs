//! A fresh cluster of one node, with what a row is about.

use std::fs;

use anyhow::Context as _;
use manifold_e2e::api_client::ApiClient;
use manifold_e2e::cluster::{Cluster, Node};
use manifold_e2e::{executable, project};
use serde_json::{Value, json};

use super::cost::Watched;
use super::subject::{Meta, Plugins, Subject};
use super::{Parts, copy_plugins, multus};
use crate::progress::Detail;

pub(super) const NAMESPACE: &str = "bench";
pub(super) const PLUGINS: &str = "/opt/cni/bin";
const PODNET: &str = "podnet";
/// What the node's networks need, under which names ours is executed where Manifold itself is not.
const NAMES: [&str; 4] = ["bridge", "host-local", "portmap", "macvlan"];
/// Called by the runtime itself for every pod, whatever the networks are; the same in every row.
const LOOPBACK: &str = "loopback";

pub(super) struct Bed {
    cluster: Cluster,
    /// What each pod asks for.
    pub(super) networks: Vec<String>,
}

impl Bed {
    /// A cluster in the place of the one before, whose node is ready.
    pub(super) fn start(parts: &Parts, subject: Subject, detail: &Detail) -> anyhow::Result<Self> {
        detail.say("a cluster");
        let cluster = Cluster::make_machines(&parts.place, 1)?;
        cluster.control_plane().start()?;
        cluster.start_nodes()?;
        cluster.route_control_plane()?;
        let mut bed = Self { cluster, networks: Vec::new() };
        bed.default_network(parts, subject)?;
        bed.cluster.wait_ready()?;
        detail.say(subject.meta.name());
        match subject.meta {
            Meta::None => {}
            Meta::Manifold => bed.manifold(parts, subject.plugins)?,
            Meta::Thin => multus::thin(&bed, parts)?,
            Meta::Thick => multus::thick(&bed, parts)?,
        }
        bed.namespace()?;
        if subject.meta != Meta::None {
            bed.definitions(parts)?;
        }
        bed.cluster.wait_ready()?;
        Ok(bed)
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(super) fn client(&self) -> &ApiClient {
        self.cluster.client()
    }

    pub(super) fn node(&self) -> &Node {
        self.cluster.nodes().first().expect("the cluster was made with one node")
    }

    /// The same in every row, as a cluster has it from somebody else.
    pub(super) fn podnet(&self) -> anyhow::Result<Value> {
        let cidr = self.cluster.pod_cidr(self.node())?;
        Ok(json!({"cniVersion": "1.0.0", "name": PODNET, "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
             "ipam": {"type": "host-local", "ranges": [[{"subnet": cidr}]], "routes": [{"dst": "0.0.0.0/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": true}}]}))
    }

    fn default_network(&self, parts: &Parts, subject: Subject) -> anyhow::Result<()> {
        let folder = self.node().path(PLUGINS);
        match (subject.meta, subject.plugins) {
            (Meta::Manifold, _) | (_, Plugins::Reference) => copy_plugins(&parts.reference, &folder)?,
            (_, Plugins::Ours) => {
                // By name: another file system cannot be linked to.
                let first = folder.join(NAMES[0]);
                fs::create_dir_all(&folder)?;
                fs::copy(parts.reference.join(LOOPBACK), folder.join(LOOPBACK))
                    .context("cannot copy the reference's `loopback`")?;
                fs::copy(&parts.executables.shim, &first).context("cannot copy the executable")?;
                executable::install(&first, &folder, NAMES.get(1..).unwrap_or_default())?;
            }
        }
        self.node().write(&format!("/etc/cni/net.d/10-{PODNET}.conflist"), &self.podnet()?.to_string())
    }

    /// By the chart, with both of its roles.
    fn manifold(&self, parts: &Parts, plugins: Plugins) -> anyhow::Result<()> {
        self.cluster.load(&parts.executables)?;
        let source = ["--set=defaultNetwork.source=existing", "--set=defaultNetwork.configuration=podnet"];
        let bundled = match plugins {
            Plugins::Ours => &[][..],
            Plugins::Reference => &["--set-json=networks.bundled=[]"],
        };
        let more: Vec<&str> = parts.values.iter().flat_map(|value| ["--set", value.as_str()]).collect();
        self.cluster.install_with(&[&source[..], bundled, &more].concat())?;
        self.cluster.wait_installed()?;
        self.wait_file("/etc/cni/net.d/00-manifold.conflist")
    }

    pub(super) fn wait_file(&self, path: &str) -> anyhow::Result<()> {
        let what = format!("`{path}` on the node");
        self.cluster.wait(&what, || Ok(self.node().path(path).exists().then_some(())))
    }

    fn namespace(&self) -> anyhow::Result<()> {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        self.client().send("POST", "/api/v1/namespaces", &object)?;
        let account = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default");
        self.cluster.wait("the namespace's account", || self.cluster.get(&account)).map(drop)
    }

    fn definitions(&mut self, parts: &Parts) -> anyhow::Result<()> {
        for (number, kind) in parts.kinds.iter().enumerate() {
            let name = format!("{}-{number}", kind.name());
            let config = kind.config(&name, number).to_string();
            let object = json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
                "metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"config": config}});
            self.cluster.apply(&object.to_string())?;
            self.networks.push(name);
        }
        Ok(())
    }

    /// The definition of definitions, where nobody brings it.
    pub(super) fn definition_of_definitions(&self) -> anyhow::Result<()> {
        let path = project::root().join("crds/yaml").display().to_string();
        self.cluster.kubectl(&["apply", "--server-side", "-f", &path])?;
        self.cluster.wait("the definitions of networks to be served", || {
            let path = "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions?limit=1";
            Ok(self.client().get(path)?.ok().then_some(()))
        })
    }

    pub(super) fn watched(&self) -> anyhow::Result<Watched> {
        let runs = |what: &str, pid: Option<u32>| pid.with_context(|| format!("{what} does not run"));
        let server = |name: &str| runs(name, self.cluster.control_plane().daemon(name).pid());
        let roles = self.node().processes();
        let of = |role: &'static str| roles.iter().copied().filter(move |pid| is_role(*pid, role));
        Ok(Watched {
            runtime: runs("containerd", self.node().daemon("containerd").pid())?,
            daemons: of("agent").chain(self.node().daemon(multus::DAEMON).pid()).collect(),
            cluster_role: of("controller").collect(),
            servers: vec![server("kube-apiserver")?, server("etcd")?],
        })
    }
}

/// Whether a process is this subcommand of `manifold-controller`.
fn is_role(pid: u32, role: &str) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = words.split(|byte| *byte == 0);
    words.next().is_some_and(|program| program.ends_with(b"/manifold-controller"))
        && words.next() == Some(role.as_bytes())
}
