//! An API server that calls a webhook of this process, and requests to it that tell how they were judged.
//!
//! In the shared bed `failurePolicy` is `Fail`, so that an answer that did not come in time is told from one that
//! allowed; such requests are repeated. What the shipped configuration says instead is for `faults` to prove.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use http::header::WARNING;
use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use manifold_controller::admission::{self, Lifetimes, Metrics};
use manifold_controller::cluster::term::Term;
use manifold_controller::config::Config;
use manifold_controller::context::{Context, Stop};
use manifold_e2e::api_server::ApiServer;
use manifold_e2e::project;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub(crate) use crate::shared::{PATIENCE, until};

pub(crate) const CONFIGURATIONS: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
}

pub(crate) fn client(api: &ApiServer) -> Client {
    let kubeconfig = kube::config::Kubeconfig::read_from(api.kubeconfig()).unwrap();
    runtime().block_on(async {
        let options = kube::config::KubeConfigOptions::default();
        Client::try_from(kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap()).unwrap()
    })
}

/// A webhook that runs in this process, as one replica. It ends when this is dropped.
pub(crate) struct Replica {
    pub(crate) port: u16,
    pub(crate) metrics: Metrics,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) ended: Option<tokio::task::JoinHandle<()>>,
}

impl Replica {
    pub(crate) fn start(client: &Client, config: Config) -> Self {
        let metrics = Metrics::register(&mut Registry::default());
        let counted = metrics.clone();
        let (stop, stopped) = Stop::new();
        let client = client.clone();
        let (port, ended) = runtime().block_on(async move {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let context = Context::new(client, config).unwrap();
            let serves = async move { admission::serve(listener, context, counted, stopped).await.unwrap() };
            (port, tokio::spawn(serves))
        });
        Self { port, metrics, stop, ended: Some(ended) }
    }
}

/// The leader's part, for as long as this lives.
pub(crate) struct Leader {
    _stop: watch::Sender<bool>,
    _term: watch::Sender<Option<Instant>>,
    task: tokio::task::JoinHandle<()>,
}

impl Leader {
    pub(crate) fn start(client: &Client, config: Config, lifetimes: Lifetimes) -> Self {
        let (_stop, stopped) = Stop::new();
        let (_term, term) = Term::new(Instant::now() + Duration::from_secs(86_400));
        let client = client.clone();
        let task = runtime().spawn(async move {
            let context = Context::new(client, config).unwrap();
            admission::keep_certificate_with(context, term, stopped, lifetimes).await;
        });
        Self { _stop, _term, task }
    }
}

impl Leader {
    /// At whatever it is doing.
    pub(crate) fn end(self) {
        self.task.abort();
    }
}

/// The times of a leader that looks often.
pub(crate) fn lifetimes(valid_seconds: i64) -> Lifetimes {
    Lifetimes {
        valid: jiff::SignedDuration::from_secs(valid_seconds),
        settle: jiff::SignedDuration::from_secs(1),
        look: Duration::from_millis(200),
    }
}

/// The shipped configuration, calling this port, changed where the test needs that.
pub(crate) fn configuration(port: u16, change: impl Fn(&mut Value)) -> Value {
    let file = project::root().join("deploy/cluster/webhook.yaml");
    let mut object: Value = serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    for webhook in object["webhooks"].as_array_mut().unwrap() {
        let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap().to_owned();
        webhook["clientConfig"] = json!({"url": format!("https://127.0.0.1:{port}{path}")});
        change(webhook);
    }
    object
}

/// How a request ended.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) message: String,
    pub(crate) warnings: Vec<String>,
}

impl Outcome {
    pub(crate) fn allowed(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The machine was too busy for an answer in time, so nothing is known.
    fn undecided(&self) -> bool {
        self.message.contains("failed calling webhook")
            || self.warnings.iter().any(|w| w.contains("could not be checked in time"))
    }
}

/// One request, as the administrator or as somebody else.
pub(crate) fn request(
    client: &Client,
    method: &Method,
    path: &str,
    body: Option<&Value>,
    user: Option<&str>,
) -> Outcome {
    let kind = if *method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let mut request = Request::builder().method(method).uri(path).header("content-type", kind);
    if let Some(user) = user {
        // Its rights are not what is tested.
        request = request.header("Impersonate-User", user).header("Impersonate-Group", "system:masters");
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(serde_json::to_vec(body).unwrap()));
    let request = request.body(body).unwrap();
    runtime().block_on(async {
        let answer = client.send(request).await.unwrap();
        let warnings =
            answer.headers().get_all(WARNING).iter().map(|w| warning(w.to_str().unwrap())).collect();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect_bytes().await.unwrap();
        let object: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = object["message"].as_str().unwrap_or_default().to_owned();
        Outcome { status, message, warnings }
    })
}

/// `299 - "text"`, without what surrounds the text.
fn warning(header: &str) -> String {
    let text = header.split_once('"').map_or(header, |(_, text)| text);
    text.trim_end_matches('"').replace("\\\"", "\"")
}

/// The same, as often as it takes to be judged.
pub(crate) fn judged(
    client: &Client,
    method: &Method,
    path: &str,
    body: Option<&Value>,
    user: Option<&str>,
) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let outcome = request(client, method, path, body, user);
        if !outcome.undecided() {
            return outcome;
        }
        assert!(Instant::now() < deadline, "never judged: {outcome:?}");
    }
}

/// The bed that most tests share.
pub(crate) struct Bed {
    pub(crate) api: ApiServer,
    pub(crate) client: Client,
    _replica: Replica,
    /// Refuses pods whose networks do not exist, and what has no effect; asked for namespaces with the label `missing: refuse`.
    _strict: Replica,
    _leader: Leader,
}

