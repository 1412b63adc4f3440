//! Pods that run, asked for networks, and have no status: they may run without their networks (P-UP-2).
//!
//! The watch sees metadata only, so which of them run is asked pod by pod, and only of pods that have waited for long:
//! those that hang before their start are asked less and less often. Who is found is told to people by an event and to
//! the nodes by a mark, until the status has come or the pod has gone. Pure, but for the one question to the API server.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::ListParams;
use kube::core::Request;
use manifold_crds::nad_status::{REPUBLISHED_PODS, Unpublished};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::usage::index::Index;
use crate::usage::pod::{PodFacts, Uid};

/// Pods asked about in one round.
const AT_ONCE: usize = 20;
/// One question may take this long.
const ANSWER: Duration = Duration::from_secs(10);
const RAREST: Duration = Duration::from_secs(600);

/// How patient it is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A status may take this long to come.
    pub grace: Duration,
    /// Between two rounds of questions.
    pub round: Duration,
    /// Between two changes of the marks: each of them wakes every node.
    pub marks: Duration,
    /// After this long with a mark, the node has no record of the pod.
    pub hopeless: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(30),
            round: Duration::from_secs(5),
            marks: Duration::from_secs(10),
            hopeless: Duration::from_secs(120),
        }
    }
}

#[derive(Debug)]
pub(super) struct Missing {
    patience: Patience,
    waiting: HashMap<Uid, Waiting>,
    found: BTreeMap<Uid, Found>,
    marks: Vec<Unpublished>,
    marked: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    ask: Instant,
    times: u32,
}

#[derive(Debug)]
struct Found {
    since: Instant,
    is_hopeless: bool,
}

impl Missing {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, waiting: HashMap::new(), found: BTreeMap::new(), marks: Vec::new(), marked: None }
    }

    /// Those whom an earlier leader marked, so that a new one does not begin by taking the marks away.
    pub(super) fn adopt(&mut self, marks: &[Unpublished], awaiting: &HashSet<Uid>, now: Instant) {
        self.marks = marks.to_vec();
        let known =
            marks.iter().filter_map(|mark| Uid::parse(&mark.uid)).filter(|uid| awaiting.contains(uid));
        self.found.extend(known.map(|uid| (uid, Found { since: now, is_hopeless: false })));
    }

    /// The pods that await a status now. All others have it, or have gone.
    pub(super) fn sync(&mut self, awaiting: &HashSet<Uid>, now: Instant) {
        self.waiting.retain(|uid, _| awaiting.contains(uid));
        self.found.retain(|uid, _| awaiting.contains(uid));
        for uid in awaiting {
            let ask = now + self.patience.grace;
            if !self.found.contains_key(uid) {
                self.waiting.entry(*uid).or_insert(Waiting { ask, times: 0 });
            }
        }
    }

    /// Whom to ask about now. Who was asked about least comes first.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Uid> {
        let due = self.waiting.iter().filter(|(_, w)| w.ask <= now);
        let mut due: Vec<(u32, Instant, Uid)> = due.map(|(uid, w)| (w.times, w.ask, *uid)).collect();
        due.sort_unstable();
        due.truncate(AT_ONCE);
        for (_, _, uid) in &due {
            if let Some(waiting) = self.waiting.get_mut(uid) {
                waiting.ask =
                    now + self.patience.grace.saturating_mul(1 << waiting.times.min(16)).min(RAREST);
                waiting.times += 1;
            }
        }
        due.into_iter().map(|(_, _, uid)| uid).collect()
    }

    /// It runs. Whether that is new.
    pub(super) fn runs(&mut self, uid: Uid, now: Instant) -> bool {
        // Its status may have come while we asked.
        let is_new = self.waiting.remove(&uid).is_some();
        if is_new {
            self.found.insert(uid, Found { since: now, is_hopeless: false });
        }
        is_new
    }

    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// Those whose node has had its time; each is told once.
    pub(super) fn hopeless(&mut self, now: Instant) -> Vec<Uid> {
        let old = self.patience.hopeless;
        let found = self.found.iter_mut();
        let fresh = found.filter(|(_, f)| !f.is_hopeless && now.saturating_duration_since(f.since) >= old);
        fresh
            .map(|(uid, found)| {
                found.is_hopeless = true;
                *uid
            })
            .collect()
    }

    /// Brings the marks up to date, not too often. Whether they changed. Who was found last waits for room.
    pub(super) fn mark(&mut self, index: &Index, now: Instant) -> bool {
        if self.marked.is_some_and(|marked| now < marked + self.patience.marks) {
            return false;
        }
        let mut found: Vec<(Instant, Uid)> =
            self.found.iter().map(|(uid, found)| (found.since, *uid)).collect();
        found.sort_unstable();
        let pods = found.into_iter().filter_map(|(_, uid)| {
            let (namespace, name) = index.pod(uid)?;
            Some(Unpublished { uid: uid.to_string(), namespace: namespace.to_owned(), name: name.to_owned() })
        });
        let mut marks: Vec<Unpublished> = pods.take(REPUBLISHED_PODS).collect();
        marks.sort();
        let is_other = marks != self.marks;
        if is_other {
            (self.marks, self.marked) = (marks, Some(now));
        }
        is_other
    }

    pub(super) fn marks(&self) -> &[Unpublished] {
        &self.marks
    }
}

