//! Chance that a seed repeats: splitmix64.

/// A stream of numbers that the seed decides.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// A stream of its own for the n-th part of a run, so that parts can be repeated alone.
    #[must_use]
    pub fn part(&self, number: u64) -> Self {
        Self::new(self.0 ^ number.wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end.max(1)
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(usize::try_from(self.below(all.len() as u64)).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_what_it_gave_and_its_parts_differ() {
        let first = |mut chance: Chance| (chance.draw(), chance.draw());
        assert_eq!(first(Chance::new(7)), first(Chance::new(7)));
        assert_ne!(first(Chance::new(7)), first(Chance::new(8)));
        assert_ne!(first(Chance::new(7).part(1)), first(Chance::new(7).part(2)));
        let mut chance = Chance::new(1);
        assert!((0..1000).all(|_| chance.below(3) < 3) && chance.below(0) == 0);
        assert!(chance.pick::<u8>(&[]).is_none());
    }
}
