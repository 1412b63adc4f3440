//! All suites one after the other, each with its share of the time.

use std::path::Path;
use std::time::{Duration, Instant};

use super::figures::{Budget, Figures};
use super::{crowds, errnos, histories, kills};

/// A suite with the figures of its last run.
#[derive(Debug)]
pub struct Ran {
    pub suite: Suite,
    pub figures: Figures,
}

/// What is run, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    Kills,
    DoubleFaults,
    Errnos,
    Histories,
    Crowds,
    Reboots,
    ExactRange,
    Duel,
}

/// How many steps each history has.
pub const STEPS: u64 = 200;
/// How many pods start at once: what the kubelet lets a node have, and what some set it to.
const CROWDS: [usize; 2] = [110, 250];
const MOST_ROUNDS_OF_A_RANGE: u64 = 1000;
const MOST_REBOOTS: u64 = 10;
const MOST_DUELS: u64 = 1000;

impl Suite {
    pub const ALL: [Self; 8] = [
        Self::Crowds,
        Self::Kills,
        Self::DoubleFaults,
        Self::Errnos,
        Self::Histories,
        Self::Reboots,
        Self::ExactRange,
        Self::Duel,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Kills => "SIGKILL at a system call",
            Self::DoubleFaults => "two kills at random",
            Self::Errnos => "a system call that is refused",
            Self::Histories => "random histories against a model",
            Self::Crowds => "many pods at once",
            Self::Reboots => "a reboot of a full node",
            Self::ExactRange => "a range without an address to spare",
            Self::Duel => "four calls for one sandbox",
        }
    }

    /// Of a hundred parts of the time. What is left over by suites that end by themselves goes to those after them.
    fn share(self) -> u32 {
        match self {
            Self::Crowds => 8,
            Self::Kills => 22,
            Self::DoubleFaults => 30,
            Self::Errnos => 12,
            Self::Histories => 16,
            Self::Reboots | Self::ExactRange | Self::Duel => 4,
        }
    }

    fn run(self, executable: &Path, seed: u64, threads: u64, time: Duration) -> Figures {
        let open = Budget::new(time, u64::MAX);
        match self {
            Self::Kills => kills::sweep(executable, seed, threads, open),
            Self::DoubleFaults => kills::double_faults(executable, seed, threads, open),
            Self::Errnos => errnos::sweep(executable, seed, threads, open),
            Self::Histories => histories::play(executable, seed, threads, open, STEPS),
            Self::Crowds => {
                let mut all = Figures::default();
                CROWDS.iter().for_each(|pods| all.join(crowds::boot_storm(executable, *pods)));
                all
            }
            Self::Reboots => crowds::reboot(executable, CROWDS[0], Budget::new(time, MOST_REBOOTS)),
            Self::ExactRange => crowds::exact_range(executable, Budget::new(time, MOST_ROUNDS_OF_A_RANGE)),
            Self::Duel => crowds::duel(executable, Budget::new(time, MOST_DUELS)),
        }
    }
}

/// Runs the suites that are named, or all. `say` is told what begins and what came of it.
pub fn suites(
    executable: &Path,
    seed: u64,
    time: Duration,
    named: Option<&str>,
    say: &dyn Fn(Suite, Option<&Figures>),
) -> Vec<Ran> {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let end = Instant::now() + time;
    let chosen: Vec<Suite> = Suite::ALL
        .into_iter()
        .filter(|suite| named.is_none_or(|name| suite.title().contains(name)))
        .collect();
    let mut shares: u32 = chosen.iter().map(|suite| suite.share()).sum();
    let mut all = Vec::new();
    for suite in chosen {
        let left = end.saturating_duration_since(Instant::now());
        let own = left.mul_f64(f64::from(suite.share()) / f64::from(shares.max(1)));
        shares -= suite.share();
        say(suite, None);
        let figures = suite.run(executable, seed, threads, own);
        say(suite, Some(&figures));
        all.push(Ran { suite, figures });
    }
    all
}
