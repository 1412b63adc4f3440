#![no_main]

manifold_fuzz::target!("annotation_json");
