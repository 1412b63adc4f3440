//! What a pool's status and finalizer should be, and what people hear of it. Pure.

use manifold_addresses::claim::Hints;
use manifold_addresses::leader::{Counts, Pressure};
use manifold_crds::ipam::PoolStatus;
use manifold_crds::nad_status::Condition;

use super::read::PoolObject;
use crate::events::{Reason, Severity};

/// On a pool of which anybody has an address: it stays until nobody has.
pub(super) const FINALIZER: &str = "ipam.manifold.network/in-use";
/// How many are named in a sentence.
pub(super) const NAMED: usize = 10;
/// Longer texts are cut: a status is read by people.
const LONGEST: usize = 1024;

/// What is known of a pool.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) counts: Counts,
    pub(super) hints: Hints,
    pub(super) pressure: Pressure,
    pub(super) networks: Vec<String>,
    /// Where addresses lie idle, most first: node and how many.
    pub(super) idle: Vec<(String, u32)>,
    /// The first pods that use it. Only looked up while it goes.
    pub(super) pods: Vec<String>,
    /// Pools that say otherwise of the same addresses.
    pub(super) overlaps: Vec<String>,
    /// Each a sentence's part: `10.1.0.5: shop/a, shop/b`.
    pub(super) duplicates: Vec<String>,
    /// Nodes that do not answer a recall.
    pub(super) silent: Vec<String>,
    /// Nodes that have more than they may.
    pub(super) above: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) severity: Severity,
    pub(super) reason: Reason,
    pub(super) sentence: String,
}

struct Verdict {
    kind: &'static str,
    is_so: bool,
    reason: &'static str,
    message: String,
}

/// The status as it should be. `now`: the time of transitions, RFC 3339.
pub(super) fn status(pool: &PoolObject, known: &Known, now: &str) -> PoolStatus {
    let count = |n: u128| u64::try_from(n).unwrap_or(u64::MAX >> 1).min(i64::MAX.unsigned_abs());
    let Counts { total, used, idle, free, nodes } = known.counts;
    let conditions = verdicts(pool, known).into_iter().map(|verdict| condition(pool, verdict, now)).collect();
    PoolStatus {
        observed_generation: pool.generation,
        mode: known.hints.mode,
        total: count(total),
        used: count(used),
        free: count(free),
        idle: count(idle),
        nodes,
        networks: known.networks.iter().take(256).cloned().collect(),
        open: known.hints.open.clone(),
        next: known.hints.next.clone(),
        conditions,
    }
}

fn verdicts(pool: &PoolObject, known: &Known) -> Vec<Verdict> {
    let list = |all: &[String]| all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let told = |kind, is_so: bool, yes: &'static str, no: &'static str, message: String| Verdict {
        kind,
        is_so,
        reason: if is_so { yes } else { no },
        message: if is_so { message } else { String::new() },
    };
    vec![
        ready(pool, known),
        told("Exhausted", known.pressure.exhausted, "NoneFree", "SomeFree", exhausted(known)),
        told("NearlyFull", known.pressure.nearly_full, "FewFree", "EnoughFree", nearly_full(known)),
        told(
            "HoldersSilent",
            !known.silent.is_empty(),
            "RecallNotAnswered",
            "RecallsAnswered",
            format!(
                "blocks were asked back from nodes that do not answer: {}; check whether the node agent runs there",
                list(&known.silent)
            ),
        ),
        told(
            "Duplicates",
            !known.duplicates.is_empty(),
            "ShownTwice",
            "ShownOnce",
            format!(
                "two living pods show one address ({}); delete one of them, and it gets another",
                list(&known.duplicates)
            ),
        ),
        told(
            "Overlap",
            !known.overlaps.is_empty(),
            "PoolsDisagree",
            "PoolsAgree",
            format!(
                "pools with addresses of this one say another prefix or gateway: {}; make them say the same, or put them into another domain",
                list(&known.overlaps)
            ),
        ),
    ]
}

