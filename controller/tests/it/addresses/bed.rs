//! `addresses::run_at` in this process, with a term that the test holds, against an API server with the three resources.

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use manifold_controller::addresses::{self, Metrics, Pace};
use manifold_controller::config::Config;
use manifold_controller::connect;
use manifold_controller::context::Context;
use manifold_crds::ipam::{BlockSpec, PoolStatus};
use manifold_crds::keys::{NETWORK_STATUS, NETWORKS};
use manifold_e2e::api_server::{ApiServer, TestNamespace};
use serde_json::{Value, json};

use crate::leader::LeaderThread;
pub(super) use crate::shared::{PATIENCE, until};

pub(super) const POOLS: &str = "/apis/ipam.manifold.network/v1alpha1/addresspools";
pub(super) const BLOCKS: &str = "/apis/ipam.manifold.network/v1alpha1/addressblocks";
pub(super) const STORE: &str = "0123456789abcdef0123456789abcdef";

/// One server for these tests, one test at a time: a leader looks after every pool and block of its server.
pub(super) fn server() -> MutexGuard<'static, ApiServer> {
    static SERVER: OnceLock<Mutex<ApiServer>> = OnceLock::new();
    let server = SERVER.get_or_init(|| Mutex::new(ApiServer::start().unwrap()));
    let api = server.lock().unwrap_or_else(PoisonError::into_inner);
    clean(&api);
    api
}

/// What the test before left behind.
fn clean(api: &ApiServer) {
    for path in [POOLS, BLOCKS] {
        let list = api.client().get(path).unwrap().json().unwrap();
        for item in list["items"].as_array().cloned().unwrap_or_default() {
            let one = format!("{path}/{}", item["metadata"]["name"].as_str().unwrap());
            let freed = json!({"metadata": {"finalizers": null}});
            let _ = api.client().send("PATCH", &one, &freed);
            let _ = api.client().call("DELETE", &one, "application/json", b"");
        }
    }
    let _ = api.client().call("DELETE", "/api/v1/nodes", "application/json", b"");
}

/// A leader of addresses at work. Dropped, it ends.
pub(super) struct Leader(LeaderThread);

impl Deref for Leader {
    type Target = LeaderThread;

    fn deref(&self) -> &LeaderThread {
        &self.0
    }
}

impl Leader {
    /// `speed`: seconds that pass for it in one.
    pub(super) fn start(api: &ApiServer, speed: u32) -> Self {
        let kubeconfig = api.kubeconfig().to_path_buf();
        let pace = Pace { round: Duration::from_millis(200), speed };
        let end = Instant::now() + Duration::from_secs(3600);
        Self(LeaderThread::start(end, Metrics::register, move |metrics, term, stop| {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async {
                let client = connect::client(Some(&kubeconfig)).await.unwrap();
                let context = Context::new(client, Config::parse("{}").unwrap()).unwrap();
                let events = context.events.clone();
                addresses::run_at(pace, context, metrics, term, stop).await;
                let _ = tokio::time::timeout(Duration::from_secs(5), events.flush()).await;
            });
            runtime.shutdown_background();
        }))
    }
}

pub(super) fn get(api: &ApiServer, path: &str) -> Option<Value> {
    let answer = api.client().get(path).unwrap();
    answer.ok().then(|| answer.json().unwrap())
}

pub(super) fn pool(api: &ApiServer, name: &str, spec: &Value) {
    let object = json!({
        "apiVersion": "ipam.manifold.network/v1alpha1", "kind": "AddressPool", "metadata": {"name": name}, "spec": spec,
    });
    api.client().send("POST", POOLS, &object).unwrap();
}

pub(super) fn status(api: &ApiServer, name: &str) -> PoolStatus {
    let found = get(api, &format!("{POOLS}/{name}")).unwrap_or_default();
    serde_json::from_value(found.get("status").cloned().unwrap_or_else(|| json!({}))).unwrap()
}

