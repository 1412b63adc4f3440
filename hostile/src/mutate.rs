//! Changed copies of seeds: for runs without libFuzzer, where nothing tells which change found new code.
//!
//! A seed repeats: the same number gives the same changes.

/// Chance that a seed repeats: splitmix64.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// With a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`; 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or_default()
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}

/// Texts that parsers care about; also libFuzzer's dictionary, of which each line is `"text"`.
const DICTIONARY: &str = include_str!("../dictionary");

/// The words of the dictionary, with its escapes read.
pub fn dictionary() -> Vec<Vec<u8>> {
    let quoted = |line: &str| Some(line.strip_prefix('"')?.strip_suffix('"')?.to_owned());
    DICTIONARY.lines().filter_map(quoted).map(|word| unescaped(word.as_bytes())).collect()
}

fn unescaped(word: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), word);
    while let Some((first, after)) = rest.split_first() {
        match (first, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let hex = [*high, *low];
                let text = std::str::from_utf8(&hex).unwrap_or_default();
                out.push(u8::from_str_radix(text, 16).unwrap_or_default());
                rest = after;
            }
            (b'\\', [escaped, after @ ..]) => {
                out.push(*escaped);
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// Makes changed copies of seeds.
#[derive(Clone, Debug)]
pub struct Mutator {
    rng: Rng,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    /// With a seed.
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), words: dictionary() }
    }

    /// A copy of one of the seeds with one to six changes.
    pub fn mutate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut out = self.rng.pick(seeds).cloned().unwrap_or_default();
        for _ in 0..=self.rng.below(6) {
            self.change(&mut out, seeds);
        }
        out
    }

    fn change(&mut self, out: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.rng.below(out.len() + 1);
        let length = self.rng.below(out.len().saturating_sub(at).min(32) + 1);
        let range = at..at + length;
        match self.rng.below(8) {
            0 => out.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << self.rng.below(8)),
            1 => drop(out.drain(range)),
            2 => out.insert(at, u8::try_from(self.rng.below(256)).unwrap_or_default()),
            3 => {
                let copy = out.get(range).unwrap_or_default().repeat(1 + self.rng.below(4));
                out.splice(at..at, copy);
            }
            4 => drop(out.splice(at..at, self.rng.pick(&self.words).cloned().unwrap_or_default())),
            5 => drop(out.splice(range, self.rng.pick(&self.words).cloned().unwrap_or_default())),
            6 => {
                let other = self.rng.pick(seeds).cloned().unwrap_or_default();
                let from = self.rng.below(other.len() + 1);
                let piece = other.into_iter().skip(from).take(self.rng.below(64));
                out.splice(range, piece);
            }
            _ => out.truncate(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_changes() {
        let seeds = [b"left,right@net1".to_vec(), b"{}".to_vec()];
        let changed = |seed| {
            let mut mutator = Mutator::new(seed);
            (0..50).map(|_| mutator.mutate(&seeds)).collect::<Vec<_>>()
        };
        assert_eq!(changed(7), changed(7));
        assert_ne!(changed(7), changed(8));
        assert!(changed(7).iter().any(|out| !seeds.contains(out)));
    }

    #[test]
    fn escapes_of_the_dictionary_are_read() {
        assert_eq!(unescaped(br#"a\x00\"\\"#), b"a\0\"\\");
        let words = dictionary();
        assert!(words.contains(&b"\"cniVersion\"".to_vec()) && words.contains(&vec![0xef, 0xbb, 0xbf]));
        assert!(words.iter().all(|word| !word.is_empty()));
    }
}
