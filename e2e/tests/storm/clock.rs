//! Somebody sets the clock: by an hour, and by a year. Nothing that a node keeps goes by it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use manifold_e2e::storm::bed::{Bed, How};
use manifold_e2e::storm::networks::Topology;
use manifold_e2e::storm::tracer::Fault;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};

use crate::manifold;

const HOUR_SECONDS: i64 = 3600;
const YEAR_SECONDS: i64 = 365 * 24 * HOUR_SECONDS;
/// After this long the idle sweep may undo what has no namespace.
const LATER_SECONDS: u64 = 4000;

fn set_back_or_forth(seconds: i64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let then = i64::try_from(now.as_secs()).unwrap() + seconds;
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from(Duration::from_secs(u64::try_from(then).unwrap())))
        .unwrap();
}

// Shows part of: T-13
// Proves: F-NOD-7
#[test]
#[ignore = "sets the machine's clock: run it in the guest kernel"]
fn a_clock_that_jumps_changes_no_answer_and_keeps_nothing_from_being_cleaned_up() {
    let work = || {
        let mut bed = Bed::on_this_thread(&manifold(), Topology::Plain).unwrap();
        let sandbox = bed.sandbox().unwrap();
        bed.warm(&sandbox).unwrap();
        let rest = bed.glance(&[&sandbox]).unwrap();
        for jump in [HOUR_SECONDS, -HOUR_SECONDS, -YEAR_SECONDS, YEAR_SECONDS] {
            let pod = bed.pod(&sandbox.netns);
            let added = bed.call("ADD", &pod, None, How::PLAIN).unwrap().outcome;
            let result = added.must_succeed();
            set_back_or_forth(jump);
            bed.call("CHECK", &pod, Some(result), How::PLAIN).unwrap().outcome.must_succeed();
            // Alive, for the list of the runtime has it.
            let later = How { fault: Fault::None, later: LATER_SECONDS };
            bed.gc(&[&pod], later).unwrap().outcome.must_succeed();
            bed.call("DEL", &pod, None, How::PLAIN).unwrap().outcome.must_succeed();
            assert_eq!(
                bed.differs(&[&sandbox], &rest).unwrap(),
                Vec::<String>::new(),
                "after a jump of {jump} s"
            );
        }
    };
    // A bed does not share its thread.
    std::thread::scope(|scope| scope.spawn(work).join().unwrap());
}
