//! Many calls at the same time; the large ones are in `cargo xtask storm`.

use manifold_e2e::storm::crowds;

use crate::{manifold, rounds};

// Shows part of: T-9
#[test]
fn pods_that_start_and_end_at_once_leave_nothing_and_share_no_address() {
    crowds::boot_storm(&manifold(), 32).must_be_clean(64);
}

// Shows part of: T-9
#[test]
fn a_range_gives_each_of_its_addresses_once_however_many_ask_at_once() {
    crowds::exact_range(&manifold(), rounds(8)).must_be_clean(8);
}

// Shows part of: T-9
#[test]
fn four_calls_that_want_one_sandbox_end_in_all_or_nothing() {
    crowds::duel(&manifold(), rounds(25)).must_be_clean(25);
}

// Shows part of: T-11
#[test]
fn a_reboot_of_a_node_with_pods_gives_every_address_back_before_the_first_answer() {
    crowds::reboot(&manifold(), 16, rounds(2)).must_be_clean(2);
}
