//! Candidates in this process, on one Lease: killed, stopped and confused at random; never do two of them lead at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use manifold_controller::cluster::election::{Election, Leases};
use manifold_controller::cluster::term::Term;
use manifold_controller::connect;
use manifold_controller::context::Stop;
use manifold_e2e::api_server::{ApiServer, TestNamespace};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const DURATION: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_secs(1);

/// When each term was first and last seen to hold.
#[derive(Clone, Debug, Default)]
struct Terms(Arc<Mutex<BTreeMap<u64, (Instant, Instant)>>>);

impl Terms {
    /// What a leader does here: it says as often as it can that it may write.
    async fn lead(self, term: Term, mut stop: Stop) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let mut ended = term.clone();
        let say = async {
            loop {
                let now = Instant::now();
                if term.holds() {
                    let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                    all.entry(number).or_insert((now, now)).1 = now;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            () = say => {}
            () = ended.ended() => {}
            () = stop.asked() => {}
        }
    }

    fn spans(&self) -> Vec<(Instant, Instant)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spans: Vec<_> = all.values().copied().collect();
        spans.sort();
        spans
    }

    fn last(&self) -> Option<Instant> {
        self.spans().iter().map(|span| span.1).max()
    }
}

struct Candidate {
    name: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

async fn candidate(namespace: &TestNamespace<'_>, number: usize, terms: &Terms) -> Candidate {
    let client = connect::client(Some(namespace.api().kubeconfig())).await.unwrap();
    let name = format!("candidate-{number}.");
    let identity = connect::unique(&name).unwrap();
    let leases = Leases::new(client, namespace.name(), "lease", identity);
    let (sender, stop) = Stop::new();
    let (terms, seen) = (terms.clone(), stop.clone());
    let election = Election::new(leases, DURATION, RETRY);
    let task = tokio::spawn(async move {
        election.run(stop, move |term| terms.clone().lead(term, seen.clone())).await;
    });
    Candidate { name, stop: sender, task }
}

async fn wait_for_a_term(terms: &Terms, since: Instant) {
    wait_for(|| terms.last().is_some_and(|last| last > since)).await;
}

async fn wait_for(mut met: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !met() {
        assert!(Instant::now() < deadline, "nobody leads");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Which of the candidates the Lease names, once it names one.
async fn holder(namespace: &TestNamespace<'_>, lease: &str, candidates: &[Candidate]) -> usize {
    let mut found = None;
    wait_for(|| {
        let answer = namespace.api().client().get(lease).unwrap().text();
        found = candidates.iter().position(|c| answer.contains(&c.name));
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_terms_never_overlap_whoever_is_killed_stopped_or_robbed_of_the_lease() {
    let api = ApiServer::shared().unwrap();
    let namespace = api.namespace("election").unwrap();
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/lease", namespace.name());
    let terms = Terms::default();
    let mut candidates = Vec::new();
    for number in 0..3 {
        candidates.push(candidate(&namespace, number, &terms).await);
    }
    for round in 0..10 {
        wait_for_a_term(&terms, Instant::now()).await;
        let holder = holder(&namespace, &lease, &candidates).await;
        let before = terms.spans().len();
        match round % 5 {
            // Deleted under its holder, who makes it anew with its next renewal.
            0 => {
                api.client().call("DELETE", &lease, "application/json", b"").unwrap();
                continue;
            }
            // Touched by somebody: the holder's version is old, and its term goes on.
            1 => {
                let label = json!({"metadata": {"labels": {"round": round.to_string()}}});
                api.client().send("PATCH", &lease, &label).unwrap();
                continue;
            }
            // Asked to stop: it gives the Lease back.
            2 => {
                let gone = candidates.remove(holder);
                gone.stop.send_replace(true);
                gone.task.await.unwrap();
                candidates.push(candidate(&namespace, 3 + round, &terms).await);
            }
            // Killed: nothing is given back.
            3 => {
                candidates.remove(holder).task.abort();
                candidates.push(candidate(&namespace, 3 + round, &terms).await);
            }
            // The Lease is somebody's who never comes.
            _ => {
                let thief =
                    json!({"spec": {"holderIdentity": "thief", "renewTime": "2020-01-01T00:00:00.000000Z"}});
                api.client().send("PATCH", &lease, &thief).unwrap();
            }
        }
        wait_for(|| terms.spans().len() > before).await;
    }
    for gone in candidates {
        gone.stop.send_replace(true);
        gone.task.await.unwrap();
    }
    let spans = terms.spans();
    assert!(spans.len() >= 7, "{} terms", spans.len());
    // Whoever steals the Lease by hand breaks the agreement, and its holder learns of it at the next renewal; so it is the
    // candidates among each other that must never overlap.
    for pair in spans.windows(2) {
        let ((_, end), (begin, _)) = (pair[0], pair[1]);
        assert!(end < begin, "a term began {:?} before another had ended", end.duration_since(begin));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_term_ends_before_the_lease_can_be_taken_when_the_server_is_away() {
    let api = ApiServer::start().unwrap();
    let namespace = api.namespace("election").unwrap();
    let terms = Terms::default();
    let alone = candidate(&namespace, 0, &terms).await;
    wait_for_a_term(&terms, Instant::now()).await;
    api.stop();
    let away = Instant::now();
    // The last renewal may have been sent in this very moment, and is good for two thirds of the Lease.
    tokio::time::sleep(DURATION).await;
    let last = terms.last().unwrap();
    assert!(last <= away + DURATION, "{:?}", last - away);
    let silent = Instant::now();
    api.start_again().unwrap();
    wait_for_a_term(&terms, silent).await;
    // The same candidate, in another term: none goes on from before.
    let went_on: Vec<_> =
        terms.spans().into_iter().filter(|(begin, end)| *begin <= silent && *end > away + DURATION).collect();
    assert!(went_on.is_empty(), "{went_on:?}");
    alone.stop.send_replace(true);
    alone.task.await.unwrap();
}
