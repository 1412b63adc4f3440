//! The table of all rows, and the aims.

use std::time::Duration;

use super::super::goals::{self, Goal};
use super::WARM;
use super::cost::Cost;
use super::memory::Memory;
use super::subject::{Kind, Meta, Plugins, Subject};
use crate::progress;
use crate::table::Table;

/// One round of one row.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) times: Vec<Duration>,
    pub(super) took: Duration,
    pub(super) deleted: Duration,
    pub(super) failed: usize,
    pub(super) cost: Cost,
    pub(super) memory: Memory,
}

/// All rounds of a row.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) subject: Subject,
    pub(super) rounds: Vec<Round>,
    /// A round failed, and no more were tried. Those before it count.
    pub(super) is_broken: bool,
}

/// What a row comes to. Times are milliseconds.
#[derive(Clone, Copy, Debug)]
struct Figures {
    pods_per_s: f64,
    p50: f64,
    p95: f64,
    deleted: f64,
    cost: Cost,
    memory: Memory,
    failed: usize,
}

impl Measured {
    pub(super) fn new(subject: Subject) -> Self {
        Self { subject, rounds: Vec::new(), is_broken: false }
    }

    fn figures(&self) -> Option<Figures> {
        if self.rounds.is_empty() {
            return None;
        }
        let mut times: Vec<f64> = self.rounds.iter().flat_map(|round| &round.times).map(ms).collect();
        times.sort_by(f64::total_cmp);
        let sum = |of: fn(&Round) -> &Duration| self.rounds.iter().map(of).sum::<Duration>().as_secs_f64();
        let costs: Vec<Cost> = self.rounds.iter().map(|round| round.cost).collect();
        Some(Figures {
            pods_per_s: times.len() as f64 / sum(|round| &round.took),
            p50: percentile(&times, 50),
            p95: percentile(&times, 95),
            deleted: sum(|round| &round.deleted) / self.rounds.len() as f64,
            cost: Cost::mean(&costs),
            memory: self.rounds.iter().fold(Memory::default(), |most, round| most.max(round.memory)),
            failed: self.rounds.iter().map(|round| round.failed).sum(),
        })
    }
}

/// Prints everything; whether all pods had all networks.
pub(super) fn print(all: &[Measured], pods: usize, kinds: &[Kind]) -> bool {
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    progress::heading(&format!("{pods} pods at once, with the default network and {}", kinds.join(" and ")));
    times(all).print();
    let notes = [
        "from before the POST until ready; all rounds together; added: to the default network alone, same plugins",
        "end: from the first DELETE until the last pod is gone",
    ];
    notes.iter().for_each(|note| progress::line(&format!("  {note}")));
    progress::line("");
    costs(all).print();
    let notes = [
        format!("CPU: seconds for {pods} pods, started and deleted. plugins: all that the runtime, or a daemon, executes and waits for,"),
        "with descendants; daemons: node agent, or Multus' daemon; cluster: two replicas of the controller; added: the sum of".into(),
        "the three beside the default network alone. API: API server and etcd; machine: everybody, Kubernetes included".into(),
        format!("MiB while {WARM} pods start and end: all plugins at one moment; the daemon's peak; the two replicas' peaks"),
    ];
    notes.iter().for_each(|note| progress::line(&format!("  {note}")));
    progress::line("");
    goals::print(&judge(all))
}

fn times(all: &[Measured]) -> Table {
    let heads = ["", "Plugins", "pods/s", "p50 ms", "p95 ms", "p50 added", "p95 added", "end s", "Failed"];
    table(all, &heads, |figures, base| {
        let added = |of: fn(&Figures) -> f64| {
            base.map(|base| format!("{:+.0}", of(figures) - of(base))).unwrap_or_default()
        };
        vec![
            format!("{:.2}", figures.pods_per_s),
            format!("{:.0}", figures.p50),
            format!("{:.0}", figures.p95),
            added(|f| f.p50),
            added(|f| f.p95),
            format!("{:.1}", figures.deleted),
            figures.failed.to_string(),
        ]
    })
}

fn costs(all: &[Measured]) -> Table {
    let heads = [
        "",
        "Plugins",
        "CPU added",
        "= plugins",
        "daemons",
        "cluster",
        "API",
        "machine",
        "MiB plugins",
        "daemons",
        "cluster",
    ];
    table(all, &heads, |figures, base| {
        let (cost, memory) = (figures.cost, figures.memory);
        let base = base.map(|base| base.cost);
        let added = base.map(|base| format!("{:+.2}", cost.networks() - base.networks()));
        // Without anything beside it, what it costs.
        let plugins = match base {
            Some(base) => format!("{:+.2}", cost.plugins - base.plugins),
            None => format!("{:.2}", cost.plugins),
        };
        let roles = [cost.daemons, cost.cluster_role].map(|seconds| format!("{seconds:.2}"));
        let others = [cost.servers, cost.machine].map(|seconds| format!("{seconds:.1}"));
        let memory = [memory.plugins, memory.daemons, memory.cluster_role].map(|mib| format!("{mib:.0}"));
        let cells = [added.unwrap_or_default(), plugins].into_iter().chain(roles).chain(others).chain(memory);
        cells.collect()
    })
}

