//! The API client against a real API server, with the rights that the chart gives and no more.

#![expect(
    clippy::unwrap_used,
    reason = "the configuration allows it inside test functions only, not in what they share"
)]

use std::time::{Duration, Instant};

use manifold::source::kubernetes::{Credentials, Kubernetes};
use manifold::source::{Kind, NadRef, PodRef, Published, Source};
use manifold_e2e::api_server::{ApiServer, TestNamespace};
use serde_json::Value;

const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";

struct Bed {
    namespace: TestNamespace<'static>,
    access: manifold_e2e::api_server::ShimAccess,
    state: tempfile::TempDir,
}

impl Bed {
    fn new(prefix: &str) -> Self {
        let api = ApiServer::shared().unwrap();
        let namespace = api.namespace(prefix).unwrap();
        let access = api.shim_access(namespace.name()).unwrap();
        Self { namespace, access, state: tempfile::tempdir().unwrap() }
    }

    fn source(&self) -> Kubernetes {
        Kubernetes::new(Credentials::Kubeconfig(self.access.kubeconfig.clone()), self.state.path())
    }

    fn who(&self, name: &str, uid: &str) -> PodRef {
        PodRef::new(self.namespace.name(), name, Some(uid)).unwrap()
    }

    fn nad(&self, name: &str) -> NadRef {
        NadRef::new(self.namespace.name(), name).unwrap()
    }

    fn call(&self, method: &str, path: &str) {
        let answer = self.namespace.api().client().call(method, path, "application/json", b"").unwrap();
        assert!(answer.ok(), "{method} {path}: {}", answer.text());
    }

