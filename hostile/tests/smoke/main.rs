//! Every reader on its seeds, on the files of the corpus that are for it, and on mutations of both. One test alone in its
//! executable: what is measured of memory would be that of all tests that run at once.

use manifold_hostile::mutate::Mutator;
use manifold_hostile::{Bounds, files, readers};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Of each reader. `MANIFOLD_MUTATIONS` and `MANIFOLD_MUTATION_SEED` ask for more and for others.
const MUTATIONS: u64 = 2_000;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

// Proves: S-8
#[test]
fn no_reader_panics_or_takes_too_much_on_seeds_and_their_mutations() {
    let seed = number("MANIFOLD_MUTATION_SEED", 13);
    println!("MANIFOLD_MUTATION_SEED={seed}");
    assert!(ALLOCATOR.current_usage() > 0, "memory is not counted");
    for reader in readers::ALL {
        let seeds = files::inputs(reader.name).unwrap();
        assert!(seeds.len() >= 3, "{} has {} seeds", reader.name, seeds.len());
        let accepted =
            seeds.iter().filter(|seed| reader.check(seed, &Bounds::UNOPTIMISED).is_accepted()).count();
        assert!(accepted >= 1, "{} accepts none of its seeds", reader.name);
        let mut mutator = Mutator::new(seed);
        for _ in 0..number("MANIFOLD_MUTATIONS", MUTATIONS) {
            let input = mutator.mutate(&seeds);
            let run = std::panic::AssertUnwindSafe(|| reader.check(&input, &Bounds::UNOPTIMISED));
            if let Err(panic) = std::panic::catch_unwind(run) {
                println!("{} on {:?}", reader.name, String::from_utf8_lossy(&input));
                std::panic::resume_unwind(panic);
            }
        }
    }
}
