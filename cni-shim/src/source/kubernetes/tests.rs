//! The client against a server that misbehaves on demand; `tests/it` has it against a real API server.

mod credentials;
mod faults;
mod publish;
mod server;
mod waits;

use server::{Reply, Seen, Server, Wire};

use super::*;

const CANARY: &str = "canary-token-7f3a";

/// A node's files: kubeconfig, token, state.
struct Node {
    dir: tempfile::TempDir,
}

impl Node {
    fn of(server: &Server) -> Self {
        Self::with(&server.authority, &format!("https://{}", server.address))
    }

    fn with(authority: &str, url: &str) -> Self {
        let node = Self { dir: tempfile::tempdir().unwrap() };
        node.write("ca.crt", authority);
        node.write("token", &format!("{CANARY}\n"));
        node.write("kubeconfig", &kubeconfig(url, "certificate-authority: ca.crt", "tokenFile: token"));
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn source(&self) -> Kubernetes {
        Kubernetes::new(Credentials::Kubeconfig(self.path("kubeconfig")), &self.path("state"))
    }

    fn mark(&self) -> PathBuf {
        self.path("state/credentials/refused")
    }
}

fn kubeconfig(url: &str, cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster:\n    server: {url}\n    {cluster}\n\
         contexts:\n- name: x\n  context: {{cluster: c, user: u}}\nusers:\n- name: u\n  user:\n    {user}\n\
         current-context: x\n"
    )
}

fn who() -> PodRef {
    PodRef::new("shop", "cart-7", Some("aaa")).unwrap()
}

fn nad(name: &str) -> NadRef {
    NadRef::new("shop", name).unwrap()
}

fn soon(millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(millis)
}

fn pod_json() -> String {
    serde_json::json!({"kind": "PartialObjectMetadata", "metadata": {
        "namespace": "shop", "name": "cart-7", "uid": "aaa",
        "annotations": {"k8s.v1.cni.cncf.io/networks": "a,b", "other": "x"}, "managedFields": [{"x": 1}],
    }})
    .to_string()
}

fn nad_json(target: &str) -> String {
    let name = target.rsplit('/').next().unwrap();
    serde_json::json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": "shop", "name": name}, "spec": {"config": format!("config of {name}")}})
    .to_string()
}

/// The kind of object the API server answers failures with.
fn status_json(code: u16, message: &str, details: serde_json::Value) -> String {
    serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "message": message, "details": details})
    .to_string()
}

fn pods(_: &Seen, _: usize) -> Reply {
    Reply::Json(200, pod_json())
}

#[test]
fn a_pod_is_its_metadata_and_the_annotations_that_are_read() {
    for wire in [Wire::Http2, Wire::Http1] {
        let server = Server::start(wire, pods);
        let pod = Node::of(&server).source().pod(&who(), soon(15_000)).unwrap();
        assert_eq!((pod.namespace.as_str(), pod.name.as_str(), pod.uid.as_str()), ("shop", "cart-7", "aaa"));
        assert_eq!(pod.annotations.networks(), Some("a,b"));
        let seen = &server.seen()[0];
        assert_eq!(
            (seen.method.as_str(), seen.target.as_str()),
            ("GET", "/api/v1/namespaces/shop/pods/cart-7")
        );
        assert_eq!(seen.authorization.as_deref(), Some(format!("Bearer {CANARY}").as_str()));
        assert!(seen.accept.starts_with("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"));
    }
}

#[test]
fn nothing_is_read_or_opened_before_the_first_call() {
    let source = Kubernetes::new(Credentials::Kubeconfig("/nowhere".into()), Path::new("/nowhere"));
    assert!(source.session.is_none());
    let server = Server::start(Wire::Http2, pods);
    let mut source = Node::of(&server).source();
    assert_eq!(source.definitions(&[], soon(15_000)).unwrap(), []);
    assert_eq!(server.connections(), 0);
}

// Proves: F-API-3
#[test]
fn all_definitions_are_asked_for_at_once_over_one_connection() {
    let server =
        Server::start(Wire::Http2, |seen, _| Reply::Slow(Duration::from_secs(2), nad_json(&seen.target)));
    let names: Vec<NadRef> = (0..16).map(|n| nad(&format!("net-{n}"))).collect();
    let begin = Instant::now();
    let found = Node::of(&server).source().definitions(&names, soon(20_000)).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(9), "{:?}", begin.elapsed());
    assert_eq!(server.connections(), 1);
    for (wanted, got) in names.iter().zip(found) {
        assert_eq!(got.unwrap().config.unwrap(), format!("config of {}", wanted.name));
    }
    let seen = server.seen();
    let first = seen.iter().map(|s| s.at).min().unwrap();
    let last = seen.iter().map(|s| s.at).max().unwrap();
    assert!(last - first < Duration::from_secs(2), "asked one after another: {:?}", last - first);
}