/// In namespace `old`, from before the webhook: what nobody can create any more.
pub(crate) const BROKEN: &str =
    r#"{"cniVersion": "1.0.0", "type": "bridge", "ipam": {"type": "host-local", "subnet": "10.1.0.0/40"}}"#;

pub(crate) fn bed() -> &'static Bed {
    static BED: OnceLock<Bed> = OnceLock::new();
    BED.get_or_init(Bed::start)
}

/// For one test at a time: the shared server has one default network.
pub(crate) fn default_network_alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bed {
    fn start() -> Self {
        let api = ApiServer::start().unwrap();
        api.ensure_namespace("manifold-system").unwrap();
        for namespace in ["old", "other", "strict"] {
            api.ensure_namespace(namespace).unwrap();
        }
        api.definition("old", "broken", BROKEN).unwrap();
        let strict = json!({"metadata": {"labels": {"missing": "refuse"}}});
        api.client().send("PATCH", "/api/v1/namespaces/strict", &strict).unwrap();
        let client = client(&api);
        let replica = Replica::start(&client, Config::default());
        let config = "admission: {missingNetwork: refuse}\nnetworks: {strict: true}";
        let config = Config::parse(config).unwrap();
        let strict = Replica::start(&client, config);
        let bed = Self {
            _leader: Self::lead(&api, &client, &replica, &strict),
            _strict: strict,
            api,
            client,
            _replica: replica,
        };
        bed.wait_until_asked();
        bed
    }

    fn lead(api: &ApiServer, client: &Client, replica: &Replica, strict: &Replica) -> Leader {
        let patient = |webhook: &mut Value| {
            webhook["failurePolicy"] = json!("Fail");
            webhook["timeoutSeconds"] = json!(30);
        };
        let selects = |operator: &str| json!({"matchExpressions": [{"key": "missing", "operator": operator, "values": ["refuse"]}]});
        let ours = configuration(replica.port, |webhook| {
            patient(webhook);
            webhook["namespaceSelector"] = selects("NotIn");
        });
        api.client().send("POST", CONFIGURATIONS, &ours).unwrap();
        let leader = Leader::start(client, Config::default(), lifetimes(86_400));
        let ca = || api.client().get(&format!("{CONFIGURATIONS}/manifold")).unwrap().json().unwrap();
        until("the CA is told", || ca().pointer("/webhooks/1/clientConfig/caBundle").is_some());
        let mut other = configuration(strict.port, |webhook| {
            patient(webhook);
            webhook["namespaceSelector"] = selects("In");
            webhook["clientConfig"]["caBundle"] = ca()["webhooks"][0]["clientConfig"]["caBundle"].clone();
        });
        other["metadata"]["name"] = json!("strict");
        api.client().send("POST", CONFIGURATIONS, &other).unwrap();
        leader
    }

    /// The API server reads its configurations from a watch.
    fn wait_until_asked(&self) {
        for namespace in ["old", "strict"] {
            let (path, body) = (pods(namespace), pod("probe", &[("k8s.v1.cni.cncf.io/networks", ",,")]));
            until("the webhook is asked", || {
                request(&self.client, &Method::POST, &path, Some(&body), None).message.contains("annotation")
            });
        }
    }

    pub(crate) fn dry_run(&self, method: &Method, path: &str, body: Option<&Value>) -> Outcome {
        let sign = if path.contains('?') { '&' } else { '?' };
        judged(&self.client, method, &format!("{path}{sign}dryRun=All"), body, None)
    }

    pub(crate) fn put_definition(&self, namespace: &str, name: &str, config: Option<&str>) {
        self.put(namespace, &definition(name, config));
    }

    pub(crate) fn put(&self, namespace: &str, definition: &Value) {
        let outcome = judged(&self.client, &Method::POST, &definitions(namespace), Some(definition), None);
        assert!(outcome.allowed(), "{outcome:?}");
    }

    #[track_caller]
    pub(crate) fn refused(&self, outcome: &Outcome, words: &[&str]) {
        assert_eq!(outcome.status, 403, "{outcome:?}");
        for word in words {
            assert!(outcome.message.contains(word), "`{word}` is missing in: {outcome:?}");
        }
        // One sentence behind the API server's own prefix (P-USE-1).
        let ours = outcome.message.split("denied the request: ").nth(1).unwrap_or_default();
        assert!(!ours.is_empty() && !ours.contains('\n') && !ours.contains("failed to"), "{ours}");
    }

    #[track_caller]
    pub(crate) fn allowed(&self, outcome: &Outcome, warnings: &[&str]) {
        assert!(outcome.allowed(), "{outcome:?}");
        for word in warnings {
            assert!(outcome.warnings.iter().any(|w| w.contains(word)), "`{word}` is missing in: {outcome:?}");
        }
        assert!(outcome.warnings.is_empty() == warnings.is_empty(), "{outcome:?}");
    }
}

pub(crate) fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

pub(crate) fn definitions(namespace: &str) -> String {
    format!("/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions")
}

pub(crate) fn pod(name: &str, annotations: &[(&str, &str)]) -> Value {
    let annotations: serde_json::Map<String, Value> =
        annotations.iter().map(|(k, v)| ((*k).to_owned(), Value::from(*v))).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations},
        "spec": {"automountServiceAccountToken": false, "containers": [{"name": "main", "image": "none"}]},
    })
}

pub(crate) fn definition(name: &str, config: Option<&str>) -> Value {
    json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name}, "spec": config.map_or_else(|| json!({}), |c| json!({"config": c})),
    })
}
