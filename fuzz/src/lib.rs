//! One libFuzzer target for each reader of `manifold-hostile`. `cargo xtask fuzz` builds and runs them; `cargo fuzz` can too.

use std::sync::LazyLock;

use manifold_hostile::Bounds;
pub use manifold_hostile::Reader;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Reads one input; a panic is a finding.
pub fn check(reader: &LazyLock<Reader>, input: &[u8]) {
    reader.check(input, &Bounds::INSTRUMENTED);
}

/// The target of the reader of this name.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        static READER: std::sync::LazyLock<$crate::Reader> =
            std::sync::LazyLock::new(|| $crate::Reader::named($name).expect("the target is named after a reader"));

        libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::check(&READER, input));
    };
}
