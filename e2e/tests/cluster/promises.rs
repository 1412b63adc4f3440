//! No hot-add, no definition deleted under its pods, and what kubectl tells of definitions.

use std::process::Output;

use serde_json::json;

use crate::bed::{NETWORKS, Space};

fn plain_macvlan(space: &Space) -> serde_json::Value {
    json!({"cniVersion": "1.0.0", "name": space.network("blue"), "type": "macvlan", "master": "eth0",
           "ipam": {"type": "host-local", "subnet": "10.61.0.0/24"}})
}

#[test]
fn kubectl_annotate_adds_no_network_to_a_running_pod_and_says_why() {
    let space = Space::new("hotadd");
    space.definition("blue", &plain_macvlan(&space));
    space.pod("plain", &space.cluster.nodes()[0], "");
    space.wait_ready("plain");
    let words = ["annotate", "pod", "plain", "--namespace", &space.name, &format!("{NETWORKS}=blue")];
    let answer = space.cluster.try_kubectl(&words, "").unwrap();
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(!answer.status.success() && said.contains("manifold-selection-frozen"), "{said}");
    assert!(!space.exec("plain", &["ip", "link"]).contains("net1"), "nothing was attached");
    let words = ["annotate", "pod", "plain", "--namespace", &space.name, "mood=good"];
    assert!(space.cluster.try_kubectl(&words, "").unwrap().status.success(), "other annotations are free");
    space.delete("plain");
}

fn assert_refused(answer: &Output) {
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(!answer.status.success(), "{said}");
    assert!(said.contains("is forbidden") || said.contains("denied"), "{said}");
}

/// Returns when a deletion that would be refused is, by a trial. The server asks for two seconds and goes on without an answer,
/// and a deletion cannot be taken back: not so on a machine that is too busy just now.
fn wait_webhook(space: &Space, delete: &[&str]) {
    let trial = [delete, &["--dry-run=server"]].concat();
    let refused = || Ok(Some(space.cluster.try_kubectl(&trial, "")?).filter(|said| !said.status.success()));
    assert_refused(&space.cluster.wait("a trial of the deletion to be refused", refused).unwrap());
}

#[test]
fn a_definition_that_pods_use_is_counted_shown_and_not_deleted_until_they_are_gone() {
    let space = Space::new("inuse");
    space.definition("blue", &plain_macvlan(&space));
    let columns = || {
        let words = ["get", "net-attach-def", "blue", "--namespace", &space.name];
        space.cluster.kubectl(&words)
    };
    for (pod, node) in [("a", 0), ("b", 1)] {
        space.pod(pod, &space.cluster.nodes()[node], "blue");
        space.wait_ready(pod);
    }
    let shown = space.cluster.wait("two pods to be counted", || {
        let shown = columns()?;
        let row: Vec<String> =
            shown.lines().nth(1).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        Ok(row.get(1..4).is_some_and(|row| row == ["macvlan", "2", "True"]).then_some(shown))
    });
    let shown = shown.unwrap_or_else(|error| panic!("{error}\n{:?}", columns()));
    let head: Vec<&str> = shown.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(head, ["NAME", "TYPE", "PODS", "VALID", "AGE"]);

    let delete = ["delete", "net-attach-def", "blue", "--namespace", &space.name, "--wait=false"];
    wait_webhook(&space, &delete);
    let answer = space.cluster.try_kubectl(&delete, "").unwrap();
    assert_refused(&answer);
    for pod in ["a", "b"] {
        space.delete(pod);
    }
    space
        .cluster
        .wait("the definition to be free", || {
            Ok(space.cluster.try_kubectl(&delete, "")?.status.success().then_some(()))
        })
        .unwrap();
}
