//! From one release to the next and back, while pods come and go.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use manifold_e2e::cluster::{Cluster, Executables, Node};
use serde_json::Value;
use tempfile::TempDir;

use crate::bed::{Space, cluster};
use crate::churn;
use crate::left::wait_nothing_left;
use crate::processes::Process;

pub(crate) const NEXT: &str = "next";
/// How long pods come and go at least, in seconds; more with this variable.
const SECONDS: u64 = 60;
const VARIABLE: &str = "MANIFOLD_CHURN_SECONDS";
const CONFIGURATIONS: &str = "/etc/cni/net.d";
const SHIM: &str = "/opt/cni/bin/manifold";
/// A glance costs some microseconds.
const GLANCE: Duration = Duration::from_millis(5);

/// The next release: the same programs with a few bytes more, which nobody reads.
pub(crate) struct Next {
    cluster: &'static Cluster,
    folder: TempDir,
}

impl Next {
    pub(crate) fn load(cluster: &'static Cluster) -> Self {
        let next = Self { cluster, folder: TempDir::new().unwrap() };
        let node = cluster.nodes().first().unwrap();
        let controller = Process::wait_node_role(cluster, node).path("exe");
        let grown = |from: &Path, name: &str| {
            let to = next.file(name);
            fs::copy(from, &to).unwrap();
            fs::File::options().append(true).open(&to).unwrap().write_all(b"the next release").unwrap();
            to
        };
        let shim = grown(&node.path(SHIM), "manifold");
        let controller = grown(&controller, "manifold-controller");
        cluster.load_as(&Executables { shim, controller }, NEXT).unwrap();
        next
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns when both roles are of this release everywhere. None: of the first one.
    pub(crate) fn roll(&self, tag: Option<&str>) {
        let tag = tag.unwrap_or_default();
        self.cluster.set(&format!("image.node.tag={tag},image.cluster.tag={tag}")).unwrap();
        self.cluster.wait_installed().unwrap();
    }
}

impl Drop for Next {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.cluster.set("image.node.tag=,image.cluster.tag=");
        }
        let _ = self.cluster.unload(NEXT);
    }
}

/// Looks at a node's folders all the time; the first thing that is wrong ends it.
fn watch(node: &Node, sizes: [u64; 2], stop: &AtomicBool) -> anyhow::Result<u64> {
    let mut glances = 0;
    while !stop.load(Ordering::Relaxed) {
        glance(node, sizes).map_err(|error| error.context(format!("{}, glance {glances}", node.name())))?;
        glances += 1;
        thread::sleep(GLANCE);
    }
    Ok(glances)
}

/// One configuration of ours, whole; one executable, whole, of either release.
fn glance(node: &Node, sizes: [u64; 2]) -> anyhow::Result<()> {
    let entries = fs::read_dir(node.path(CONFIGURATIONS))?.collect::<Result<Vec<_>, _>>()?;
    let is_ours = |path: &PathBuf| {
        path.extension().is_some_and(|end| end == "conflist") && path.to_string_lossy().contains("manifold.")
    };
    let ours: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).filter(is_ours).collect();
    anyhow::ensure!(ours.len() == 1, "configurations: {ours:?}");
    let list: Value = serde_json::from_slice(&fs::read(&ours[0])?)?;
    anyhow::ensure!(list.pointer("/plugins/0/type") == Some(&"manifold".into()), "{list}");
    let shim = fs::metadata(node.path(SHIM))?;
    anyhow::ensure!(sizes.contains(&shim.len()), "an executable of {} bytes", shim.len());
    anyhow::ensure!(shim.permissions().mode() & 0o777 == 0o755, "mode {:o}", shim.permissions().mode());
    Ok(())
}

/// Every node has this executable, under both of its names.
fn assert_installed(cluster: &Cluster, executable: &[u8]) {
    for node in cluster.nodes() {
        assert!(fs::read(node.path(SHIM)).unwrap() == executable, "the executable of {}", node.name());
        let number = |name: &str| fs::metadata(node.path(name)).unwrap().ino();
        assert_eq!(number(SHIM), number("/opt/cni/bin/loopback"), "{}", node.name());
    }
}

fn seconds() -> Duration {
    let named = std::env::var(VARIABLE).ok().map(|text| text.parse().unwrap());
    Duration::from_secs(named.unwrap_or(SECONDS))
}

// Shows part of: T-10
#[test]
fn an_upgrade_and_the_way_back_while_pods_come_and_go_fails_none_and_leaves_nothing() {
    let space = Space::new("upgrade");
    space.bridge("wire", 80);
    space.macvlan("green", 81);
    let networks = [space.network("wire"), space.network("green")].join(",");
    let next = Next::load(space.cluster);
    let node = space.cluster.nodes().first().unwrap();
    let [first, second] = [node.path(SHIM), next.file("manifold")].map(|path| fs::read(path).unwrap());
    let sizes = [first.len() as u64, second.len() as u64];

    let [stop, churned] = [AtomicBool::new(false), AtomicBool::new(false)];
    thread::scope(|scope| {
        let churn = scope.spawn(|| churn::run(&space, &networks, &stop));
        let watched: Vec<_> =
            cluster().nodes().iter().map(|node| scope.spawn(|| watch(node, sizes, &churned))).collect();
        let roll = std::panic::AssertUnwindSafe(|| {
            let begin = Instant::now();
            while begin.elapsed() < seconds() {
                next.roll(Some(NEXT));
                assert_installed(space.cluster, &second);
                next.roll(None);
                assert_installed(space.cluster, &first);
            }
        });
        let rolled = std::panic::catch_unwind(roll);
        stop.store(true, Ordering::Relaxed);
        let pods = churn.join().unwrap();
        churned.store(true, Ordering::Relaxed);
        let glances: Vec<_> = watched.into_iter().map(|thread| thread.join().unwrap()).collect();
        if let Err(panic) = rolled {
            std::panic::resume_unwind(panic);
        }
        let pods = pods.unwrap();
        for glances in glances {
            assert!(glances.unwrap() > 1000);
        }
        let _ = writeln!(std::io::stderr(), "{} pods came and went", pods.made);
        assert_eq!(pods.failures, [], "of {} pods", pods.made);
        assert!(pods.made > 60, "{} pods are no load", pods.made);
    });
    wait_nothing_left(space.cluster);
    for (node, network) in space.cluster.nodes().iter().flat_map(|node| [(node, "wire"), (node, "green")]) {
        assert_eq!(space.leases(node, network), Vec::<String>::new(), "{network} on {}", node.name());
    }
}
