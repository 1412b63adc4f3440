//! What must hold of hostile input, for everything that Manifold reads from others.
//!
//! A [`Reader`] gives bytes to one parser of the product, asserts what must hold of the outcome, and says what it was: an
//! [`Answer`]. What must hold is more than the absence of a panic: what was read, printed and read again is the same; a
//! refusal is one line, without control characters, of bounded length; no input costs more than [`Bounds`] allow.
//!
//! | who runs the readers | on what |
//! | --- | --- |
//! | `fuzz/`, by libFuzzer: `cargo xtask fuzz` | inputs that it makes up, beginning with the seeds |
//! | `tests/smoke`, in every test run | the seeds of `seeds/`, and some thousand mutations of them |
//! | `tests/corpus`, in every test run | the files of `corpus/`, each with the answer that is stored for it |
//!
//! The ending of a corpus file, and the folder of a seed, is the name of the reader that it is for.

#![warn(missing_docs)]

mod answer;
mod bounds;
pub mod files;
pub mod mutate;
pub mod readers;
mod sentence;

pub use answer::Answer;
pub use bounds::{Bounds, Cost};

/// One parser of the product, with what must hold of it.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// The name of its fuzz target, its folder of seeds and the ending of its files.
    pub name: &'static str,
    /// Reads an input. Panics where something that must hold does not.
    pub read: fn(&[u8]) -> Answer,
}

impl Reader {
    /// The reader of that name.
    pub fn named(name: &str) -> Option<Self> {
        readers::ALL.into_iter().find(|reader| reader.name == name)
    }

    /// Reads an input and asserts everything that must hold of any answer.
    pub fn check(&self, input: &[u8], bounds: &Bounds) -> Answer {
        let (answer, cost) = bounds::measure(|| (self.read)(input));
        cost.assert_within(bounds);
        sentence::assert_readable(&answer);
        answer
    }
}
