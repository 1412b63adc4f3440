//! Manifold installed as users do it: images brought to the nodes, then the chart by Helm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::Context;
use serde_json::Value;

use super::images::{self, Image};
use super::{Cluster, POD_CIDR, address};
use crate::controller::NAMESPACE;
use crate::helm::{Generation, Helm};
use crate::janitor::Scratch;
use crate::{netns, project};

/// As the chart names them by default.
const NODE_IMAGE: &str = "localhost/manifold-node";
const CLUSTER_IMAGE: &str = "localhost/manifold-controller";
const TAG: &str = "0.1.0";
const RELEASE: &str = "manifold";

/// The executables that a release is made of.
#[derive(Clone, Debug)]
pub struct Executables {
    pub shim: PathBuf,
    pub controller: PathBuf,
}

impl Cluster {
    /// Makes the images of these executables and brings them to every node, in the place of earlier ones.
    pub fn load(&self, executables: &Executables) -> anyhow::Result<()> {
        self.load_into(&images::folder(&self.place), executables, TAG)
    }

    /// Brings another version beside the one that is there: to be had as `image.node.tag` and `image.cluster.tag`.
    pub fn load_as(&self, executables: &Executables, tag: &str) -> anyhow::Result<()> {
        let scratch = Scratch::new("version").context("cannot make a temporary folder")?;
        self.load_into(scratch.path(), executables, tag)
    }

    fn load_into(&self, folder: &Path, executables: &Executables, tag: &str) -> anyhow::Result<()> {
        let (shim, controller) = (executables.shim.as_path(), executables.controller.as_path());
        let archives = [folder.join("manifold-node.tar"), folder.join("manifold-controller.tar")];
        let [node, cluster] = &archives;
        let files = [(shim, "manifold"), (controller, "manifold-controller")];
        image(&format!("{NODE_IMAGE}:{tag}"), &files, node)?;
        image(&format!("{CLUSTER_IMAGE}:{tag}"), &[(controller, "manifold-controller")], cluster)?;
        self.nodes().iter().try_for_each(|node| node.import(&archives))
    }

    /// Takes away what [`Cluster::load_as`] brought.
    pub fn unload(&self, tag: &str) -> anyhow::Result<()> {
        let names = [NODE_IMAGE, CLUSTER_IMAGE].map(|name| format!("{name}:{tag}"));
        self.nodes().iter().try_for_each(|node| {
            let words = ["ctr", "--namespace", "k8s.io", "images", "remove"];
            node.exec(&[&words[..], &names.each_ref().map(String::as_str)].concat()).map(drop)
        })
    }

    /// Brings the images of another cluster to the nodes of this one.
    pub fn load_from(&self, other: &Self) -> anyhow::Result<()> {
        let archives: Vec<PathBuf> = images::all(&other.place)?;
        self.nodes().iter().try_for_each(|node| node.import(&archives))
    }

    /// Installs the chart with the built-in default network, or upgrades to it. `more` are flags of Helm (`--set=…`).
    pub fn install(&self, more: &[&str]) -> anyhow::Result<()> {
        let ranges = format!("defaultNetwork.builtIn.clusterCidrs={{{POD_CIDR}}}");
        self.install_with(&[&["--set", &ranges], more].concat())
    }

    /// The same with whatever default network the flags name.
    pub fn install_with(&self, more: &[&str]) -> anyhow::Result<()> {
        let chart = project::root().join("charts/manifold").display().to_string();
        let server = format!("node.apiServer.address=https://{}", address());
        let words = [
            &["upgrade", "--install", RELEASE, &chart, "--namespace", NAMESPACE, "--create-namespace"],
            &["--set", "image.pullPolicy=Never", "--set", &server][..],
            more,
        ]
        .concat();
        netns::said("helm upgrade --install", &self.helm(&words)?).map(drop)
    }

