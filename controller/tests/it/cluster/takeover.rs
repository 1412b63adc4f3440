//! Two replicas as processes: the other one leads when the first is killed, sleeps, or stops.

use std::time::{Duration, Instant};

use manifold_e2e::api_server::ApiServer;
use manifold_e2e::controller::{Controllers, Options, Replica};
use serde_json::json;

/// How long until another replica than this one says that it leads.
fn other_leads(bed: &Controllers<'_>, than: &Replica, since: Instant) -> Duration {
    bed.wait("another leader", || {
        Ok(bed.leader()?.is_some_and(|leader| leader.identity() != than.identity()))
    })
    .unwrap();
    since.elapsed()
}

fn leaders(bed: &Controllers<'_>) -> usize {
    let leads =
        |replica: &&Replica| replica.metrics().is_ok_and(|all| all.sum("manifold_leader", &[]) == 1.0);
    bed.replicas().iter().filter(leads).count()
}

#[test]
fn the_other_replica_leads_within_15_seconds_of_a_death_and_at_once_after_a_stop() {
    let api = ApiServer::start().unwrap();
    // As it is shipped.
    let config = json!({"lease": {"durationSeconds": 10, "retrySeconds": 2}});
    let bed = Controllers::start(&api, &Options { replicas: 2, config, ..Options::default() }).unwrap();

    let first = bed.wait_for_leader().unwrap();
    let begin = Instant::now();
    first.kill();
    let took = other_leads(&bed, first, begin);
    assert!(took <= Duration::from_secs(15), "{took:?} after a kill");

    first.start().unwrap();
    first.wait_ready().unwrap();
    let second = bed.wait_for_leader().unwrap();
    let (status, ending) = second.stop().unwrap();
    assert!(status.success() && ending < Duration::from_secs(5), "{status} after {ending:?}");
    let took = other_leads(&bed, second, Instant::now());
    // Looked for every 2 s. Had the Lease not been given back, it would last for 10.
    assert!(took <= Duration::from_secs(6), "{took:?} after a stop");

    second.start().unwrap();
    second.wait_ready().unwrap();
    // Everything it knew is old when it wakes; it must find that out before it writes.
    let asleep = bed.wait_for_leader().unwrap();
    asleep.sleep().unwrap();
    let begin = Instant::now();
    let awake = bed.replicas().iter().find(|r| r.identity() != asleep.identity()).unwrap();
    bed.wait("the other's term", || Ok(awake.metrics()?.sum("manifold_leader", &[]) == 1.0)).unwrap();
    let took = begin.elapsed();
    assert!(took <= Duration::from_secs(15), "{took:?} after falling asleep");
    asleep.wake().unwrap();
    bed.wait("that it knows", || Ok(asleep.metrics()?.sum("manifold_leader", &[]) == 0.0)).unwrap();
    assert_eq!(leaders(&bed), 1);
}
