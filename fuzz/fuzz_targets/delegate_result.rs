#![no_main]

manifold_fuzz::target!("delegate_result");