fn ready(pool: &PoolObject, known: &Known) -> Verdict {
    let (is_so, reason, message) = match &pool.pool {
        Err(problem) => (false, "Invalid", problem.to_string()),
        Ok(_) if pool.is_going => (false, "KeptForPods", kept(known)),
        Ok(pool) if pool.paused => (
            false,
            "Paused",
            "the pool is paused: no pod gets an address of it, and who has one keeps it".to_owned(),
        ),
        Ok(_) if !known.above.is_empty() => {
            let nodes = known.above.join(", ");
            (true, "NodeAboveLimit", format!("nodes have more addresses than `maxPerNode` allows: {nodes}"))
        }
        Ok(_) => (true, "AddressesGiven", String::new()),
    };
    Verdict { kind: "Ready", is_so, reason, message }
}

fn kept(known: &Known) -> String {
    let named = if known.pods.is_empty() { "claims".to_owned() } else { known.pods.join(", ") };
    format!(
        "the pool is being deleted and stays until its {} addresses in use are free; they belong to {named}",
        known.counts.used
    )
}

/// How many lie idle, and where.
fn idle(known: &Known) -> String {
    let nodes = known.idle.iter().take(3).map(|(node, count)| format!("{node} ({count})"));
    let nodes = nodes.collect::<Vec<_>>().join(", ");
    match known.counts.idle {
        0 => "none is idle on a node".to_owned(),
        idle => format!("{idle} lie idle on nodes, most on {nodes}"),
    }
}

fn exhausted(known: &Known) -> String {
    format!(
        "all {} addresses are in use, and {}; widen the pool's `ranges`, or delete pods or claims",
        known.counts.total,
        idle(known)
    )
}

fn nearly_full(known: &Known) -> String {
    let Counts { total, used, .. } = known.counts;
    format!("{used} of {total} addresses are in use, and {}; widen the pool's `ranges` in time", idle(known))
}

fn condition(pool: &PoolObject, verdict: Verdict, now: &str) -> Condition {
    let Verdict { kind, is_so, reason, mut message } = verdict;
    let status = if is_so { "True" } else { "False" };
    let old = pool.status.conditions.iter().find(|c| c.kind == kind);
    let since = old.filter(|old| old.status == status).map(|old| old.last_transition_time.clone());
    crate::objects::cut(&mut message, LONGEST);
    Condition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: since.unwrap_or_else(|| now.to_owned()),
        observed_generation: pool.generation,
    }
}

/// How full the pool was told to be.
pub(super) fn told_pressure(status: &PoolStatus) -> Pressure {
    let is = |kind: &str| status.conditions.iter().any(|c| c.kind == kind && c.status == "True");
    Pressure { exhausted: is("Exhausted"), nearly_full: is("NearlyFull") }
}

/// What crossed a line since the status was written last: once for each crossing.
pub(super) fn news(old: &PoolStatus, new: &PoolStatus) -> Vec<News> {
    let of = |status: &PoolStatus, kind: &str| {
        let found = status.conditions.iter().find(|c| c.kind == kind);
        found.map(|c| (c.status == "True", c.message.clone())).unwrap_or_default()
    };
    let mut all = Vec::new();
    let mut tell = |kind: &str, reason: Reason, over: Option<(Reason, &str)>| {
        let ((was, _), (is, sentence)) = (of(old, kind), of(new, kind));
        match (was, is, over) {
            (false, true, _) => all.push(News { severity: Severity::Warning, reason, sentence }),
            (true, false, Some((reason, sentence))) => {
                all.push(News { severity: Severity::Normal, reason, sentence: sentence.to_owned() });
            }
            _ => {}
        }
    };
    let free = "at least 5 percent of the addresses are free again";
    tell("Exhausted", Reason::AddressesExhausted, Some((Reason::AddressesAvailable, free)));
    // Who hears that all are used need not hear that nearly all are.
    if !of(new, "Exhausted").0 && !of(old, "Exhausted").0 {
        let free = "more than 15 percent of the addresses are free again";
        tell("NearlyFull", Reason::AddressesNearlyExhausted, Some((Reason::AddressesAvailable, free)));
    }
    tell("Duplicates", Reason::AddressConflict, None);
    all
}

