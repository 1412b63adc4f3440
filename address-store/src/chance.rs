//! Chance, so that nodes which claim at once do not all try the same block.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use manifold_addresses::claim::Chance;

/// From the system's seed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemChance;

pub(crate) fn random() -> u128 {
    let word = || u128::from(RandomState::new().build_hasher().finish());
    (word() << 64) | word()
}

impl Chance for SystemChance {
    fn below(&mut self, end: u128) -> u128 {
        random() % end.max(1)
    }
}