    /// Installs the chart with nothing but its defaults.
    pub fn install_defaults(&self) -> anyhow::Result<()> {
        let chart = project::root().join("charts/manifold").display().to_string();
        let words = ["install", RELEASE, &chart, "--namespace", NAMESPACE, "--create-namespace"];
        netns::said("helm install", &self.helm(&words)?).map(drop)
    }

    /// Upgrades the release that is there, with another value (`KEY=VALUE`) and everything else as it was installed.
    pub fn set(&self, value: &str) -> anyhow::Result<()> {
        let chart = project::root().join("charts/manifold").display().to_string();
        let words = ["upgrade", RELEASE, &chart, "--namespace", NAMESPACE, "--reuse-values", "--set", value];
        netns::said("helm upgrade", &self.helm(&words)?).map(drop)
    }

    /// After a removal that was refused: Helm upgrades no release that it began to uninstall.
    pub fn keep(&self) -> anyhow::Result<()> {
        let words = ["history", RELEASE, "--namespace", NAMESPACE, "--output", "json"];
        let history = netns::said("helm history", &self.helm(&words)?)?;
        let history: Vec<Value> = serde_json::from_str(&history).context("Helm's history is not a list")?;
        // Without a number it goes back to the one before, with the values of that time.
        let current =
            history.last().and_then(|entry| entry.get("revision")).context("Helm has no history")?;
        let words = ["rollback", RELEASE, &current.to_string(), "--namespace", NAMESPACE];
        netns::said("helm rollback", &self.helm(&words)?).map(drop)
    }

    /// Takes the release away, and waits until its hook has.
    pub fn uninstall(&self) -> anyhow::Result<()> {
        // Beyond the deadline of the hook's Job, which says more of what is wrong.
        let words = ["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout", "6m"];
        netns::said("helm uninstall", &self.helm(&words)?).map(drop)
    }

    /// Returns when both roles run on every node that they should run on.
    pub fn wait_installed(&self) -> anyhow::Result<()> {
        self.wait_ready()?;
        // One node after the other, and on each the old pod goes before the new one comes.
        let patience = format!("--timeout={}s", 2 * super::PATIENCE.as_secs());
        for object in ["daemonset/manifold-node", "deployment/manifold-controller"] {
            self.kubectl(&["rollout", "status", object, "--namespace", NAMESPACE, &patience])?;
        }
        Ok(())
    }

    /// Runs Helm; a refusal is an answer, not an error.
    pub fn helm(&self, words: &[&str]) -> anyhow::Result<Output> {
        let helm = Helm::ensure(Generation::Four, &mut |_| {})?;
        let mut command = self.client_command(helm.path())?;
        let home = self.place.join("home");
        fs::create_dir_all(&home).with_context(|| format!("cannot make `{}`", home.display()))?;
        for (name, folder) in [("CACHE", "cache"), ("CONFIG", "config"), ("DATA", "data")] {
            command.env(format!("HELM_{name}_HOME"), home.join(folder));
        }
        command.args(words).output().context("cannot run Helm")
    }
}

/// With the libraries that they need: those of a test's build are not static.
fn image(name: &str, executables: &[(&Path, &str)], archive: &Path) -> anyhow::Result<()> {
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for (executable, inside) in executables {
        files.push(((*executable).to_owned(), (*inside).to_owned()));
        for library in libraries(executable)? {
            let inside = library.display().to_string();
            files.push((library, inside));
        }
    }
    files.sort_by(|a, b| a.1.cmp(&b.1));
    files.dedup_by(|a, b| a.1 == b.1);
    let files: Vec<(&Path, &str)> =
        files.iter().map(|(file, inside)| (file.as_path(), inside.as_str())).collect();
    Image { name, entrypoint: &["/manifold-controller"], files: &files, links: &[] }.write(archive)
}

/// What the dynamic linker would load; nothing for a static executable.
fn libraries(executable: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = Command::new("ldd").arg(executable).output().context("`ldd` cannot be run")?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let words = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(words.map(PathBuf::from).filter(|path| path.exists()).collect())
}