/// A line for each row, by its figures and those of the default network alone.
fn table(
    all: &[Measured],
    heads: &[&str],
    cells: impl Fn(&Figures, Option<&Figures>) -> Vec<String>,
) -> Table {
    let mut table = Table::new(heads);
    for row in all {
        let base = of(all, Meta::None, row.subject.plugins).filter(|_| row.subject.meta != Meta::None);
        let figures = match row.figures() {
            Some(figures) => cells(&figures, base.as_ref()),
            None => vec!["not measured".to_owned()],
        };
        let names = [row.subject.meta.name(), row.subject.plugins()].map(str::to_owned);
        table.row(names.into_iter().chain(figures).map(|cell| vec![cell]).collect());
    }
    table
}

fn of(all: &[Measured], meta: Meta, plugins: Plugins) -> Option<Figures> {
    all.iter().find(|row| row.subject == Subject { meta, plugins })?.figures()
}

/// What `meta` adds to the default network alone. Manifold is judged as it is installed, with its bundled plugins.
fn added(all: &[Measured], meta: Meta, plugins: Plugins, of_figures: fn(&Figures) -> f64) -> Option<f64> {
    let own = if meta == Meta::Manifold { Plugins::Ours } else { plugins };
    Some(of_figures(&of(all, meta, own)?) - of_figures(&of(all, Meta::None, plugins)?))
}

fn judge(all: &[Measured]) -> Vec<Goal> {
    let ours = || all.iter().filter(|row| !row.subject.meta.is_peer());
    let lack: usize = ours().filter_map(Measured::figures).map(|figures| figures.failed).sum();
    let broken = ours().filter(|row| row.is_broken).count();
    let text = "pods without a network that they asked for, and rows that broke off, peers aside: none";
    let mut none_failed = Goal::at_most(text, Some((lack + broken) as f64), 0.0);
    none_failed.must = true;
    let mut goals = vec![none_failed];
    for (plugins, whose) in [(Plugins::Reference, "the reference's"), (Plugins::Ours, "our")] {
        for peer in [Meta::Thin, Meta::Thick] {
            let beside = format!("{} with {whose} plugins", peer.name());
            let both = |of: fn(&Figures) -> f64| {
                added(all, Meta::Manifold, plugins, of).zip(added(all, peer, plugins, of))
            };
            let less = |of: fn(&Figures) -> f64| both(of).map(|(ours, theirs)| ours - theirs);
            goals.push(Goal::at_most(
                format!("added p50 less than {beside}: ms beside it"),
                less(|f| f.p50),
                0.0,
            ));
            goals.push(Goal::at_most(
                format!("added p95 less than {beside}: ms beside it"),
                less(|f| f.p95),
                0.0,
            ));
            // A peer that adds nothing measurable has no fifth.
            let cpu = both(|f| f.cost.networks()).filter(|(_, theirs)| *theirs > 0.0);
            let share = cpu.map(|(ours, theirs)| ours / theirs);
            goals.push(Goal::at_most(format!("added CPU ≤ a fifth of {beside}: its share"), share, 0.2));
        }
    }
    goals
}

fn ms(time: &Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A value that was measured, of values in order.
fn percentile(values: &[f64], percent: usize) -> f64 {
    let rank = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(rank).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::super::goals::Verdict;
    use super::*;

    fn row(meta: Meta, plugins: Plugins, millis: u64, cpu: f64) -> Measured {
        let round = Round {
            times: (1..=4).map(|n| Duration::from_millis(millis * n)).collect(),
            took: Duration::from_secs(2),
            deleted: Duration::from_secs(1),
            failed: 0,
            cost: Cost { plugins: cpu, ..Cost::default() },
            memory: Memory::default(),
        };
        Measured { rounds: vec![round.clone(), round], ..Measured::new(Subject { meta, plugins }) }
    }

    #[test]
    fn percentiles_and_pace_are_of_all_rounds() {
        let figures = row(Meta::None, Plugins::Ours, 100, 1.0).figures().unwrap();
        assert_eq!((figures.p50, figures.p95, figures.pods_per_s), (200.0, 400.0, 2.0));
    }

    #[test]
    fn added_is_beside_the_default_network_alone_of_the_same_plugins() {
        let all = [
            row(Meta::None, Plugins::Reference, 100, 10.0),
            row(Meta::Manifold, Plugins::Ours, 110, 12.0),
            row(Meta::Thin, Plugins::Reference, 150, 30.0),
        ];
        let goals = judge(&all);
        let verdict = |begin: &str| &goals.iter().find(|goal| goal.text.starts_with(begin)).unwrap().verdict;
        assert_eq!(*verdict("added p50 less than Multus, thin with the"), Verdict::Met("-80.00".into()));
        assert_eq!(*verdict("added CPU ≤ a fifth of Multus, thin with the"), Verdict::Met("0.10".into()));
        assert_eq!(*verdict("added p50 less than Multus, thick with the"), Verdict::NotMeasured);
        assert_eq!(*verdict("added CPU ≤ a fifth of Multus, thin with our"), Verdict::NotMeasured);
    }

    #[test]
    fn a_row_that_breaks_off_has_the_figures_so_far_and_only_ours_must_not() {
        let broken = |meta| Measured { is_broken: true, ..row(meta, Plugins::Ours, 100, 1.0) };
        let never = Measured { is_broken: true, ..Measured::new(broken(Meta::Thin).subject) };
        assert!(never.figures().is_none() && broken(Meta::Thin).figures().is_some());
        let must = |row| judge(&[row]).into_iter().find(|goal| goal.must).unwrap().verdict;
        assert_eq!(must(broken(Meta::Thin)), Verdict::Met("0.00".into()));
        assert_eq!(must(broken(Meta::Manifold)), Verdict::Missed("1.00".into()));
    }
}
