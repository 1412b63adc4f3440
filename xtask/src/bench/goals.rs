//! The project's aims in numbers, and whether this run met them.

use super::results::{Floors, Row, Run};
use crate::progress;
use crate::table::Table;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    Met(String),
    Missed(String),
    NotMeasured,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Goal {
    pub(super) text: String,
    pub(super) verdict: Verdict,
    /// A benchmark of calls that fail is none.
    pub(super) must: bool,
}

impl Goal {
    /// Met while `value` is at most `most`.
    pub(super) fn at_most(text: impl Into<String>, value: Option<f64>, most: f64) -> Self {
        Self::of(text, value, |value| value <= most)
    }

    fn at_least(text: impl Into<String>, value: Option<f64>, least: f64) -> Self {
        Self::of(text, value, |value| value >= least)
    }

    fn of(text: impl Into<String>, value: Option<f64>, met: impl Fn(f64) -> bool) -> Self {
        let verdict = match value {
            None => Verdict::NotMeasured,
            Some(value) if met(value) => Verdict::Met(format!("{value:.2}")),
            Some(value) => Verdict::Missed(format!("{value:.2}")),
        };
        Self { text: text.into(), verdict, must: false }
    }
}

pub(super) fn judge(floors: &Floors, runs: &[Run], iterations: u64) -> Vec<Goal> {
    let Some(ours) = runs.first() else { return Vec::new() };
    let mut goals = vec![all_succeeded(runs, iterations), against_floors(floors, ours)];
    for kind in ["macvlan", "bridge"] {
        let del = |n| Some(ours.row(kind, n)?.del.wall);
        let ratio = del(16).zip(del(1)).map(|(many, one)| many / one);
        goals.push(Goal::at_most(format!("DEL of 16 {kind} ≤ 1.5 × DEL of one"), ratio, 1.5));
    }
    let beyond = |row: &Row| row.add.requests - (2 + row.attach) as f64;
    goals.push(Goal::at_most(
        "requests per ADD beyond one GET of the pod, one per definition, one PATCH: none",
        ours.seq.iter().map(beyond).reduce(f64::max),
        0.0,
    ));
    goals.extend(against_peer(ours, runs.iter().find(|run| run.name == "multus")));
    goals
}

fn all_succeeded(runs: &[Run], iterations: u64) -> Goal {
    let rows = runs.iter().flat_map(|run| &run.seq);
    let one_by_one = rows.map(|r| r.add.fails + r.del.fails + iterations.abs_diff(r.verified));
    let storms = runs.iter().flat_map(|run| &run.par);
    let at_once = storms.map(|s| s.add.fails + s.del.fails + s.pods.abs_diff(s.verified));
    let failed: u64 = one_by_one.chain(at_once).sum();
    let errors = runs.iter().flat_map(|run| {
        let one_by_one = run.seq.iter().flat_map(|r| [&r.add.err, &r.del.err]);
        one_by_one.chain(run.par.iter().flat_map(|s| [&s.add.err, &s.del.err]))
    });
    let error = errors.filter(|e| !e.is_empty()).map(|e| format!(": {e}")).next().unwrap_or_default();
    let verdict = match failed {
        0 => Verdict::Met("0".into()),
        n => Verdict::Missed(format!("{n}{error}")),
    };
    Goal { text: "calls that failed, and statuses that are missing: none".into(), verdict, must: true }
}

fn against_floors(floors: &Floors, ours: &Run) -> Goal {
    let ratio = |row: &Row| Some(row.add.wall / floors.of_add(&row.kind, row.attach)?);
    let rows = ours.seq.iter().filter_map(|row| Some((ratio(row)?, row)));
    let worst = rows.max_by(|(a, _), (b, _)| a.total_cmp(b));
    let name =
        |row: &Row| if row.attach == 0 { "0".to_owned() } else { format!("{} {}", row.attach, row.kind) };
    let place = worst.map(|(_, row)| format!(" (highest: {})", name(row))).unwrap_or_default();
    Goal::at_most(format!("ADD ≤ 2.5 × sum of the floors, in every row{place}"), worst.map(|w| w.0), 2.5)
}