// Proves: F-API-3
#[test]
fn a_proxy_without_http2_gets_the_questions_at_once_too() {
    let server =
        Server::start(Wire::Http1, |seen, _| Reply::Slow(Duration::from_secs(1), nad_json(&seen.target)));
    let names: Vec<NadRef> = (0..8).map(|n| nad(&format!("net-{n}"))).collect();
    let begin = Instant::now();
    let node = Node::of(&server);
    let mut source = node.source();
    assert_eq!(source.definitions(&names, soon(20_000)).unwrap().len(), 8);
    assert!(begin.elapsed() < Duration::from_secs(7), "{:?}", begin.elapsed());
    let opened = server.connections();
    source.definitions(&names[..1], soon(20_000)).unwrap();
    assert_eq!(server.connections(), opened, "an idle connection is used again");
}

#[test]
fn pod_definitions_and_status_share_one_connection() {
    let server = Server::start(Wire::Http2, |seen, _| match seen.target.as_str() {
        t if t.contains("network-attachment") => Reply::Json(200, nad_json(t)),
        _ => Reply::Json(200, pod_json()),
    });
    let node = Node::of(&server);
    let mut source = node.source();
    source.pod(&who(), soon(15_000)).unwrap();
    source.definitions(&[nad("a"), nad("b")], soon(15_000)).unwrap();
    assert_eq!(source.publish(&who(), "[]", soon(15_000)).unwrap(), Published::Done);
    assert_eq!(server.connections(), 1);
    assert_eq!(server.seen().len(), 4);
}

// Proves: F-POD-1
#[test]
fn definitions_come_in_the_order_asked_for_and_a_missing_one_is_none() {
    let server = Server::start(Wire::Http2, |seen, _| match seen.target.rsplit('/').next() {
        Some("b") => {
            Reply::Json(404, status_json(404, "not found", serde_json::json!({"name": "b", "kind": "n-a-d"})))
        }
        _ => Reply::Json(200, nad_json(&seen.target)),
    });
    let asked = [nad("c"), nad("b"), nad("a"), nad("c")];
    let found = Node::of(&server).source().definitions(&asked, soon(15_000)).unwrap();
    let names: Vec<_> = found.iter().map(|n| n.as_ref().map(|n| n.reference.name.to_string())).collect();
    assert_eq!(names, [Some("c".into()), None, Some("a".into()), Some("c".into())]);
    assert_eq!(server.seen().len(), 3, "a network that is asked for twice is fetched once");
}

#[test]
fn a_cluster_without_the_resource_is_told_from_a_missing_definition() {
    for body in ["404 page not found".to_owned(), status_json(404, "no such resource", serde_json::json!({}))]
    {
        let server = Server::start(Wire::Http2, move |_, _| Reply::Json(404, body.clone()));
        let error = Node::of(&server).source().definitions(&[nad("a")], soon(5000)).unwrap_err();
        assert_eq!((error.kind, error.code()), (Kind::NotFound, 11));
        assert!(error.what.contains("CustomResourceDefinition"), "{error}");
    }
}

// Proves: F-POD-3, P-COR-3, MLT-POD-1
#[test]
fn a_pod_that_is_not_there_is_an_error_and_never_a_success() {
    let details = serde_json::json!({"name": "cart-7", "kind": "pods"});
    let body = status_json(404, "pods \"cart-7\" not found", details);
    let server = Server::start(Wire::Http2, move |_, _| Reply::Json(404, body.clone()));
    let error = Node::of(&server).source().pod(&who(), soon(5000)).unwrap_err();
    assert_eq!((error.kind, error.code()), (Kind::NotFound, 11));
    assert!(error.what.contains("pod `shop/cart-7`"), "{error}");
    assert_eq!(server.seen().len(), 1, "it is not waited for");
}

#[test]
fn an_answer_about_another_object_is_not_taken() {
    let server = Server::start(Wire::Http2, |_, _| Reply::Json(200, pod_json().replace("cart-7", "cart-8")));
    let error = Node::of(&server).source().pod(&who(), soon(15_000)).unwrap_err();
    assert_eq!(error.kind, Kind::Malformed);
    let server = Server::start(Wire::Http2, |_, _| Reply::Json(200, nad_json("/other")));
    let error = Node::of(&server).source().definitions(&[nad("a")], soon(15_000)).unwrap_err();
    assert_eq!(error.kind, Kind::Malformed);
}
