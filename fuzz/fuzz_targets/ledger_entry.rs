#![no_main]

manifold_fuzz::target!("ledger_entry");
