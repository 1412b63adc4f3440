#![no_main]

manifold_fuzz::target!("pod_plan");
