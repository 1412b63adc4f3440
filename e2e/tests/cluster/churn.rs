//! Pods that come and go all the time, on all nodes, every second one with two networks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use manifold_e2e::cluster::PATIENCE;
use serde_json::{Value, json};

use crate::bed::{NETWORKS, Space, is_ready, pod_spec, text};

/// So many pods are made in a second, if the machine can.
const RATE: f64 = 5.0;
/// More at once would only wait for the kubelets.
const AT_ONCE: usize = 30;
const PACE: Duration = Duration::from_millis(200);
/// What a request to make a pod may be refused for, while one that serves it is replaced.
const RETRY: Duration = Duration::from_secs(60);

/// What became of the pods.
#[derive(Debug, Default)]
pub(crate) struct Churned {
    /// All of them were ready, were deleted, and are gone.
    pub(crate) made: usize,
    /// What was said of sandboxes that could not be made, or not be taken down, with the pod's name.
    pub(crate) failures: Vec<(String, String)>,
}

struct Churn<'a> {
    space: &'a Space,
    networks: &'a str,
    begin: Instant,
    made: usize,
    alive: BTreeMap<String, Life>,
}

struct Life {
    since: Instant,
    deleted: bool,
}

/// Makes and deletes pods until `stop`, then waits until all are gone. A pod that is not ready in time is an error. `made` is
/// how many there were so far.
pub(crate) fn run(
    space: &Space,
    networks: &str,
    stop: &AtomicBool,
    made: &AtomicUsize,
) -> anyhow::Result<Churned> {
    let mut churn = Churn { space, networks, begin: Instant::now(), made: 0, alive: BTreeMap::new() };
    loop {
        let over = stop.load(Ordering::Relaxed);
        if over && churn.alive.is_empty() {
            break;
        }
        if !over {
            churn.make()?;
            made.store(churn.made, Ordering::Relaxed);
        }
        churn.look()?;
        thread::sleep(PACE);
    }
    Ok(Churned { made: churn.made, failures: failures(space)? })
}

impl Churn<'_> {
    fn make(&mut self) -> anyhow::Result<()> {
        while (self.made as f64) < self.begin.elapsed().as_secs_f64() * RATE && self.alive.len() < AT_ONCE {
            let name = format!("p{}", self.made);
            self.post(&name)?;
            self.alive.insert(name, Life { since: Instant::now(), deleted: false });
            self.made += 1;
        }
        Ok(())
    }

    fn post(&self, name: &str) -> anyhow::Result<()> {
        let nodes = self.space.cluster.nodes();
        let node = &nodes[self.made % nodes.len()];
        let mut spec = pod_spec("exec sleep 1000000");
        spec.as_object_mut().unwrap().insert("nodeName".into(), node.name().into());
        // Both kinds on every node.
        let two = (self.made / nodes.len()).is_multiple_of(2);
        let annotations = if two { json!({NETWORKS: self.networks}) } else { json!({}) };
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "annotations": annotations}, "spec": spec});
        let first = Instant::now();
        loop {
            match self.space.cluster.client().create_if_missing(&self.space.path("pods"), &pod) {
                Err(error) if first.elapsed() > RETRY => return Err(error),
                Err(_) => thread::sleep(PACE),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Deletes who is ready, and forgets who is gone.
    fn look(&mut self) -> anyhow::Result<()> {
        let path = self.space.path("pods");
        let pods =
            self.space.cluster.wait("the list of pods", || self.space.cluster.list(&path).map(Some))?;
        let found: BTreeMap<&str, &Value> =
            pods.iter().map(|pod| (text(pod, "/metadata/name"), pod)).collect();
        self.alive.retain(|name, life| !life.deleted || found.contains_key(name.as_str()));
        for (name, life) in &mut self.alive {
            let ready = found.get(name.as_str()).is_some_and(|pod| is_ready(pod));
            if ready && !life.deleted {
                self.space.ask_to_delete(name);
                *life = Life { since: Instant::now(), deleted: true };
            }
            let what = if life.deleted { "gone" } else { "ready" };
            anyhow::ensure!(life.since.elapsed() < PATIENCE, "pod `{name}` is not {what} after {PATIENCE:?}");
        }
        Ok(())
    }
}

fn failures(space: &Space) -> anyhow::Result<Vec<(String, String)>> {
    let path = space.path("events");
    let events = space.cluster.wait("the list of events", || space.cluster.list(&path).map(Some))?;
    let failed = events.iter().filter(|event| {
        matches!(text(event, "/reason"), "FailedCreatePodSandBox" | "FailedKillPod" | "NetworksNotAttached")
    });
    let said =
        |event: &Value| (text(event, "/involvedObject/name").to_owned(), text(event, "/message").to_owned());
    Ok(failed.map(said).collect())
}
