//! What was measured, a row a step, and the aims.

use std::collections::BTreeMap;
use std::time::Duration;

use manifold_e2e::audit::Entry;

use super::Options;
use super::process::Usage;
use crate::bench::goals::{self, Goal};
use crate::progress;
use crate::table::Table;

/// What came of the time in which pods were replaced.
#[derive(Default)]
pub(super) struct Churned {
    /// Longer than it was meant to be where the machine did not keep the pace.
    pub(super) took: Duration,
    pub(super) requests: Vec<Entry>,
    /// Processor seconds, the leader's first.
    pub(super) cpu: Vec<f64>,
    /// From each change to the status that tells it, shortest first.
    pub(super) times: Vec<Duration>,
}

/// Pods for which the memory is aimed at.
const LARGE: f64 = 150_000.0;

pub(super) struct Step {
    pub(super) pods: usize,
    pub(super) made: Duration,
    /// The leader's first.
    pub(super) memory: Vec<Usage>,
    pub(super) after: Vec<Usage>,
    pub(super) churned: Churned,
    /// Until ready, and until a change is told.
    pub(super) restart: (Duration, Duration),
    pub(super) api: f64,
}

impl Step {
    fn resident(&self) -> f64 {
        self.memory.first().map(|leader| leader.resident).unwrap_or_default()
    }

    /// The most that any replica ever had.
    fn peak(&self) -> f64 {
        self.memory.iter().chain(&self.after).map(|usage| usage.peak).fold(0.0, f64::max)
    }

    fn lag(&self, of_thousand: usize) -> Option<f64> {
        let times = &self.churned.times;
        let place = (times.len() * of_thousand / 1000).min(times.len().checked_sub(1)?);
        times.get(place).map(Duration::as_secs_f64)
    }

    fn seconds(&self) -> f64 {
        self.churned.took.as_secs_f64()
    }

    fn requests_a_second(&self) -> f64 {
        self.churned.requests.len() as f64 / self.seconds()
    }
}

pub(super) fn print(steps: &[Step], options: &Options) {
    progress::line("");
    table(steps, options).print();
    progress::line("");
    if let Some(last) = steps.last() {
        requests(last).print();
        progress::line("");
    }
    goals::print(&aims(steps));
}

fn table(steps: &[Step], options: &Options) -> Table {
    let mut table = Table::new(&[
        "Pods",
        "Leader MiB",
        "Other MiB",
        "Peak",
        "Lag p50 s",
        "p99",
        "Pods/s",
        "Requests/s",
        "CPU % leader",
        "Other",
        "Ready s",
        "Told s",
        "Server MiB",
        "Made in",
    ]);
    let replaced = f64::from(options.churn) * options.seconds as f64;
    for step in steps {
        let second = step.memory.get(1).map(|usage| usage.resident).unwrap_or_default();
        let cpu = |replica: usize| {
            step.churned.cpu.get(replica).copied().unwrap_or_default() / step.seconds() * 100.0
        };
        let lag = |of_thousand| step.lag(of_thousand).map(|lag| format!("{lag:.2}")).unwrap_or_default();
        let cells = [
            step.pods.to_string(),
            format!("{:.1}", step.resident()),
            format!("{second:.1}"),
            format!("{:.1}", step.peak()),
            lag(500),
            lag(990),
            format!("{:.1}", replaced / step.seconds()),
            format!("{:.1}", step.requests_a_second()),
            format!("{:.1}", cpu(0)),
            format!("{:.1}", cpu(1)),
            format!("{:.1}", step.restart.0.as_secs_f64()),
            format!("{:.1}", step.restart.1.as_secs_f64()),
            format!("{:.0}", step.api),
            progress::seconds(step.made),
        ];
        table.row(cells.into_iter().map(|cell| vec![cell]).collect());
    }
    table
}

fn requests(step: &Step) -> Table {
    let mut table = Table::new(&["Requests of the controller", "a second"]);
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for entry in &step.churned.requests {
        *counts.entry((&entry.verb, &entry.resource)).or_default() += 1;
    }
    for ((verb, resource), count) in counts {
        table.row(vec![
            vec![format!("{verb} {resource}")],
            vec![format!("{:.2}", count as f64 / step.seconds())],
        ]);
    }
    table
}

fn aims(steps: &[Step]) -> Vec<Goal> {
    let worst = |of: &dyn Fn(&Step) -> Option<f64>| steps.iter().filter_map(of).reduce(f64::max);
    vec![
        Goal::at_most(
            "MiB resident with 150,000 pods (straight line through the steps) ≤ 400",
            at_large(steps),
            400.0,
        ),
        Goal::at_most("lag from a pod's change to the status, p99 ≤ 2 s", worst(&|step| step.lag(990)), 2.0),
        Goal::at_most("requests a second ≤ 60", worst(&|step| Some(step.requests_a_second())), 60.0),
        Goal::at_most("restart to ready ≤ 30 s", worst(&|step| Some(step.restart.0.as_secs_f64())), 30.0),
        Goal::at_most(
            "restart until a change is told ≤ 30 s",
            worst(&|step| Some(step.restart.1.as_secs_f64())),
            30.0,
        ),
    ]
}

/// By the largest step and the slope from the smallest; one step alone is taken in proportion.
fn at_large(steps: &[Step]) -> Option<f64> {
    let (first, last) = (steps.first()?, steps.last()?);
    let more = last.pods.saturating_sub(first.pods) as f64;
    let slope = match more {
        0.0 => last.resident() / last.pods as f64,
        more => (last.resident() - first.resident()) / more,
    };
    Some(last.resident() + slope * (LARGE - last.pods as f64).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(pods: usize, resident: f64) -> Step {
        let usage = Usage { resident, peak: resident, cpu: 0.0 };
        Step {
            pods,
            made: Duration::ZERO,
            memory: vec![usage],
            after: vec![usage],
            churned: Churned { times: (1..=100).map(Duration::from_secs).collect(), ..Churned::default() },
            restart: (Duration::ZERO, Duration::ZERO),
            api: 0.0,
        }
    }

    #[test]
    fn memory_is_drawn_out_along_a_straight_line() {
        assert_eq!(at_large(&[step(15_000, 40.0)]), Some(400.0));
        assert_eq!(at_large(&[step(50_000, 50.0), step(100_000, 75.0)]), Some(100.0));
        assert_eq!(at_large(&[step(50_000, 50.0), step(150_000, 75.0)]), Some(75.0));
    }

    #[test]
    fn percentiles_are_of_all_changes() {
        assert_eq!(step(1, 1.0).lag(500), Some(51.0));
        assert_eq!(step(1, 1.0).lag(990), Some(100.0));
    }
}
