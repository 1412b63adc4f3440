//! One API server with one replica, shared by the tests that change something and see it mended; one at a time.

use std::sync::{Mutex, MutexGuard, OnceLock};

use manifold_e2e::api_server::{self, ApiServer};
use manifold_e2e::audit::Audit;
use manifold_e2e::controller::{Controllers, Options, USER};
use serde_json::{Value, json};

use crate::stored::pods;

pub(super) const CRD: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/network-attachment-definitions.k8s.cni.cncf.io";
pub(super) const DEFAULT: &str =
    "/apis/k8s.cni.cncf.io/v1/namespaces/manifold-system/network-attachment-definitions/cluster-wide-network";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces";

pub(super) struct Bed {
    pub(super) controllers: Controllers<'static>,
    pub(super) audit: Audit,
}

pub(super) fn bed() -> MutexGuard<'static, Bed> {
    static BED: OnceLock<Mutex<Bed>> = OnceLock::new();
    let shared = BED.get_or_init(|| Mutex::new(start()));
    let (bed, has_failed) = match shared.lock() {
        Ok(bed) => (bed, false),
        Err(failed) => (failed.into_inner(), true),
    };
    // A test that failed may have left it stopped, and taken things away; the next is not to fail for that.
    bed.controllers.replica(0).start().unwrap();
    if has_failed {
        bed.controllers.install_again().unwrap();
        let pod = format!("{}?gracePeriodSeconds=0", pods("plain"));
        bed.api().client().call("DELETE", &pod, "application/json", b"").unwrap();
    }
    bed.controllers.wait_ready().unwrap();
    shared.clear_poison();
    bed
}

fn start() -> Bed {
    let audit = Audit::of(USER).unwrap();
    let server = api_server::Options { flags: audit.flags(), ..api_server::Options::default() };
    // Ended by the janitor, with the process.
    let api: &'static ApiServer = Box::leak(Box::new(ApiServer::start_with(server).unwrap()));
    let config = json!({"policies": {"checkSeconds": 1}});
    let options = Options { config, ..Options::default() };
    Bed { controllers: Controllers::start(api, &options).unwrap(), audit }
}

impl Bed {
    /// Another leader, to whom every restoring is the first: what earlier tests did would slow it down.
    pub(super) fn afresh(&self) {
        self.controllers.replica(0).stop().unwrap();
        self.controllers.replica(0).start().unwrap();
        self.controllers.wait_ready().unwrap();
    }

    pub(super) fn api(&self) -> &'static ApiServer {
        self.controllers.api()
    }

    /// `None`: there is none.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let answer = self.api().client().get(path)?;
        match answer.status {
            404 => Ok(None),
            _ if answer.ok() => answer.json().map(Some),
            status => anyhow::bail!("GET {path}: {status} {}", answer.text()),
        }
    }

    pub(super) fn wait(&self, what: &str, met: impl FnMut() -> anyhow::Result<bool>) {
        self.controllers.wait(what, met).unwrap();
    }

    pub(super) fn delete(&self, path: &str) {
        let answer = self.api().client().call("DELETE", path, "application/json", b"").unwrap();
        assert!(answer.ok(), "{}", answer.text());
    }

    pub(super) fn patch(&self, path: &str, patch: &Value) {
        self.api().client().send("PATCH", path, patch).unwrap();
    }

    /// Of a replica that runs; one that has no time to tell is asked again.
    pub(super) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<f64> {
        let mut sum = 0.0;
        self.controllers.wait("the metrics", || {
            sum = self.controllers.replica(0).metrics()?.sum(name, labels);
            Ok(true)
        })?;
        Ok(sum)
    }

    /// Events of a namespace with this reason: what they are about, and their sentence.
    pub(super) fn events(&self, namespace: &str, reason: &str) -> anyhow::Result<Vec<(String, String)>> {
        let list = self.get(&format!("{EVENTS}/{namespace}/events"))?.unwrap_or_default();
        let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let text = |event: &Value, at: &str| {
            event.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        Ok(items
            .iter()
            .filter(|event| text(event, "/reason") == reason)
            .map(|event| (text(event, "/regarding/name"), text(event, "/note")))
            .collect())
    }
}
