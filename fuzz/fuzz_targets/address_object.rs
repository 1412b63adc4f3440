#![no_main]

manifold_fuzz::target!("address_object");
