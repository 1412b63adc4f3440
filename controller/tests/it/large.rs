//! What others can do to the controller with what they are allowed to write: its memory, and its answer to the kubelet.

use std::fs;

use manifold_crds::keys::NETWORKS;
use manifold_e2e::api_server::ApiServer;
use manifold_e2e::controller::{Controllers, Options, Replica};
use serde_json::json;

use crate::shared::{half_open, is_alive};

/// Below half of the limit that the chart sets. As one text and as values the list of these pods is more than twice the limit.
const MEMORY_MOST_MIB: u64 = 200;
const PODS: usize = 185;
const DEFINITIONS: usize = 60;
/// The API server takes 256 KiB of annotations for each object, and writes six bytes for each of these.
const ANNOTATION_BYTES: usize = 250 << 10;

/// The most memory that it ever had.
fn peak_mib(replica: &Replica) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", replica.pid().unwrap())).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

// Proves: F-CTL-9
#[test]
fn the_cluster_role_stays_small_whatever_pods_and_definitions_carry() {
    let api = ApiServer::start().unwrap();
    let home = api.namespace("large").unwrap();
    let note = "<".repeat(ANNOTATION_BYTES);
    for n in 0..PODS {
        home.pod(&format!("p{n}"), &[("note", &note)]).unwrap();
    }
    let definitions =
        format!("/apis/k8s.cni.cncf.io/v1/namespaces/{}/network-attachment-definitions", home.name());
    for n in 0..DEFINITIONS {
        let object = json!({
            "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": format!("n{n}"), "annotations": {"note": note}},
            "spec": {"config": r#"{"cniVersion": "1.0.0", "type": "macvlan", "master": "eth1"}"#},
        });
        api.client().send("POST", &definitions, &object).unwrap();
    }
    // The Lease as it is by default: a busy machine needs seconds for what is read here, and a bed's Lease lasts three.
    let config = json!({"lease": {"durationSeconds": 10, "retrySeconds": 2}});
    let bed = Controllers::start(&api, &Options { config, ..Options::default() }).unwrap();
    let replica = bed.replica(0);
    let counts = |name: &str, least: usize| {
        bed.wait(name, || Ok(replica.metrics()?.sum(name, &[]) >= least as f64)).unwrap();
    };
    counts("manifold_usage_pods", PODS);
    counts("manifold_usage_definitions", DEFINITIONS);
    // And what the watch tells.
    for n in 0..20 {
        home.pod(&format!("later-{n}"), &[("note", &note), (NETWORKS, "n0")]).unwrap();
    }
    counts("manifold_usage_pods", PODS + 20);
    counts("manifold_usage_definitions_in_use", 2);
    let peak = peak_mib(replica);
    println!("{peak} MiB");
    assert!(peak < MEMORY_MOST_MIB, "{peak} MiB; it says:\n{}", replica.last_words());
    assert_eq!(replica.metrics().unwrap().sum("manifold_usage_malformed_objects_total", &[]), 0.0);
}

// Proves: F-CTL-10
#[test]
fn half_open_connections_do_not_keep_the_kubelet_from_its_answer() {
    let api = ApiServer::start().unwrap();
    let bed = Controllers::start(&api, &Options { webhook: false, ..Options::default() }).unwrap();
    let port = bed.replica(0).status_port();
    let _strangers = half_open(port);
    assert!(is_alive(port), "{}", bed.replica(0).last_words());
}
