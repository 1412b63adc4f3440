#![no_main]

manifold_fuzz::target!("config_merge");
