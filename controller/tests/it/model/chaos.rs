//! What happens to the replicas meanwhile.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use manifold_e2e::controller::Controllers;

use super::LEASE_SECONDS;
use super::random::Random;

/// Until the other end of the channel is dropped. All replicas run again at the end.
pub(super) fn reign(bed: &Controllers<'_>, random: &mut Random, over: &Receiver<()>) -> anyhow::Result<u64> {
    let mut strokes = 0;
    while pause(over, 100 + random.below(1500)) {
        strike(bed, random, over)?;
        strokes += 1;
    }
    bed.replicas().iter().try_for_each(|replica| replica.start())?;
    Ok(strokes)
}

fn strike(bed: &Controllers<'_>, random: &mut Random, over: &Receiver<()>) -> anyhow::Result<()> {
    let leader = bed.leader()?;
    let any = bed.replica(usize::try_from(random.below(bed.replicas().len() as u64))?);
    let victim = leader.unwrap_or(any);
    match random.below(8) {
        0..=2 => {
            victim.kill();
            pause(over, random.below(1000));
            victim.start()
        }
        3 => {
            any.kill();
            any.start()
        }
        4..=5 => {
            // Gives its Lease back.
            victim.stop()?;
            victim.start()
        }
        6 => {
            bed.replicas().iter().for_each(|replica| replica.kill());
            pause(over, random.below(1000));
            bed.replicas().iter().try_for_each(|replica| replica.start())
        }
        _ => {
            // Sleeps through its Lease and wakes in the middle of what it was about to write.
            victim.sleep()?;
            pause(over, LEASE_SECONDS * 1000 + 1500);
            victim.wake()
        }
    }
}

/// False when it is over.
fn pause(over: &Receiver<()>, milliseconds: u64) -> bool {
    over.recv_timeout(Duration::from_millis(milliseconds)) == Err(RecvTimeoutError::Timeout)
}
