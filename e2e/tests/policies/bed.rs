//! The two servers, their nodes and namespaces, and fresh objects for each attempt.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::{Duration, Instant};

use manifold_e2e::api_client::{Answer, ApiClient};
use manifold_e2e::api_server::{ApiServer, Options};
use serde_json::{Value, json};

use crate::attempt::IN_USE;
use crate::identity::{self, Who};
use crate::objects::new_network;
use crate::{denied, manifests};

pub(crate) const SYSTEM: &str = "manifold-system";
pub(crate) const NODE_A: &str = "node-a";
pub(crate) const NODE_B: &str = "node-b";
/// Where pods and networks of the tests live.
pub(crate) const PODS: &str = "/api/v1/namespaces/shop/pods";
pub(crate) const NETWORKS: &str = "/apis/k8s.cni.cncf.io/v1/namespaces/shop/network-attachment-definitions";
pub(crate) const DEFAULT_NETWORKS: &str =
    "/apis/k8s.cni.cncf.io/v1/namespaces/manifold-system/network-attachment-definitions";
/// A policy or role that has no effect by then has none.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Bed {
    pub(crate) api: ApiServer,
    clients: BTreeMap<Who, ApiClient>,
    made: AtomicU32,
    pub(crate) node_uid: String,
    pub(crate) other_node_uid: String,
    is_open: bool,
}

/// RBAC open to every service account: what is refused here, a policy refuses.
pub(crate) fn open() -> RwLockReadGuard<'static, Bed> {
    open_bed().read().unwrap_or_else(PoisonError::into_inner)
}

/// The same server for one test alone, which may take policies away and must bring them back.
pub(crate) fn open_alone() -> RwLockWriteGuard<'static, Bed> {
    open_bed().write().unwrap_or_else(PoisonError::into_inner)
}

fn open_bed() -> &'static RwLock<Bed> {
    static BED: OnceLock<RwLock<Bed>> = OnceLock::new();
    BED.get_or_init(|| {
        RwLock::new(Bed::start(true, |api| {
            manifests::apply(
                api.client(),
                &json!({
                    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                    "metadata": {"name": "everything-to-everybody"},
                    "roleRef": {
                        "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin",
                    },
                    "subjects": [{
                        "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:serviceaccounts",
                    }],
                }),
            );
        }))
    })
}

/// Roles and policies as they are shipped, without the two files that are only for some clusters. For one test at a
/// time: they count what the server refuses.
pub(crate) fn shipped() -> MutexGuard<'static, Bed> {
    static BED: OnceLock<Mutex<Bed>> = OnceLock::new();
    let start = || {
        Bed::start(false, |api| {
            let always =
                manifests::read("deploy/rbac").into_iter().filter(|(file, _)| !OPTIONAL.contains(&&**file));
            always.for_each(|(_, object)| manifests::apply(api.client(), &object));
        })
    };
    BED.get_or_init(|| Mutex::new(start())).lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) const OPTIONAL: [&str; 3] =
    ["shim-reads-pods.yaml", "node-built-in.yaml", "node-reads-runtime.yaml"];

impl Bed {
    fn start(is_open: bool, rights: impl Fn(&ApiServer)) -> Self {
        let api = ApiServer::start_with(Options { controller_manager: true, ..Options::default() }).unwrap();
        for namespace in [SYSTEM, "shop", "other"] {
            api.ensure_namespace(namespace).unwrap();
        }
        for node in [NODE_A, NODE_B] {
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}});
            api.client().create_if_missing("/api/v1/nodes", &node).unwrap();
            let room = json!({"cpu": "64", "memory": "64Gi", "pods": "9999"});
            let status = json!({"status": {"capacity": room, "allocatable": room}});
            let path = format!("{}/status", manifests::place(&node));
            api.client().send("PATCH", &path, &status).unwrap();
        }
        let accounts = [
            (SYSTEM, "manifold-shim"),
            (SYSTEM, "manifold-node"),
            (SYSTEM, "manifold-cluster"),
            ("shop", "user"),
            ("other", "manifold-shim"),
        ];
        for (namespace, name) in accounts {
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
            let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
            api.client().create_if_missing(&path, &account).unwrap();
        }
        rights(&api);
        for (_, object) in manifests::read("deploy/policies") {
            manifests::apply(api.client(), &object);
        }
        let clients = identity::all(&api);
        let uid_of = |name: &str| {
            let node = api.client().get(&format!("/api/v1/nodes/{name}")).unwrap().json().unwrap();
            node["metadata"]["uid"].as_str().unwrap().to_string()
        };
        let (node_uid, other_node_uid) = (uid_of(NODE_A), uid_of(NODE_B));
        let everywhere = json!({"name": "cluster-wide-network", "finalizers": [IN_USE]});
        api.client().create_if_missing(DEFAULT_NETWORKS, &new_network(everywhere, "{}")).unwrap();
        let bed = Self { api, clients, made: AtomicU32::new(0), node_uid, other_node_uid, is_open };
        denied::wait_for_all(&bed);
        bed
    }

    /// Whether policies alone refuse.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    pub(crate) fn as_(&self, who: Who) -> &ApiClient {
        &self.clients[&who]
    }

    pub(crate) fn fresh(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.made.fetch_add(1, Ordering::Relaxed))
    }

    /// A request that must do what it says.
    #[track_caller]
    pub(crate) fn must(&self, who: Who, method: &str, path: &str, kind: &str, body: &Value) -> Value {
        let bytes = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.as_(who).call(method, path, kind, bytes.as_bytes()).unwrap();
        assert!(answer.ok(), "{who:?} {method} {path} was refused: {}", answer.text());
        // A watch that ended is a line for each event, or nothing.
        answer.json().unwrap_or_default()
    }
}

/// Asks again until the answer is what is hoped for: admission and RBAC follow their objects with a delay.
#[track_caller]
pub(crate) fn wait(what: &str, mut ask: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(still) = ask() {
        assert!(Instant::now() < deadline, "{what}: not so after {PATIENCE:?}; still: {still}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// The one line of an answer that tells what is wrong.
pub(crate) fn message(answer: &Answer) -> String {
    let value = answer.json().unwrap_or_default();
    value["message"].as_str().map_or_else(|| answer.text(), str::to_string)
}

impl Bed {
    /// Somebody with one of Kubernetes' own roles in the namespace of the pods.
    pub(crate) fn person(&self, role: &str) -> ApiClient {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": role}});
        let accounts = "/api/v1/namespaces/shop/serviceaccounts";
        self.api.client().create_if_missing(accounts, &account).unwrap();
        manifests::apply(
            self.api.client(),
            &json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": role, "namespace": "shop"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": role, "namespace": "shop"}],
            }),
        );
        identity::client(&self.api, "shop", role, None)
    }
}
