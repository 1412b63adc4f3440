//! Who may work on a network: ADD and DEL share it while its plugins run, GC of it has it alone (F-RUN-5).
//!
//! Each network has a lock of its own, so what hangs in one holds up nobody in another. ADD passes a turnstile before, in
//! which GC stands while it waits: otherwise a stream of ADDs would keep it out for ever. DEL does not pass it, and GC gives way
//! after a moment: a runtime repeats GC, and nobody waits for it.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use manifold_cni::NetworkName;

use super::byte_lock::{first_byte, lock_until, unlock};
use super::flock::How;
use super::lock::fixed_file;
use super::{Ledger, LedgerError, LockError};

/// Not a container id: it begins with a dot.
const FILE: &str = ".networks";
/// The bytes of a network: its lock, and its turnstile.
const ROOM: u32 = 2;

/// The right to work on one network, until it is dropped.
#[derive(Debug)]
pub struct NetworkLock(#[expect(dead_code, reason = "held, not read")] File);

impl Ledger {
    /// How long GC stands in the turnstile.
    pub const GC_GIVES_WAY_AFTER: Duration = Duration::from_secs(2);

    /// For ADD.
    pub fn share_network(&self, network: &NetworkName, deadline: Instant) -> Result<NetworkLock, LockError> {
        self.lock_network(network, How::Shared, true, deadline)
    }

    /// For DEL, which waits only for a GC that runs.
    pub fn share_network_for_del(
        &self,
        network: &NetworkName,
        deadline: Instant,
    ) -> Result<NetworkLock, LockError> {
        self.lock_network(network, How::Shared, false, deadline)
    }

    /// For GC.
    pub fn own_network(&self, network: &NetworkName) -> Result<NetworkLock, LockError> {
        self.lock_network(network, How::Exclusive, true, Instant::now() + Self::GC_GIVES_WAY_AFTER)
    }

    fn lock_network(
        &self,
        network: &NetworkName,
        how: How,
        by_turn: bool,
        deadline: Instant,
    ) -> Result<NetworkLock, LockError> {
        let begun = Instant::now();
        let folder = self.locks()?;
        let fail = |e: io::Error| -> LedgerError { folder.error("lock", FILE, e) };
        let file = fixed_file(&folder, FILE)?;
        let lock = first_byte(network.as_str(), ROOM);
        let turn = lock + 1;
        let has_turn = !by_turn || lock_until(&file, turn, how, deadline).map_err(fail)?;
        if !has_turn || !lock_until(&file, lock, how, deadline).map_err(fail)? {
            let what = format!("network `{network}`");
            return Err(LockError::Busy { what, seconds: begun.elapsed().as_secs() });
        }
        if by_turn {
            unlock(&file, turn).map_err(fail)?;
        }
        Ok(NetworkLock(file))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn soon(ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(ms)
    }

    fn fresh() -> (tempfile::TempDir, Ledger, NetworkName) {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        (dir, ledger, "storage".parse().unwrap())
    }

    // Proves: F-RUN-5
    #[test]
    fn gc_of_a_network_waits_for_those_that_run_in_it_and_holds_new_ones() {
        let (_dir, ledger, storage) = fresh();
        let running = ledger.share_network(&storage, soon(2000)).unwrap();
        let second = ledger.share_network(&storage, soon(2000)).unwrap();
        std::thread::scope(|scope| {
            let gc = scope.spawn(|| {
                // As a runtime repeats it.
                let until = soon(60_000);
                loop {
                    match ledger.own_network(&storage) {
                        Ok(alone) => return alone,
                        Err(e) => assert!(Instant::now() < until, "{e}"),
                    }
                }
            });
            // From when it stands there; before that an ADD may pass.
            let until = soon(60_000);
            while ledger.share_network(&storage, soon(20)).is_ok() {
                assert!(Instant::now() < until, "a new ADD is held while GC waits");
            }
            assert!(ledger.share_network_for_del(&storage, soon(20)).is_ok(), "DEL is not");
            drop((running, second));
            let alone = gc.join().unwrap();
            assert!(ledger.share_network(&storage, soon(20)).is_err(), "ADD is held while GC runs");
            assert!(ledger.share_network_for_del(&storage, soon(20)).is_err(), "and so is DEL");
            drop(alone);
        });
        assert!(ledger.share_network(&storage, soon(2000)).is_ok());
    }

    // Proves: F-RUN-5
    #[test]
    fn gc_gets_its_turn_in_an_endless_stream_of_adds() {
        let (_dir, ledger, storage) = fresh();
        let stop = AtomicBool::new(false);
        let adds = || {
            while !stop.load(Ordering::SeqCst) {
                let _shared = ledger.share_network(&storage, soon(60_000)).unwrap();
                std::thread::sleep(Duration::from_millis(3));
            }
        };
        std::thread::scope(|scope| {
            (0..4).for_each(|_| drop(scope.spawn(adds)));
            let until = soon(60_000);
            let got = (0..)
                .map(|_| ledger.own_network(&storage))
                .find(|got| got.is_ok() || Instant::now() >= until);
            stop.store(true, Ordering::SeqCst);
            assert!(got.is_some_and(|got| got.is_ok()));
        });
    }

    // Shows part of: F-RUN-8
    #[test]
    fn what_hangs_in_one_network_holds_up_nobody_in_another_and_gc_gives_way() {
        let (_dir, ledger, storage) = fresh();
        let other: NetworkName = "wire".parse().unwrap();
        let _hangs = ledger.share_network(&storage, soon(2000)).unwrap();
        let refused = ledger.own_network(&storage).unwrap_err().to_string();
        assert!(refused.contains("network `storage`"), "{refused}");
        let alone = ledger.own_network(&other).unwrap();
        assert!(ledger.share_network(&storage, soon(2000)).is_ok(), "the turnstile is free again");
        drop(alone);
    }
}
