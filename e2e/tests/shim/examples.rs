//! `deploy/examples`: the same files, through the API server and as manifests without one, give the same pods.

use std::fs;
use std::path::{Path, PathBuf};

use manifold_e2e::api_server::ApiServer;
use manifold_e2e::netns::TestNetns;
use manifold_e2e::runtime::{Pod, Runtime};
use serde_json::{Value, json};

use crate::kernel;
use crate::node::{Node, STATUS, manifold};
use crate::sandbox::Sandbox;

const PODS: [&str; 2] = ["pod-a", "pod-b"];

fn examples() -> PathBuf {
    manifold_e2e::project::root().join("deploy/examples")
}

/// The configurations keep their leases where the reference does: below `/var/lib/cni`, here a folder of the node.
fn executable(node: &Node<'_>) -> PathBuf {
    let leases = node.folder("var-lib");
    fs::create_dir_all(&leases).unwrap();
    node.with_mount(&leases, Path::new("/var/lib"))
}

/// Attaches both pods of the examples.
fn attach(runtime: &Runtime<'_>, uid: impl Fn(&str) -> Option<String>) -> Vec<(Sandbox, Value)> {
    let attach = |name: &&str| {
        let netns = TestNetns::new().unwrap();
        let pod = Pod { uid: uid(name), ..Pod::new(&netns, "default", name) };
        let result = runtime.add(&pod).unwrap().must_succeed();
        (Sandbox { netns, pod }, result)
    };
    PODS.iter().map(attach).collect()
}

fn detach(runtime: &Runtime<'_>, node: &Node<'_>, pods: &[(Sandbox, Value)]) {
    for (sandbox, _) in pods {
        runtime.del(&sandbox.pod).unwrap().must_succeed();
        assert_eq!(sandbox.links(), Vec::<String>::new());
    }
    assert_eq!(node.ledger(), Vec::<String>::new());
}

/// What one run gave: the answers and the statuses, without what is drawn by lot or belongs to a namespace.
fn told(pods: &[(Sandbox, Value)], statuses: &[Vec<Value>]) -> Value {
    let mut told = json!([pods.iter().map(|(_, result)| result).collect::<Vec<_>>(), statuses]);
    forget(&mut told);
    told
}

fn forget(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|key, value| key != "sandbox" && !(key == "mac" && *value != "02:23:45:67:89:01"));
            let host_end =
                object.get("name").and_then(Value::as_str).is_some_and(|name| name.starts_with("veth"));
            if host_end {
                object.insert("name".into(), json!("a host's end"));
            }
            object.values_mut().for_each(forget);
        }
        Value::Array(list) => list.iter_mut().for_each(forget),
        _ => {}
    }
}

#[track_caller]
fn status_is_what_the_kernel_has(sandbox: &Sandbox, status: &[Value]) {
    assert_eq!(status.len(), 3, "{status:?}");
    for entry in status {
        let link = entry["interface"].as_str().unwrap();
        let mut ips: Vec<String> = serde_json::from_value(entry["ips"].clone()).unwrap();
        ips.sort();
        assert_eq!(ips, kernel::addresses(&sandbox.netns, link), "{entry}");
        assert_eq!(entry["mac"], kernel::mac(&sandbox.netns, link), "{entry}");
        assert_eq!(entry["mtu"], kernel::mtu(&sandbox.netns, link), "{entry}");
    }
    let hops: Vec<&str> =
        status[0]["gateway"].as_array().unwrap().iter().map(|g| g.as_str().unwrap()).collect();
    let routes = [4, 6].map(|family| kernel::default_routes(&sandbox.netns, family)).concat();
    assert_eq!(hops.iter().map(|hop| format!("{hop} over eth0")).collect::<Vec<_>>(), routes);
}

fn ping_each_network((one, _): &(Sandbox, Value), status: &[Value]) {
    for entry in status {
        for ip in entry["ips"].as_array().unwrap() {
            let link = entry["interface"].as_str().unwrap();
            // The kernel may give up asking for a neighbour that has not come up yet.
            let ping = || one.netns.exec(&["ping", "-c1", "-W5", "-I", link, ip.as_str().unwrap()]);
            assert!((0..20).any(|_| ping().is_ok()), "{:?}", ping());
        }
    }
}

/// Through the API server: `kubectl apply -f deploy/examples/`.
fn through_the_api_server() -> Value {
    let api = ApiServer::shared().unwrap();
    ["default", "kube-system"].iter().for_each(|name| api.ensure_namespace(name).unwrap());
    let mut node = Node::bare(api, "examples");
    node.entry.remove("multusNamespace");
    for file in ["networks.yaml", "pods.yaml"] {
        api.apply(&fs::read_to_string(examples().join(file)).unwrap()).unwrap();
    }
    let pod_at_the_server = |name: &str| -> Value {
        api.client().get(&format!("/api/v1/namespaces/default/pods/{name}")).unwrap().json().unwrap()
    };
    let mut runtime = node.runtime_of(&executable(&node));
    runtime.pass_annotations = false;
    let uid = |name: &str| Some(pod_at_the_server(name)["metadata"]["uid"].as_str().unwrap().to_string());
    let pods = attach(&runtime, uid);
    let statuses: Vec<Vec<Value>> = PODS
        .iter()
        .map(|name| {
            let text =
                pod_at_the_server(name)["metadata"]["annotations"][STATUS].as_str().unwrap().to_string();
            serde_json::from_str(&text).unwrap()
        })
        .collect();
    for ((sandbox, _), status) in pods.iter().zip(&statuses) {
        status_is_what_the_kernel_has(sandbox, status);
    }
    ping_each_network(&pods[0], &statuses[1]);
    detach(&runtime, &node, &pods);
    told(&pods, &statuses)
}

/// Without one: the folder itself is the source.
fn through_manifests() -> Value {
    let mut node = Node::bare(ApiServer::shared().unwrap(), "embedded");
    node.cut_off();
    let folder = node.folder("manifests");
    fs::create_dir(&folder).unwrap();
    for file in ["networks.yaml", "pods.yaml"] {
        fs::copy(examples().join(file), folder.join(file)).unwrap();
    }
    node.entry.remove("multusNamespace");
    node.entry.insert("manifests".into(), json!(folder));
    let mut runtime = node.runtime_of(&executable(&node));
    runtime.pass_annotations = false;
    let pods = attach(&runtime, |_| None);
    let statuses: Vec<Vec<Value>> = PODS
        .iter()
        .map(|name| {
            let file = fs::read_dir(folder.join(".status")).unwrap().map(|file| file.unwrap().path());
            let file = file.into_iter().find(|path| path.to_string_lossy().contains(name)).unwrap();
            serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
        })
        .collect();
    for ((sandbox, _), status) in pods.iter().zip(&statuses) {
        status_is_what_the_kernel_has(sandbox, status);
    }
    detach(&runtime, &node, &pods);
    told(&pods, &statuses)
}

// Proves: NPWG-5-1, NPWG-5.2-1, NPWG-4.1-1, NPWG-4.1-2, NPWG-5.1-1
#[test]
fn the_examples_give_the_same_pods_through_the_api_server_and_without_one() {
    assert!(manifold().is_file());
    assert_eq!(through_the_api_server(), through_manifests());
}
