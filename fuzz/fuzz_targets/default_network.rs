#![no_main]

manifold_fuzz::target!("default_network");