#[derive(Deserialize)]
struct Answer {
    items: Option<Vec<Box<RawValue>>>,
}

/// Whether this pod runs without a status. What cannot be asked is asked again later.
pub(super) async fn runs_without_status(client: &Client, uid: Uid, namespace: &str, name: &str) -> bool {
    let params = ListParams {
        field_selector: Some(format!("metadata.name={name},status.phase=Running")),
        limit: Some(1),
        ..ListParams::default()
    };
    let request = Request::new(format!("/api/v1/namespaces/{namespace}/pods")).list_metadata(&params);
    let Ok(request) = request else { return false };
    let found = tokio::time::timeout(ANSWER, client.request::<Answer>(request)).await;
    let found = found.ok().and_then(Result::ok).and_then(|list| list.items);
    let pods = found.unwrap_or_default();
    let mut pods = pods.iter().filter_map(|raw| PodFacts::read(raw).ok());
    pods.any(|pod| pod.uid == uid && !pod.has_status && !pod.is_terminating)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::index::Seen;

    fn uid(n: u128) -> Uid {
        Uid::new(n)
    }

    fn index(pods: &[u128]) -> Index {
        let mut index = Index::default();
        for n in pods {
            index.set(Seen {
                uid: uid(*n),
                namespace: "shop".into(),
                name: format!("p{n}"),
                version: 1,
                networks: Vec::new(),
                awaits_status: true,
            });
        }
        index
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_pod_is_asked_about_after_its_grace_and_then_less_and_less_often() {
        let (index, start) = (index(&[1]), Instant::now());
        let mut missing = Missing::new(Patience::default());
        missing.sync(index.awaiting(), start);
        assert_eq!(missing.due(start + 29 * SECOND), []);
        let mut asked = Vec::new();
        for second in 0..2000 {
            if !missing.due(start + second * SECOND).is_empty() {
                asked.push(second);
            }
        }
        assert_eq!(asked, [30, 60, 120, 240, 480, 960, 1560]);
    }

    #[test]
    fn many_that_hang_do_not_keep_others_from_being_asked_about() {
        let all: Vec<u128> = (0..100).collect();
        let (index, start) = (index(&all), Instant::now());
        let mut missing = Missing::new(Patience::default());
        missing.sync(index.awaiting(), start);
        let mut asked = HashSet::new();
        for round in 0..5u32 {
            asked.extend(missing.due(start + 30 * SECOND + round * SECOND));
        }
        assert_eq!(asked.len(), 100);
    }

    #[test]
    fn marks_change_rarely_and_go_when_the_status_has_come() {
        let (mut index, start) = (index(&[1, 2]), Instant::now());
        let mut missing = Missing::new(Patience::default());
        missing.sync(index.awaiting(), start);
        assert!(missing.runs(uid(1), start) && !missing.runs(uid(1), start));
        assert!(missing.mark(&index, start));
        assert_eq!(missing.marks()[0].name, "p1");
        missing.runs(uid(2), start + SECOND);
        assert!(!missing.mark(&index, start + SECOND), "every change wakes every node");
        assert!(missing.mark(&index, start + 10 * SECOND));
        assert_eq!(missing.marks().len(), 2);
        index.remove(uid(1), 5);
        missing.sync(index.awaiting(), start + 11 * SECOND);
        assert!(missing.mark(&index, start + 20 * SECOND));
        assert_eq!(missing.marks().len(), 1);
        assert!(!missing.mark(&index, start + 40 * SECOND), "nothing changed");
    }

    #[test]
    fn a_hundred_are_marked_at_once() {
        let all: Vec<u128> = (0..150).collect();
        let (index, start) = (index(&all), Instant::now());
        let mut missing = Missing::new(Patience::default());
        missing.sync(index.awaiting(), start);
        for n in &all {
            missing.runs(uid(*n), start);
        }
        assert!(missing.mark(&index, start));
        assert_eq!((missing.marks().len(), missing.count()), (100, 150));
    }

    #[test]
    fn a_new_leader_goes_on_with_the_marks_of_the_old_one() {
        let (index, start) = (index(&[1]), Instant::now());
        let mark = |n: u128| Unpublished {
            uid: uid(n).to_string(),
            namespace: "shop".into(),
            name: format!("p{n}"),
        };
        let mut missing = Missing::new(Patience::default());
        missing.adopt(&[mark(1)], index.awaiting(), start);
        missing.sync(index.awaiting(), start);
        assert!(!missing.mark(&index, start));
        assert_eq!((missing.due(start + 60 * SECOND), missing.count()), (vec![], 1));
        // One that has gone meanwhile, or whose UID nobody can read, is not kept.
        let mut missing = Missing::new(Patience::default());
        missing.adopt(&[mark(7), Unpublished { uid: "x".into(), ..mark(1) }], index.awaiting(), start);
        assert!(missing.mark(&index, start) && missing.marks().is_empty());
    }

    #[test]
    fn a_mark_that_does_not_help_is_told_once() {
        let (index, start) = (index(&[1]), Instant::now());
        let mut missing = Missing::new(Patience::default());
        missing.sync(index.awaiting(), start);
        missing.runs(uid(1), start);
        assert_eq!(missing.hopeless(start + 119 * SECOND), []);
        assert_eq!(missing.hopeless(start + 120 * SECOND), [uid(1)]);
        assert_eq!(missing.hopeless(start + 240 * SECOND), []);
    }
}
