//! How many system calls a verb makes in a topology, counted once in a process, and which of them come next.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Topology and verb.
pub(super) type Key = (&'static str, &'static str);

static COUNTED: Mutex<BTreeMap<Key, u64>> = Mutex::new(BTreeMap::new());

pub(super) fn known(key: &Key) -> Option<u64> {
    COUNTED.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
}

pub(super) fn learn(key: Key, calls: u64) {
    COUNTED.lock().unwrap_or_else(PoisonError::into_inner).insert(key, calls);
}

static TURNS: Mutex<BTreeMap<Key, u64>> = Mutex::new(BTreeMap::new());

/// A number below `end`: each comes once before any comes again, and any few of them are spread over all.
pub(super) fn next(key: Key, end: u64, seed: u64) -> u64 {
    let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    let turn = turns.entry(key).or_default();
    *turn += 1;
    (seed % end.max(1) + *turn * stride(end)) % end.max(1)
}

/// Close to the golden section, and without a common divisor.
fn stride(end: u64) -> u64 {
    let golden = end * 618 / 1000;
    (golden.max(1)..).find(|stride| greatest_common_divisor(*stride, end) == 1).unwrap_or(1)
}

fn greatest_common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_number_comes_once_before_any_comes_again() {
        for end in [1, 2, 7, 100, 618, 1000] {
            let all: BTreeSet<u64> = (0..end).map(|_| next(("topology", "verb"), end, 5)).collect();
            assert_eq!(all.len() as u64, end);
        }
    }
}
