#![no_main]

manifold_fuzz::target!("prev_result");
