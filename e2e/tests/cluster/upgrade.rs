//! From one release to the next and back, while pods come and go.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
/// Fewer would have seen little, on each node.
const GLANCES: usize = 1000;
/// Fewer pods are no load.
const PODS: usize = 60;

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
            let _ = self.cluster.wait_installed();
        }
        let _ = self.cluster.unload(NEXT);
    }
}

/// What goes on beside the upgrade, and how far it has come: on a busy machine it needs longer for as much.
struct Beside {
    stop: AtomicBool,
    /// No pod is there any more.
    churned: AtomicBool,
    pods: AtomicUsize,
    /// By node.
    glances: Vec<AtomicUsize>,
}

impl Beside {
    fn new() -> Self {
        let glances = cluster().nodes().iter().map(|_| AtomicUsize::new(0)).collect();
        let [stop, churned] = [AtomicBool::new(false), AtomicBool::new(false)];
        Self { stop, churned, pods: AtomicUsize::new(0), glances }
    }

    fn is_enough(&self) -> bool {
        let all_have_looked = self.glances.iter().all(|glances| glances.load(Ordering::Relaxed) > GLANCES);
        all_have_looked && self.pods.load(Ordering::Relaxed) > PODS
    }
}

/// Looks at a node's folders all the time; the first thing that is wrong ends it.
fn watch(node: &Node, sizes: [u64; 2], stop: &AtomicBool, glances: &AtomicUsize) -> anyhow::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let number = glances.fetch_add(1, Ordering::Relaxed);
        glance(node, sizes).map_err(|error| error.context(format!("{}, glance {number}", node.name())))?;
        thread::sleep(GLANCE);
    }
    Ok(())
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

    let beside = Beside::new();
    thread::scope(|scope| {
        let churn = scope.spawn(|| churn::run(&space, &networks, &beside.stop, &beside.pods));
        let churned = &beside.churned;
        let nodes = cluster().nodes().iter().zip(&beside.glances);
        let watched: Vec<_> =
            nodes.map(|(node, glances)| scope.spawn(move || watch(node, sizes, churned, glances))).collect();
        let roll = std::panic::AssertUnwindSafe(|| {
            let begin = Instant::now();
            // Who has ended has failed.
            let go_on = || !churn.is_finished() && !watched.iter().any(|thread| thread.is_finished());
            while begin.elapsed() < seconds() || (go_on() && !beside.is_enough()) {
                next.roll(Some(NEXT));
                assert_installed(space.cluster, &second);
                next.roll(None);
                assert_installed(space.cluster, &first);
            }
        });
        let rolled = std::panic::catch_unwind(roll);
        beside.stop.store(true, Ordering::Relaxed);
        let pods = churn.join();
        // Before anybody panics: the others would never end.
        beside.churned.store(true, Ordering::Relaxed);
        let watched: Vec<_> = watched.into_iter().map(thread::ScopedJoinHandle::join).collect();
        if let Err(panic) = rolled {
            std::panic::resume_unwind(panic);
        }
        let pods = pods.unwrap().unwrap();
        watched.into_iter().for_each(|seen| seen.unwrap().unwrap());
        let _ = writeln!(std::io::stderr(), "{} pods came and went", pods.made);
        assert_eq!(pods.failures, [], "of {} pods", pods.made);
        assert!(beside.is_enough(), "{} pods, glances: {:?}", pods.made, beside.glances);
    });
    wait_nothing_left(space.cluster);
    for (node, network) in space.cluster.nodes().iter().flat_map(|node| [(node, "wire"), (node, "green")]) {
        assert_eq!(space.leases(node, network), Vec::<String>::new(), "{network} on {}", node.name());
    }
}