/// Waits until the status of a pool is so.
#[track_caller]
pub(super) fn until_status(api: &ApiServer, name: &str, met: impl Fn(&PoolStatus) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = status(api, name);
        if met(&found) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "the status of `{name}` never came to be as expected; it is {found:#?}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// Status, reason and message of a condition.
pub(super) fn condition<'a>(status: &'a PoolStatus, kind: &str) -> (&'a str, &'a str, &'a str) {
    let found = status.conditions.iter().find(|c| c.kind == kind);
    found.map_or(("", "", ""), |c| (c.status.as_str(), c.reason.as_str(), c.message.as_str()))
}

/// A Node object; its UID.
pub(super) fn node(api: &ApiServer, name: &str) -> String {
    let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    let made = api.client().send("POST", "/api/v1/nodes", &object).unwrap();
    made["metadata"]["uid"].as_str().unwrap().to_owned()
}

pub(super) fn held(start: &str, node: &str, uid: &str) -> Value {
    let holder = json!({"node": node, "uid": uid, "store": STORE, "epoch": 0});
    json!({"domain": "default", "start": start, "state": "Held", "holder": holder})
}

pub(super) fn shared(start: &str, allocations: &Value) -> Value {
    json!({"domain": "default", "start": start, "state": "Shared", "allocations": allocations})
}

pub(super) fn share(node: &str, uid: &str) -> Value {
    json!({"node": node, "uid": uid, "store": STORE, "epoch": 0})
}

pub(super) fn claimed(namespace: &str, name: &str, uid: &str) -> Value {
    json!({"claim": {"namespace": namespace, "name": name, "uid": uid}})
}

fn block_object(spec: &Value) -> (String, Value) {
    let typed: BlockSpec = serde_json::from_value(spec.clone()).unwrap();
    let object = json!({
        "apiVersion": "ipam.manifold.network/v1alpha1", "kind": "AddressBlock",
        "metadata": {"name": typed.object_name(), "labels": typed.labels()}, "spec": typed,
    });
    (typed.object_name(), object)
}

/// Writes a block as a node would, over whatever is there.
pub(super) fn block(api: &ApiServer, spec: &Value) {
    let (name, object) = block_object(spec);
    until("the block is written", || {
        let path = format!("{BLOCKS}/{name}");
        match get(api, &path) {
            None => api.client().send("POST", BLOCKS, &object).is_ok(),
            Some(found) => {
                let mut object = object.clone();
                object["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"].clone();
                api.client().send("PUT", &path, &object).is_ok()
            }
        }
    });
}

/// The `spec` of a block by its object's name.
pub(super) fn spec(api: &ApiServer, name: &str) -> Option<Value> {
    get(api, &format!("{BLOCKS}/{name}")).map(|object| object["spec"].clone())
}

pub(super) fn macvlan(ipam: &Value) -> String {
    json!({"cniVersion": "1.0.0", "name": "left", "type": "macvlan", "master": "eth1", "ipam": ipam})
        .to_string()
}

/// A pod that runs on a node, whose status shows these addresses of the network `left`.
pub(super) fn pod(namespace: &TestNamespace<'_>, name: &str, node: &str, ips: &[&str]) -> String {
    let status = json!([
        {"name": "cbr0", "interface": "eth0", "ips": ["10.244.1.5"], "default": true},
        {"name": format!("{}/left", namespace.name()), "interface": "net1", "ips": ips},
    ]);
    let (networks, status) = ("left".to_owned(), status.to_string());
    let annotations: &[(&str, &str)] = &[(NETWORKS, &networks), (NETWORK_STATUS, &status)];
    let pod = namespace.api().pod(namespace.name(), name, node, annotations).unwrap();
    pod["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// The notes of all events of this reason about an object of this name.
pub(super) fn events(api: &ApiServer, about: &str, reason: &str) -> Vec<String> {
    let list = get(api, "/apis/events.k8s.io/v1/namespaces/default/events").unwrap_or_default();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let is_meant = |event: &&Value| event["reason"] == reason && event["regarding"]["name"] == about;
    items.iter().filter(is_meant).map(|event| event["note"].as_str().unwrap_or_default().to_owned()).collect()
}
