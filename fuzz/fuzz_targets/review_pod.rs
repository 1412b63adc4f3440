#![no_main]

manifold_fuzz::target!("review_pod");
