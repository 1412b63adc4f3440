#![no_main]

manifold_fuzz::target!("outcome_line");
