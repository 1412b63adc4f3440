#![no_main]

manifold_fuzz::target!("network_status");
