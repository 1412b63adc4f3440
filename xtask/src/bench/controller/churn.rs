//! Pods that come and go at a steady pace, so that every change of a definition's count can be told from the next.
//!
//! In the first half the definitions of even namespaces only gain pods and those of odd ones only lose some, in the
//! second half it is the other way round: a count that a status tells then stands for one moment and no other.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use manifold_e2e::load::Fleet;

use super::lag::Lags;
use crate::progress::Detail;

/// Numbers of pods that come in the course of it begin here.
const FIRST_NEW: usize = 1_000_000;

pub(super) struct Churn<'a> {
    fleet: Fleet<'a>,
    /// How many were made at the steps so far.
    base: usize,
    /// Pods that can go, oldest first, by the parity of their namespace.
    old: [std::collections::VecDeque<usize>; 2],
    next: usize,
}

impl<'a> Churn<'a> {
    pub(super) fn new(fleet: Fleet<'a>) -> Self {
        Self { fleet, base: 0, old: Default::default(), next: FIRST_NEW }
    }

    pub(super) fn base(&self) -> usize {
        self.base
    }

    /// Pods up to this number were made.
    pub(super) fn grow(&mut self, pods: usize, lags: &mut Lags) {
        for number in self.base..pods {
            lags.there(&self.fleet.asked_by(number));
            self.keep(number);
        }
        self.base = pods;
    }

    fn keep(&mut self, number: usize) {
        let parity = self.fleet.home_number(number) % 2;
        if let Some(old) = self.old.get_mut(parity) {
            old.push_back(number);
        }
    }

    pub(super) fn run(
        &mut self,
        pace: u32,
        time: Duration,
        lags: &mut Lags,
        detail: &Detail,
    ) -> anyhow::Result<()> {
        let mut session = self.fleet.api.client().session();
        let begin = Instant::now();
        let all = u32::try_from(time.as_secs()).context("too long")? * pace;
        for turn in 0..all {
            let due = begin + Duration::from_secs(1) * turn / pace;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let gaining = usize::from(turn * 2 >= all);
            let new = self.new_pod(gaining);
            self.fleet.make_pod(&mut session, new)?;
            lags.changed(&self.fleet.asked_by(new), 1);
            self.keep(new);
            let old = self.old.get_mut(1 - gaining).and_then(|old| old.pop_front());
            let old = old.context("there are too few pods to replace")?;
            self.fleet.delete_pod(&mut session, old)?;
            lags.changed(&self.fleet.asked_by(old), -1);
            if turn % pace == 0 {
                let behind = Instant::now().saturating_duration_since(due);
                detail.say(&format!("{turn} of {all}, {} ms late", behind.as_millis()));
            }
        }
        Ok(())
    }

    /// The next number whose namespace is of this parity.
    fn new_pod(&mut self, parity: usize) -> usize {
        while self.fleet.home_number(self.next) % 2 != parity {
            self.next += 1;
        }
        self.next += 1;
        self.next - 1
    }
}
