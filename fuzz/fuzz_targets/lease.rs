#![no_main]

manifold_fuzz::target!("lease");