fn against_peer(ours: &Run, peer: Option<&Run>) -> Vec<Goal> {
    let ratio =
        |n: u64, of: fn(&Row) -> f64| Some(of(peer?.row("macvlan", n)?) / of(ours.row("macvlan", n)?));
    let wall = |row: &Row| row.add.wall;
    let storm = |run: &Run| Some(run.par.iter().find(|s| s.parallel == 16)?.add.pods_per_s);
    let pods = || Some(storm(ours)? / storm(peer?)?);
    vec![
        Goal::at_least("ADD of 2 networks ≥ 6 × faster than Multus thin", ratio(2, wall), 6.0),
        Goal::at_least("ADD of 16 networks ≥ 10 × faster than Multus thin", ratio(16, wall), 10.0),
        Goal::at_least("CPU of an ADD of 2 ≤ a tenth of Multus thin's", ratio(2, |r| r.add.cpu), 10.0),
        Goal::at_least("CPU of an ADD of 16 ≤ a tenth of Multus thin's", ratio(16, |r| r.add.cpu), 10.0),
        Goal::at_least("memory ≤ a quarter of Multus thin's", ratio(2, Row::memory), 4.0),
        Goal::at_least("16 pods at once: ≥ 6 × the pods per second of Multus thin", pods(), 6.0),
    ]
}

/// Whether everything was met that must be.
pub(super) fn print(goals: &[Goal]) -> bool {
    let mut table = Table::new(&["Aim", "Here", ""]);
    for goal in goals {
        let (value, mark) = match &goal.verdict {
            Verdict::Met(value) => (value.clone(), progress::verdict(true, "met")),
            Verdict::Missed(value) => (value.clone(), progress::verdict(false, "missed")),
            Verdict::NotMeasured => (String::new(), progress::verdict(false, "NOT MEASURED")),
        };
        table.row(vec![vec![goal.text.clone()], vec![value], vec![mark]]);
    }
    table.print();
    goals.iter().all(|goal| !goal.must || matches!(goal.verdict, Verdict::Met(_)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(name: &str, add: f64, del: [f64; 2], fails: u64) -> Run {
        let row = |attach: u64, del: f64| {
            let phase = |wall: f64, fails: u64| {
                json!({"wall": wall, "p95": wall, "cpu": wall, "rss": 5.0, "requests": attach + 2,
                       "fails": fails, "foreign": 0.0})
            };
            json!({"kind": "macvlan", "attach": attach, "add": phase(add, fails), "dele": phase(del, 0), "verified": 5})
        };
        let [one, sixteen] = del;
        let seq = [row(1, one), row(2, one), row(16, sixteen)];
        serde_json::from_value(json!({"name": name, "seq": seq, "par": []})).unwrap()
    }

    fn floors() -> Floors {
        let pairs = [("bridge", 1), ("macvlan", 1), ("macvlan", 2), ("macvlan", 16)];
        let netlink = pairs.map(|(kind, n)| ((kind.to_owned(), n), 1.0)).into();
        Floors { exec: 1.0, netlink, ..Floors::default() }
    }

    #[track_caller]
    fn check(runs: &[Run], begin: &str, expected: Verdict) {
        let goals = judge(&floors(), runs, 5);
        let goal = goals.iter().find(|goal| goal.text.starts_with(begin)).unwrap();
        assert_eq!(goal.verdict, expected);
    }

    #[test]
    fn each_aim_is_met_or_missed_by_its_numbers() {
        let (met, missed) = (|v: &str| Verdict::Met(v.into()), |v: &str| Verdict::Missed(v.into()));
        check(&[run("manifold", 6.0, [20.0, 30.0], 0)], "ADD ≤ 2.5", met("2.00"));
        check(&[run("manifold", 9.0, [20.0, 30.0], 0)], "ADD ≤ 2.5", missed("3.00"));
        check(&[run("manifold", 9.0, [20.0, 30.0], 0)], "DEL of 16 macvlan", met("1.50"));
        check(&[run("manifold", 9.0, [20.0, 31.0], 0)], "DEL of 16 macvlan", missed("1.55"));
        check(&[run("manifold", 9.0, [20.0, 31.0], 0)], "requests per ADD", met("0.00"));
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let ours = run("manifold", 5.0, [20.0, 30.0], 0);
        check(std::slice::from_ref(&ours), "ADD of 2", Verdict::NotMeasured);
        check(std::slice::from_ref(&ours), "DEL of 16 bridge", Verdict::NotMeasured);
        check(&[ours, run("multus", 50.0, [1.0, 1.0], 0)], "ADD of 2", Verdict::Met("10.00".into()));
    }

    #[test]
    fn a_run_with_failed_calls_is_not_well() {
        let good = judge(&floors(), &[run("manifold", 5.0, [20.0, 30.0], 0)], 5);
        assert!(good.iter().all(|goal| !goal.must || matches!(goal.verdict, Verdict::Met(_))));
        let bad = judge(&floors(), &[run("manifold", 5.0, [20.0, 30.0], 1)], 5);
        assert!(bad.iter().any(|goal| goal.must && matches!(goal.verdict, Verdict::Missed(_))));
    }
}