    fn account(&self) -> String {
        format!("/api/v1/namespaces/{}/serviceaccounts/{}", self.namespace.name(), self.access.account)
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[test]
fn a_pod_and_its_definitions_are_read() {
    let bed = Bed::new("read");
    let uid = bed.namespace.pod("cart", &[(NETWORKS, "a,b"), ("other", "x")]).unwrap();
    bed.namespace.definition("a", r#"{"type":"macvlan"}"#).unwrap();
    let mut source = bed.source();
    let who = bed.who("cart", &uid);
    let pod = source.pod(&who, soon()).unwrap();
    assert_eq!((pod.uid.as_str(), pod.annotations.networks()), (uid.as_str(), Some("a,b")));
    pod.same_as(&who).unwrap();
    let found = source.definitions(&[bed.nad("missing"), bed.nad("a")], soon()).unwrap();
    assert!(found[0].is_none());
    assert_eq!(found[1].as_ref().unwrap().config.as_deref(), Some(r#"{"type":"macvlan"}"#));
}

// Proves: F-POD-3, P-COR-3
#[test]
fn a_pod_that_was_deleted_or_made_anew_before_add_is_refused() {
    let bed = Bed::new("reborn");
    let old = bed.namespace.pod("cart", &[]).unwrap();
    bed.namespace.delete_pod("cart").unwrap();
    let error = bed.source().pod(&bed.who("cart", &old), soon()).unwrap_err();
    assert_eq!((error.kind, error.code()), (Kind::NotFound, 11));
    bed.namespace.pod("cart", &[]).unwrap();
    let who = bed.who("cart", &old);
    let error = bed.source().pod(&who, soon()).unwrap().same_as(&who).unwrap_err();
    assert_eq!((error.kind, error.code()), (Kind::Replaced, 11));
}

// Proves: P-COR-5
#[test]
fn a_status_changes_one_annotation_and_nothing_else() {
    let bed = Bed::new("publish");
    let uid = bed.namespace.pod("cart", &[(NETWORKS, "a"), ("other", "x")]).unwrap();
    let before = bed.namespace.get_pod("cart").unwrap();
    let status = r#"[{"name":"a","interface":"net1","default":false}]"#;
    assert_eq!(bed.source().publish(&bed.who("cart", &uid), status, soon()).unwrap(), Published::Done);
    let mut after = bed.namespace.get_pod("cart").unwrap();
    let said = after["metadata"]["annotations"].as_object_mut().unwrap().remove(STATUS).unwrap();
    assert_eq!(said, status);
    assert_eq!(steady(after), steady(before));
}

/// Without what the server itself counts up at a write.
fn steady(mut pod: Value) -> Value {
    let metadata = pod.pointer_mut("/metadata").and_then(Value::as_object_mut).unwrap();
    metadata.remove("resourceVersion");
    metadata.remove("managedFields");
    pod
}

// Proves: F-API-11, P-COR-2
#[test]
fn the_status_of_a_pod_that_was_replaced_or_is_gone_is_superseded() {
    let bed = Bed::new("superseded");
    let old = bed.namespace.pod("cart", &[]).unwrap();
    bed.namespace.delete_pod("cart").unwrap();
    let done = bed.source().publish(&bed.who("cart", &old), "[]", soon()).unwrap();
    assert!(matches!(&done, Published::Superseded(why) if why.contains("gone")), "{done:?}");
    bed.namespace.pod("cart", &[]).unwrap();
    let done = bed.source().publish(&bed.who("cart", &old), "[]", soon()).unwrap();
    assert!(matches!(&done, Published::Superseded(why) if why.contains("replaced")), "{done:?}");
    assert_eq!(bed.namespace.annotation("cart", STATUS).unwrap(), None);
}

// Proves: F-API-6
#[test]
fn a_role_that_was_removed_is_told_with_its_rule_and_at_once() {
    let bed = Bed::new("forbidden");
    let uid = bed.namespace.pod("cart", &[]).unwrap();
    // What only some clusters grant is a role of its own, and goes last: it is what is waited for.
    for role in [bed.access.account.clone(), format!("{}-reads-pods", bed.access.account)] {
        let binding = format!("{role}-{}", bed.namespace.name());
        bed.call("DELETE", &format!("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{binding}"));
    }
    // The server learns of it by its own watch.
    let who = bed.who("cart", &uid);
    let patience = soon();
    let (error, took) = loop {
        let begin = Instant::now();
        match bed.source().pod(&who, soon()) {
            Err(error) => break (error, begin.elapsed()),
            Ok(_) => assert!(Instant::now() < patience, "the right is still there"),
        }
    };
    assert_eq!((error.kind, error.code()), (Kind::Forbidden, 11));
    // What may pass is tried again for ten seconds.
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(error.what.contains(r#"{apiGroups: [""], resources: ["pods"], verbs: ["get"]}"#), "{error}");
    let error = bed.source().publish(&who, "[]", soon()).unwrap_err();
    assert!(error.what.contains(r#"resources: ["pods/status"], verbs: ["patch"]"#), "{error}");
    let error = bed.source().definitions(&[bed.nad("a")], soon()).unwrap_err();
    assert!(error.what.contains(r#"apiGroups: ["k8s.cni.cncf.io"]"#), "{error}");
}

// Proves: F-API-5, P-UP-6
#[test]
fn a_deleted_account_leaves_the_mark_and_a_renewed_token_is_taken_up() {
    let bed = Bed::new("token");
    let uid = bed.namespace.pod("cart", &[]).unwrap();
    let who = bed.who("cart", &uid);
    bed.call("DELETE", &bed.account());
    let mark = bed.state.path().join("credentials/refused");
    // The server learns of it by its own watch, and remembers for a while whom it let in.
    let patience = soon();
    let error = loop {
        match bed.source().pod(&who, soon()) {
            Err(error) => break error,
            Ok(_) => assert!(Instant::now() < patience, "the token is still good"),
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!((error.kind, error.code()), (Kind::Unauthorized, 11), "{error}");
    assert!(mark.exists());
    // Made anew, as the node agent does after it has seen the mark.
    let access = bed.namespace.api().shim_access(bed.namespace.name()).unwrap();
    assert_eq!(access.kubeconfig, bed.access.kubeconfig);
    assert_eq!(bed.source().pod(&who, soon()).unwrap().uid, uid);
}

#[test]
fn a_client_certificate_is_enough() {
    let bed = Bed::new("certificate");
    let uid = bed.namespace.pod("cart", &[]).unwrap();
    let admin = Credentials::Kubeconfig(bed.namespace.api().kubeconfig().to_owned());
    let mut source = Kubernetes::new(admin, bed.state.path());
    assert_eq!(source.pod(&bed.who("cart", &uid), soon()).unwrap().uid, uid);
}

// Proves: F-API-2
#[test]
fn an_api_server_that_is_down_is_code_11_and_one_that_comes_back_in_time_is_a_success() {
    let api = ApiServer::start().unwrap();
    let namespace = api.namespace("down").unwrap();
    let uid = namespace.pod("cart", &[]).unwrap();
    let access = api.shim_access(namespace.name()).unwrap();
    let state = tempfile::tempdir().unwrap();
    let who = PodRef::new(namespace.name(), "cart", Some(&uid)).unwrap();
    let mut source = Kubernetes::new(Credentials::Kubeconfig(access.kubeconfig), state.path());
    source.pod(&who, soon()).unwrap();
    api.stop();
    // The connection of before is dead, and no new one is to be had.
    let error = source.pod(&who, Instant::now() + Duration::from_secs(1)).unwrap_err();
    assert_eq!((error.kind, error.code()), (Kind::Unreachable, 11), "{error}");
    std::thread::scope(|scope| {
        scope.spawn(|| api.start_again().unwrap());
        // How long a start takes is the machine's affair, and a server that has just begun may refuse for a while: it
        // does not know the rules yet, and a 403 is told at once.
        let patience = Instant::now() + Duration::from_secs(60);
        let mut try_again =
            || source.pod(&who, soon()).inspect_err(|_| std::thread::sleep(Duration::from_millis(200))).ok();
        let back = std::iter::from_fn(|| (Instant::now() < patience).then(&mut try_again)).flatten().next();
        assert_eq!(back.expect("it came back").uid, uid);
    });
}
