//! Many pods at once: made over several connections, timed by one watch, deleted together.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use manifold_e2e::cluster::POD;
use serde_json::{Value, json};

use super::install::{Bed, NAMESPACE};

/// Connections that write at the same time.
const HANDS: usize = 8;
/// What has not come about by then never will.
const PATIENCE: Duration = Duration::from_secs(600);
/// What daemons have not done by then is not about these pods.
const SETTLE: Duration = Duration::from_secs(4);
const PODS: &str = "/api/v1/namespaces/bench/pods";
const STATUS: &str = "/metadata/annotations/k8s.v1.cni.cncf.io~1network-status";

/// How all of them started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) times: Vec<Duration>,
    /// From the first POST until the last one was ready.
    pub(super) took: Duration,
    /// Pods whose status does not name every network.
    pub(super) failed: usize,
}

enum News {
    Ready(String, Instant),
    Gone(String),
}

pub(super) fn start(bed: &Bed, prefix: &str, count: usize) -> anyhow::Result<Started> {
    let news = watch(bed)?;
    let begin = Instant::now();
    let made = by_many(count, |number| {
        let pod = pod(bed, &name(prefix, number));
        let at = Instant::now();
        let answer = bed.client().call("POST", PODS, "application/json", pod.to_string().as_bytes())?;
        ensure!(answer.ok(), "a pod was refused with {}: {}", answer.status, answer.text());
        Ok((name(prefix, number), at))
    })?;
    let mut ready = BTreeMap::new();
    let deadline = begin + PATIENCE;
    while made.iter().any(|(name, _)| !ready.contains_key(name)) {
        let left = deadline.saturating_duration_since(Instant::now());
        match news.recv_timeout(left) {
            Ok(News::Ready(name, at)) => drop(ready.entry(name).or_insert(at)),
            Ok(News::Gone(_)) => {}
            Err(_) => bail!("{} of {count} pods are ready after {PATIENCE:?}{}", ready.len(), events(bed)),
        }
    }
    let times: Vec<Duration> = (made.iter())
        .filter_map(|(name, at)| Some(ready.get(name)?.saturating_duration_since(*at)))
        .collect();
    let took = ready.values().max().map(|last| last.saturating_duration_since(begin)).unwrap_or_default();
    Ok(Started { times, took, failed: failed(bed)? })
}

/// Returns how long it took until the API server has forgotten the last one, which is after its networks are gone.
pub(super) fn delete(bed: &Bed, prefix: &str, count: usize) -> anyhow::Result<Duration> {
    let news = watch(bed)?;
    let begin = Instant::now();
    by_many(count, |number| {
        let path = format!("{PODS}/{}", name(prefix, number));
        let answer = bed.client().call("DELETE", &path, "application/json", b"")?;
        ensure!(answer.ok(), "a deletion was refused with {}: {}", answer.status, answer.text());
        Ok(())
    })?;
    let mut gone = 0;
    while gone < count {
        match news.recv_timeout((begin + PATIENCE).saturating_duration_since(Instant::now())) {
            Ok(News::Gone(name)) if name.starts_with(prefix) => gone += 1,
            Ok(_) => {}
            Err(_) => bail!("{gone} of {count} pods are gone after {PATIENCE:?}{}", events(bed)),
        }
    }
    Ok(begin.elapsed())
}

pub(super) fn settle() {
    thread::sleep(SETTLE);
}

fn name(prefix: &str, number: usize) -> String {
    format!("{prefix}-{number}")
}

fn pod(bed: &Bed, name: &str) -> Value {
    let asked: Vec<&str> = bed.networks.iter().map(String::as_str).collect();
    let annotations = match asked.as_slice() {
        [] => json!({}),
        asked => json!({"k8s.v1.cni.cncf.io/networks": asked.join(",")}),
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": annotations},
        "spec": {
            // The scheduler has no part in it.
            "nodeName": bed.node().name(),
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "image": POD, "imagePullPolicy": "Never"}],
        },
    })
}

/// What becomes of the pods from now on.
fn watch(bed: &Bed) -> anyhow::Result<Receiver<News>> {
    let list = bed.client().get(PODS)?.json()?;
    let version = list.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    let version = version.context("a list without a version")?;
    let watch = bed.client().watch(&format!("{PODS}?watch=1&resourceVersion={version}"), PATIENCE)?;
    let (say, news) = mpsc::channel();
    thread::spawn(move || {
        for event in watch.map_while(Result::ok) {
            let text = |at: &str| event.pointer(at).and_then(Value::as_str).unwrap_or_default();
            let name = text("/object/metadata/name").to_owned();
            let news = match text("/type") {
                "DELETED" => News::Gone(name),
                _ if is_ready(&event) => News::Ready(name, Instant::now()),
                _ => continue,
            };
            // Who has heard enough does not listen any more.
            if say.send(news).is_err() {
                return;
            }
        }
    });
    Ok(news)
}

fn is_ready(event: &Value) -> bool {
    let conditions = event.pointer("/object/status/conditions").and_then(Value::as_array);
    let text = |condition: &Value, key: &str| condition.get(key).and_then(Value::as_str).map(str::to_owned);
    conditions.into_iter().flatten().any(|condition| {
        text(condition, "type").as_deref() == Some("Ready")
            && text(condition, "status").as_deref() == Some("True")
    })
}

/// Pods that do not have every network that they asked for.
fn failed(bed: &Bed) -> anyhow::Result<usize> {
    if bed.networks.is_empty() {
        return Ok(0);
    }
    let list = bed.client().get(PODS)?.json()?;
    let told = |pod: &Value| {
        let status: Vec<Value> = serde_json::from_str(pod.pointer(STATUS)?.as_str()?).ok()?;
        Some(status.len())
    };
    let pods = list.get("items").and_then(Value::as_array).into_iter().flatten();
    Ok(pods.filter(|pod| told(pod) != Some(bed.networks.len() + 1)).count())
}

/// The last words of the kubelet about pods, for an error.
fn events(bed: &Bed) -> String {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/events");
    let list = bed.client().get(&path).and_then(|answer| answer.json()).unwrap_or_default();
    let all = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let warnings = all.iter().filter(|event| event.get("type").and_then(Value::as_str) == Some("Warning"));
    let last = warnings.filter_map(|event| event.get("message")?.as_str()).next_back();
    last.map(|message| format!("; the last warning: {message}")).unwrap_or_default()
}

/// Does it for every number below `count`, several at the same time.
fn by_many<T: Send>(count: usize, act: impl Fn(usize) -> anyhow::Result<T> + Sync) -> anyhow::Result<Vec<T>> {
    let act = &act;
    thread::scope(|scope| {
        let hand =
            |first: usize| move || (first..count).step_by(HANDS).map(act).collect::<anyhow::Result<Vec<T>>>();
        let hands: Vec<_> = (0..HANDS).map(|first| scope.spawn(hand(first))).collect();
        let done: anyhow::Result<Vec<Vec<T>>> = (hands.into_iter())
            .map(|hand| hand.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        Ok(done?.into_iter().flatten().collect())
    })
}
