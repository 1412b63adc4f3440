//! A few short histories; `cargo xtask storm` plays hundreds of long ones.

use manifold_e2e::storm::histories;

use crate::{THREADS, manifold, rounds, seed};

const STEPS: u64 = 20;

// Shows part of: T-8
#[test]
fn after_each_step_of_a_random_history_the_node_is_as_the_model_says() {
    histories::play(&manifold(), seed(), THREADS, rounds(3), STEPS).must_be_clean(3);
}
