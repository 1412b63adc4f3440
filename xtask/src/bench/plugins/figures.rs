//! Percentiles of many calls.

use std::time::Duration;

use super::call::Spent;

/// Of one side of one row.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) add: Calls,
    pub(super) del: Calls,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    wall: Vec<Duration>,
    cpu: Vec<Duration>,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Percentiles {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
}

impl Figures {
    pub(super) fn push(&mut self, [add, del]: [Spent; 2]) {
        self.add.push(add);
        self.del.push(del);
    }
}

impl Calls {
    fn push(&mut self, spent: Spent) {
        self.wall.push(spent.wall);
        self.cpu.push(spent.cpu);
    }

    pub(super) fn wall(&self) -> Percentiles {
        percentiles(&self.wall)
    }

    pub(super) fn cpu(&self) -> Percentiles {
        percentiles(&self.cpu)
    }
}

/// The smallest of the values that at least so many of a hundred do not exceed.
fn percentiles(values: &[Duration]) -> Percentiles {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let at = |share: usize| {
        let rank = (sorted.len() * share).div_ceil(100).max(1);
        sorted.get(rank - 1).map_or(f64::NAN, |value| value.as_secs_f64() * 1e3)
    };
    Percentiles { p50: at(50), p95: at(95), p99: at(99) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<Duration> = (1..=40).rev().map(Duration::from_millis).collect();
        assert_eq!(percentiles(&values), Percentiles { p50: 20.0, p95: 38.0, p99: 40.0 });
        let one = percentiles(&[Duration::from_millis(3)]);
        assert_eq!(one, Percentiles { p50: 3.0, p95: 3.0, p99: 3.0 });
    }
}
