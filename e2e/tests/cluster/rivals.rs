//! A program that keeps renaming our configuration, as Cilium does: it is named, and so are the pods that started meanwhile.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::bed::{Space, text};
use crate::other::Other;

const OURS: &str = "/etc/cni/net.d/00-manifold.conflist";
const ASIDE: &str = "/etc/cni/net.d/00-manifold.conflist.cilium_bak";
const PODS: usize = 20;

// Proves: COMPAT-32
#[test]
fn who_renames_the_configuration_is_named_and_so_is_every_pod_that_started_without_its_networks() {
    let other = Other::start("rivals");
    let (cluster, node) = (other.cluster, other.node());
    other.install(&[]);
    let space = Space::on(cluster, "rivals");
    let config = json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "eth0",
        "ipam": {"type": "host-local", "subnet": "10.70.0.0/24"}});
    space.definition("green", &config);
    let pods: Vec<String> = (0..PODS).map(|n| format!("pod-{n}")).collect();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let _ = fs::rename(node.path(OURS), node.path(ASIDE));
                thread::sleep(Duration::from_millis(5));
            }
        });
        let started = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pods.iter().for_each(|pod| space.pod(pod, node, "green"));
            pods.iter().for_each(|pod| drop(space.wait_ready(pod)));
        }));
        ended.store(true, Ordering::Relaxed);
        started.unwrap();
    });
    let named = || {
        let events = cluster.list("/apis/events.k8s.io/v1/namespaces/default/events")?;
        let mut restored = events.iter().filter(|event| text(event, "/reason") == "ConfigurationRestored");
        Ok(restored.any(|event| text(event, "/note").contains("`cni.exclusive=false`")).then_some(()))
    };
    cluster.wait("an event that names Cilium", named).unwrap();
    cluster.wait("the configuration to be back", || Ok(node.path(OURS).exists().then_some(()))).unwrap();
    // Those that came through while ours was there have their network and say so.
    let without: Vec<&String> = pods.iter().filter(|pod| !has_status(&space, pod)).collect();
    assert!(!without.is_empty(), "the rival was never first");
    for pod in &without {
        space.wait_event_with(pod, "NetworkStatusMissing", "delete the pod so that it is created again");
    }
    // What the event says helps.
    let one = without.first().unwrap().as_str();
    space.delete(one);
    space.pod(one, node, "green");
    space.wait_ready(one);
    assert_eq!(space.status(one).len(), 2);
    pods.iter().for_each(|pod| space.delete(pod));
    crate::other::wait_counted(&space, "green", "0");
    other.cluster.uninstall().unwrap();
}

fn has_status(space: &Space, pod: &str) -> bool {
    let object = space.get(pod).unwrap();
    crate::bed::annotation(&object, crate::bed::STATUS).is_some_and(|status| !status.is_empty())
}
