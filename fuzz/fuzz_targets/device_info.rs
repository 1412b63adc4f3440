#![no_main]

manifold_fuzz::target!("device_info");
