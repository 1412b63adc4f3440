//! `cluster-local` alone, on files: a node that holds blocks, and nobody to ask for more.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends where it cannot go on")]

mod answers;
mod check;
mod lifecycle;

use std::path::Path;
use std::time::{Duration, Instant};

use manifold_address_store::identity::NodeIdentity;
use manifold_address_store::{Claims, DomainFolder, Store, clock};
use manifold_addresses::holdings::Part;
use manifold_cni::CniResult;
use manifold_plugins::ipam::ClusterLocal;
use manifold_plugins::ipam::cluster_local::Surroundings;
use serde_json::{Value, json};

use crate::ipam_bed::{Answer, Call, NETWORK};

/// A node's state folder.
struct Node {
    state: tempfile::TempDir,
}

/// Nobody may be asked.
fn never(_: &Path) -> Box<dyn Claims> {
    panic!("somebody was about to be asked")
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(90)
}

impl Node {
    /// With no word of who it is: no cluster.
    fn bare() -> Self {
        Self { state: tempfile::tempdir().unwrap() }
    }

    /// That holds these blocks of the default domain.
    fn holding(blocks: &[&str]) -> Self {
        let node = Self::bare();
        let me = NodeIdentity { node: "worker-7".parse().unwrap(), uid: "uid-7".parse().unwrap() };
        me.write(node.state.path()).unwrap();
        for block in blocks {
            node.take(block, Part::Whole);
        }
        node
    }

    fn take(&self, block: &str, part: Part) {
        let (folder, me) = (self.domain(), self.store().identity().unwrap());
        let locked = folder.lock(soon()).unwrap();
        locked.change(&me, |holdings, now| holdings.take(block.parse().unwrap(), part, 0, now)).unwrap();
    }

    fn store(&self) -> Store {
        Store::of(self.state.path())
    }

    fn domain(&self) -> DomainFolder {
        self.store().domain(&"default".parse().unwrap())
    }

    fn plugin(&self) -> ClusterLocal {
        let state_dir = self.state.path().to_owned();
        ClusterLocal { surroundings: Some(Surroundings { state_dir, claims: None }) }
    }

    fn run(&self, call: &Call, config: &Value) -> Answer {
        crate::ipam_bed::ours(&self.plugin(), call, config)
    }

    /// The addresses that have a lease.
    fn leases(&self) -> Vec<String> {
        let found = self.domain().found().unwrap();
        found.iter().map(|found| found.ip.to_string()).collect()
    }
}

fn config(ipam: Value) -> Value {
    let mut config = json!({"cniVersion": "1.1.0", "name": NETWORK, "type": "macvlan", "ipam": ipam});
    config["ipam"]["type"] = json!("cluster-local");
    config
}

fn with_result(config: &Value, result: &Value) -> Value {
    let mut config = config.clone();
    config["prevResult"] = result.clone();
    let _: CniResult = serde_json::from_value(result.clone()).unwrap();
    config
}

/// Notes that the last claim found nothing.
fn note_short(node: &Node) {
    let now = clock::now().unwrap();
    std::fs::write(node.domain().path().join("short"), format!("{} {}\n", now.boot, now.seconds)).unwrap();
}
