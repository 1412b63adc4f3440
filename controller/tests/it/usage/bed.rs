//! `usage::run` in this process, with a term that the test holds, against an API server.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use manifold_controller::cluster::term::Term;
use manifold_controller::config::Config;
use manifold_controller::connect;
use manifold_controller::context::{Context, Stop};
use manifold_controller::usage::{self, Limits, Metrics, Pace, Patience};
use manifold_crds::keys;
use manifold_crds::nad_status::{IN_USE_FINALIZER, NadStatus};
use manifold_e2e::api_server::ApiServer;
use serde_json::{Value, json};

use crate::leader::LeaderThread;
pub(super) use crate::shared::{PATIENCE, until};

pub(super) const MACVLAN: &str =
    r#"{"cniVersion": "1.0.0", "name": "a", "type": "macvlan", "master": "eth1"}"#;
pub(super) const CHAIN: &str =
    r#"{"cniVersion": "1.0.0", "name": "b", "plugins": [{"type": "bridge"}, {"type": "tuning"}]}"#;

/// How a leader of this test may differ.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) pace: Pace,
    /// The network namespace that it runs in.
    pub(super) netns: Option<PathBuf>,
    /// The configuration file.
    pub(super) config: String,
}

/// Quick to find pods without a status.
pub(super) fn impatient() -> Pace {
    let missing = Patience {
        grace: Duration::from_millis(300),
        round: Duration::from_millis(100),
        marks: Duration::from_millis(500),
        hopeless: Duration::from_secs(2),
    };
    Pace { missing, ..Pace::default() }
}

/// For thousands of definitions.
pub(super) fn hasty() -> Pace {
    let writes = Limits { each: Duration::from_millis(200), per_second: 1000.0, at_once: 16 };
    Pace { writes, ..Pace::default() }
}

/// A leader of the use of networks at work. Dropped, it ends in good order.
pub(super) struct Leader(LeaderThread);

impl Deref for Leader {
    type Target = LeaderThread;

    fn deref(&self) -> &LeaderThread {
        &self.0
    }
}

impl Leader {
    pub(super) fn start(api: &ApiServer, options: Options) -> Self {
        let until = Instant::now() + Duration::from_secs(3600);
        Self::start_until(api, options, until)
    }

    pub(super) fn start_until(api: &ApiServer, options: Options, until: Instant) -> Self {
        let kubeconfig = api.kubeconfig().to_path_buf();
        Self(LeaderThread::start(until, Metrics::register, move |metrics, term, stop| {
            let act = || lead(&options, &kubeconfig, metrics, term, stop);
            match &options.netns {
                None => act(),
                Some(netns) => manifold_e2e::netns::inside(netns, act).expect("the network namespace"),
            }
        }))
    }

    pub(super) fn writes(&self) -> f64 {
        self.metric("manifold_usage_writes_total", "")
    }
}

fn lead(options: &Options, kubeconfig: &std::path::Path, metrics: Metrics, term: Term, stop: Stop) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (pace, config) = (options.pace, Config::parse(&options.config).unwrap());
    runtime.block_on(async {
        let client = connect::client(Some(kubeconfig)).await.unwrap();
        let context = Context::new(client, config).unwrap();
        let events = context.events.clone();
        // As a task, for that is how it runs in the controller.
        let (ended, waiting) = mpsc::channel();
        tokio::spawn(async move { ended.send(usage::run_at(pace, context, metrics, term, stop).await) })
            .await
            .unwrap()
            .unwrap();
        waiting.recv().unwrap().unwrap();
        let _ = tokio::time::timeout(Duration::from_secs(5), events.flush()).await;
    });
    runtime.shutdown_background();
}

/// Waits for a condition of a definition; `None` while there is none.
#[track_caller]
pub(super) fn until_definition(
    api: &ApiServer,
    namespace: &str,
    name: &str,
    met: impl Fn(Option<&Nad>) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = definition(api, namespace, name);
        if met(found.as_ref()) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "`{namespace}/{name}` never came to be as expected; it is {found:#?}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// What a test looks at.
#[derive(Clone, Debug)]
pub(super) struct Nad {
    pub(super) status: NadStatus,
    pub(super) is_kept: bool,
    pub(super) is_terminating: bool,
}

impl Nad {
    pub(super) fn condition(&self, kind: &str) -> (&str, &str, &str) {
        let found = self.status.condition(kind);
        found.map_or(("", "", ""), |c| (c.status.as_str(), c.reason.as_str(), c.message.as_str()))
    }

    /// The count, the names, the condition and the finalizer all say the same.
    pub(super) fn has_users(&self, names: &[&str]) -> bool {
        self.status.pods == names.len() as u64
            && self.status.pod_names == names[..names.len().min(10)]
            && self.condition("InUse").0 == if names.is_empty() { "False" } else { "True" }
            && self.is_kept != names.is_empty()
    }
}

pub(super) fn path(namespace: &str, name: &str) -> String {
    format!("/apis/{}/namespaces/{namespace}/{}/{name}", keys::API_VERSION, keys::PLURAL)
}

pub(super) fn definition(api: &ApiServer, namespace: &str, name: &str) -> Option<Nad> {
    let answer = api.client().get(&path(namespace, name)).unwrap();
    answer.ok().then(|| {
        let object = answer.json().unwrap();
        let finalizers =
            object.pointer("/metadata/finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
        Nad {
            status: serde_json::from_value(object.get("status").cloned().unwrap_or_else(|| json!({})))
                .unwrap(),
            is_kept: finalizers.contains(&Value::from(IN_USE_FINALIZER)),
            is_terminating: object.pointer("/metadata/deletionTimestamp").is_some(),
        }
    })
}

/// A pod's phase, as its kubelet would tell it.
pub(super) fn phase(api: &ApiServer, namespace: &str, pod: &str, phase: &str) {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/status");
    api.client().send("PATCH", &path, &json!({"status": {"phase": phase}})).unwrap();
}

pub(super) fn annotate(api: &ApiServer, namespace: &str, pod: &str, key: &str, value: &str) {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
    api.client().send("PATCH", &path, &json!({"metadata": {"annotations": {key: value}}})).unwrap();
}