#[cfg(test)]
mod tests {
    use manifold_crds::ipam::Mode;
    use serde_json::json;

    use super::*;
    use crate::addresses::read::pool_of;

    fn pool(spec: &serde_json::Value) -> PoolObject {
        let object = json!({
            "apiVersion": "ipam.manifold.network/v1alpha1", "kind": "AddressPool",
            "metadata": {"name": "storage", "uid": "p", "resourceVersion": "9", "generation": 3}, "spec": spec,
        });
        pool_of(serde_json::from_value(object).unwrap()).unwrap()
    }

    fn full(used: u128, exhausted: bool, nearly_full: bool) -> Known {
        Known {
            counts: Counts { total: 13, used, idle: 13 - used, free: 0, nodes: 2 },
            hints: Hints { mode: Some(Mode::Singles), ..Hints::default() },
            pressure: Pressure { exhausted, nearly_full },
            idle: vec![("worker-7".into(), 1)],
            ..Known::default()
        }
    }

    fn message<'a>(status: &'a PoolStatus, kind: &str) -> (&'a str, &'a str, &'a str) {
        let c = status.conditions.iter().find(|c| c.kind == kind).unwrap();
        (&c.status, &c.reason, &c.message)
    }

    // Shows part of: IPAM-33
    #[test]
    fn each_crossing_is_told_once_and_a_transition_keeps_its_time() {
        let mut pool = pool(&json!({"subnet": "10.1.0.0/28"}));
        let mut heard = Vec::new();
        for (known, now) in [
            (full(5, false, false), "t1"),
            (full(12, false, true), "t2"),
            (full(13, true, true), "t3"),
            (full(13, true, true), "t4"),
            (full(12, false, true), "t5"),
            (full(5, false, false), "t6"),
        ] {
            let new = status(&pool, &known, now);
            heard.extend(news(&pool.status, &new).into_iter().map(|news| (now, news.reason)));
            assert_eq!(told_pressure(&new), known.pressure);
            if now == "t4" {
                assert_eq!(new, pool.status, "nothing to write");
            }
            pool.status = new;
        }
        use Reason::{AddressesAvailable, AddressesExhausted, AddressesNearlyExhausted};
        assert_eq!(
            heard,
            [
                ("t2", AddressesNearlyExhausted),
                ("t3", AddressesExhausted),
                ("t5", AddressesAvailable),
                ("t6", AddressesAvailable),
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_names_and_a_remedy() {
        let paused =
            status(&pool(&json!({"subnet": "10.1.0.0/28", "paused": true})), &full(1, false, false), "t");
        assert_eq!((message(&paused, "Ready").0, message(&paused, "Ready").1), ("False", "Paused"));
        let invalid = status(&pool(&json!({"subnet": "10.1.0.1/28"})), &Known::default(), "t");
        assert!(message(&invalid, "Ready").2.contains("host bits"));
        let mut going = pool(&json!({"subnet": "10.1.0.0/28"}));
        going.is_going = true;
        let known = Known { pods: vec!["shop/a".into()], ..full(13, true, true) };
        let told = status(&going, &known, "t");
        assert!(
            message(&told, "Ready").2.contains("13 addresses")
                && message(&told, "Ready").2.contains("shop/a")
        );
        let known = Known {
            counts: Counts { used: 10, idle: 3, total: 13, ..known.counts },
            ..full(10, false, true)
        };
        assert!(
            message(&status(&going, &known, "t"), "NearlyFull")
                .2
                .contains("3 lie idle on nodes, most on worker-7 (1)")
        );
    }
}
