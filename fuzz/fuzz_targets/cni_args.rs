#![no_main]

manifold_fuzz::target!("cni_args");
