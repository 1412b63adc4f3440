//! How long it takes from a change of a pod until the definition's status tells it, by a watch of all definitions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use manifold_e2e::api_client::Watch;
use manifold_e2e::api_server::ApiServer;
use manifold_e2e::load::Fleet;
use serde_json::Value;

const DEFINITIONS: &str = "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions";
/// A watch over so long a silence has lost its server.
const SILENCE: Duration = Duration::from_secs(3600);
/// The number of the pod by which a restart is timed. It asks for two networks.
const PROBE: usize = 5_000_000;

/// Counts as they are and as they are told.
#[derive(Debug, Default)]
struct Counts {
    by_name: BTreeMap<String, Count>,
    times: Vec<Duration>,
}

#[derive(Debug, Default)]
struct Count {
    pods: i64,
    told: Option<i64>,
    /// Changes that no status has told yet: when, and how many pods there were after it.
    open: VecDeque<(Instant, i64)>,
}

impl Counts {
    fn changed(&mut self, name: &str, by: i64, at: Instant) {
        let count = self.by_name.entry(name.to_owned()).or_default();
        count.pods += by;
        // A status that comes before its change is known here took no time.
        if count.told == Some(count.pods) {
            self.times.push(Duration::ZERO);
        } else {
            count.open.push_back((at, count.pods));
        }
    }

    fn told(&mut self, name: &str, pods: i64, at: Instant) {
        let count = self.by_name.entry(name.to_owned()).or_default();
        count.told = Some(pods);
        // A count tells its own change and all before it.
        let Some(last) = count.open.iter().rposition(|(_, after)| *after == pods) else { return };
        self.times.extend(count.open.drain(..=last).map(|(since, _)| at.saturating_duration_since(since)));
    }

    fn wrong(&self) -> Option<String> {
        let is_wrong = |count: &Count| count.told.unwrap_or_default() != count.pods;
        let (name, count) = self.by_name.iter().find(|(_, count)| is_wrong(count))?;
        Some(format!("`{name}` says {:?}, and has {} pods", count.told, count.pods))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Lags(Arc<Mutex<Counts>>);

impl Lags {
    /// Follows all definitions from now on.
    pub(super) fn watch(api: &ApiServer) -> anyhow::Result<Self> {
        let list = api.client().session().get(DEFINITIONS)?.json()?;
        let version = list.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        let version = version.context("a list without a version")?;
        let watch =
            api.client().watch(&format!("{DEFINITIONS}?watch=1&resourceVersion={version}"), SILENCE)?;
        let lags = Self(Arc::default());
        for object in list.get("items").and_then(Value::as_array).into_iter().flatten() {
            lags.hear(object);
        }
        let ears = lags.clone();
        let client = api.client().clone();
        thread::spawn(move || ears.listen(watch, &client));
        Ok(lags)
    }

    /// Watches end by themselves after a while; the next one goes on where the last one ended.
    fn listen(&self, mut watch: Watch, client: &manifold_e2e::api_client::ApiClient) {
        loop {
            let mut version = String::new();
            for object in watch.by_ref().map_while(Result::ok).filter_map(|e| e.get("object").cloned()) {
                self.hear(&object);
                let its = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
                its.unwrap_or_default().clone_into(&mut version);
            }
            let path = format!("{DEFINITIONS}?watch=1&resourceVersion={version}");
            let Ok(next) = client.watch(&path, SILENCE) else { return };
            watch = next;
        }
    }

    fn hear(&self, object: &Value) {
        let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default();
        // The default network has its pods from everywhere, and no order in them.
        let namespace = text("/metadata/namespace");
        if let Some(pods) =
            object.pointer("/status/pods").and_then(Value::as_i64).filter(|_| namespace.starts_with("load"))
        {
            let name = format!("{namespace}/{}", text("/metadata/name"));
            self.lock().told(&name, pods, Instant::now());
        }
    }

    /// A pod that was there before anything is measured.
    pub(super) fn there(&mut self, asked: &[String]) {
        let mut counts = self.lock();
        for name in asked {
            counts.by_name.entry(name.clone()).or_default().pods += 1;
        }
    }

    pub(super) fn changed(&mut self, asked: &[String], by: i64) {
        let mut counts = self.lock();
        asked.iter().for_each(|name| counts.changed(name, by, Instant::now()));
    }

    /// The times of all changes so far, shortest first.
    pub(super) fn take(&mut self) -> Vec<Duration> {
        let mut times = std::mem::take(&mut self.lock().times);
        times.sort_unstable();
        times
    }

    /// Until every definition tells how many pods it has.
    pub(super) fn wait_until_right(&self, deadline: Instant) -> anyhow::Result<()> {
        loop {
            let Some(wrong) = self.lock().wrong() else { return Ok(()) };
            if Instant::now() > deadline {
                bail!("the statuses do not come to be right: {wrong}");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Makes a pod, waits until its definitions tell it, and takes it away again.
    pub(super) fn probe(&mut self, fleet: &Fleet<'_>, deadline: Instant) -> anyhow::Result<()> {
        let mut session = fleet.api.client().session();
        let asked = fleet.asked_by(PROBE);
        fleet.make_pod(&mut session, PROBE)?;
        self.there(&asked);
        self.wait_until_right(deadline)?;
        fleet.delete_pod(&mut session, PROBE)?;
        asked.iter().for_each(|name| {
            self.lock().by_name.entry(name.clone()).or_default().pods -= 1;
        });
        self.wait_until_right(deadline)
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_tells_its_own_change_and_those_before_it() {
        let (mut counts, begin) = (Counts::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        (1..=3).for_each(|second| counts.changed("a", 1, at(second)));
        counts.told("a", 2, at(4));
        assert_eq!(counts.times, [Duration::from_secs(3), Duration::from_secs(2)]);
        assert!(counts.wrong().is_some());
        counts.told("a", 3, at(5));
        assert_eq!(counts.times.len(), 3);
        assert_eq!(counts.wrong(), None);
    }

    #[test]
    fn a_status_that_is_faster_than_the_answer_took_no_time() {
        let (mut counts, now) = (Counts::default(), Instant::now());
        counts.told("a", 1, now);
        counts.changed("a", 1, now);
        assert_eq!(counts.times, [Duration::ZERO]);
    }
}
