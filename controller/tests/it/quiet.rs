//! A cluster in which nothing changes: what the controller still writes.

use std::thread;
use std::time::{Duration, Instant};

use manifold_e2e::api_server::{self, ApiServer};
use manifold_e2e::audit::{Audit, Entry};
use manifold_e2e::controller::{Controllers, Options, USER};
use manifold_e2e::load::Fleet;

const PODS: usize = 1_000;
const DEFINITIONS: usize = 40;
/// How long nothing may be written.
const WATCHED: Duration = Duration::from_secs(120);
/// So long without a write, and the start is over. The count of the default network may come ten seconds late, and a write that
/// a busy API server does not answer is tried again after ten more.
const CALM: Duration = Duration::from_secs(35);

fn writes(audit: &Audit) -> Vec<Entry> {
    let mut entries = audit.entries().unwrap();
    entries.retain(|entry| entry.is_write() && entry.resource != "leases");
    entries
}

// Proves: F-CTL-3
#[test]
fn nothing_but_the_lease_is_written_while_nothing_changes() {
    let audit = Audit::of(USER).unwrap();
    let server = api_server::Options { flags: audit.flags(), ..api_server::Options::default() };
    let api = ApiServer::start_with(server).unwrap();
    let fleet = Fleet { api: &api, nodes: 50, definitions: DEFINITIONS, hands: 4 };
    fleet.make_definitions().unwrap();
    fleet.make_pods(0..PODS).unwrap();
    let bed = Controllers::start(&api, &Options { replicas: 2, ..Options::default() }).unwrap();
    // It has found everything: every definition has a status, and none came for a while.
    let statuses = || writes(&audit).iter().filter(|e| e.resource.ends_with("definitions/status")).count();
    bed.wait("a status on every definition", || Ok(statuses() > DEFINITIONS)).unwrap();
    let mut known = (writes(&audit).len(), Instant::now());
    bed.wait("the end of the writes of the start", || {
        let count = writes(&audit).len();
        if count != known.0 {
            known = (count, Instant::now());
        }
        Ok(known.1.elapsed() > CALM)
    })
    .unwrap();

    let before = audit.entries().unwrap().len();
    let began = writes(&audit).len();
    thread::sleep(WATCHED);
    let later = audit.entries().unwrap().split_off(before);
    assert_eq!(writes(&audit).len(), began, "{:?}", writes(&audit).split_off(began));
    let (of_lease, others): (Vec<Entry>, Vec<Entry>) =
        later.into_iter().partition(|e| e.resource == "leases");
    let renewals = of_lease.iter().filter(|e| e.is_write() && e.code < 400).count();
    assert!(renewals > 10, "the leader was not there: {of_lease:?}");
    // Two that want the Lease at the same moment are told apart by a refusal, on a machine on which one could be lost.
    let refused: Vec<&Entry> = others.iter().filter(|e| e.code >= 400).collect();
    assert!(refused.is_empty(), "{refused:?}");
}
