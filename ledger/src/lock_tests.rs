use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::{Entry, sample};

fn soon(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

fn fresh() -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    (dir, ledger)
}

fn id() -> ContainerId {
    sample::entry(0).container
}

fn lock_file(dir: &tempfile::TempDir) -> bool {
    dir.path().join(".locks").join(id().as_str()).exists()
}

#[test]
fn the_lock_of_a_sandbox_without_entry_leaves_no_file() {
    let (dir, ledger) = fresh();
    let lock = ledger.lock(&id(), soon(2000)).unwrap();
    assert!(lock_file(&dir));
    drop(lock);
    assert!(!lock_file(&dir));
}

#[test]
fn the_lock_file_lives_as_long_as_the_entry() {
    let (dir, ledger) = fresh();
    let lock = ledger.lock(&id(), soon(2000)).unwrap();
    ledger.write(&sample::entry(1)).unwrap();
    drop(lock);
    assert!(lock_file(&dir));
    let lock = ledger.lock(&id(), soon(2000)).unwrap();
    ledger.remove(&id()).unwrap();
    drop(lock);
    assert!(!lock_file(&dir));
}

/// A disk for so many files, which only the thread of the test sees.
fn on_a_disk_of(files: u32, test: impl FnOnce(&Path) + Send + 'static) {
    let work = move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let options = format!("nr_inodes={files},mode=700");
        mount(Some("none"), dir.path(), Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
        test(dir.path());
        umount(dir.path()).unwrap();
    };
    std::thread::spawn(work).join().unwrap();
}

// Proves: F-DSK-13
#[test]
fn on_a_disk_that_takes_no_new_file_the_entry_is_locked_in_the_place_of_its_lock() {
    on_a_disk_of(4, |disk| {
        let ledger = Ledger::open(disk).unwrap();
        drop(ledger.write(&sample::entry(1)).unwrap());
        ledger.locks().unwrap();
        let is_the_entry = |lock: &SandboxLock| {
            let entry = std::fs::metadata(disk.join(id().as_str())).unwrap();
            lock.file.metadata().unwrap().ino() == entry.ino()
        };
        // The root, the entry, the folder of locks, and this.
        File::create(disk.join(".filler")).unwrap();
        let lock = ledger.lock(&id(), soon(2000)).unwrap();
        assert!(is_the_entry(&lock), "no inode");
        assert!(ledger.lock(&id(), Instant::now()).is_err(), "and it excludes others");
        drop(lock);
        std::fs::remove_file(disk.join(".filler")).unwrap();
        let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(None::<&str>, disk, None::<&str>, read_only, None::<&str>).unwrap();
        assert!(is_the_entry(&ledger.lock(&id(), soon(2000)).unwrap()), "read-only");
    });
}

// Proves: F-DSK-13
#[test]
fn after_any_other_error_nobody_locks_the_entry_as_somebody_may_hold_the_lock_itself() {
    let (dir, ledger) = fresh();
    ledger.write(&sample::entry(1)).unwrap();
    let folder = ledger.locks().unwrap();
    std::fs::remove_dir(dir.path().join(".locks")).unwrap();
    let error = ledger.lock_file(&folder, &id()).unwrap_err().to_string();
    assert!(error.contains("create the lock"), "{error}");
}

// Proves: F-RUN-1
#[test]
fn a_sandbox_in_a_call_is_passed_over_and_a_lock_that_cannot_be_used_is_an_error() {
    const MOST: Duration = Duration::from_secs(30);
    let (dir, ledger) = fresh();
    let held = ledger.lock(&id(), soon(2000)).unwrap();
    assert!(ledger.lock_unless_in_call(&id(), false, MOST).unwrap().is_none(), "this process is the call");
    drop(held);
    assert!(ledger.lock_unless_in_call(&id(), false, MOST).unwrap().is_some());
    // The sandbox is not cleared, and no call is clearing it: that must not look like success.
    std::fs::create_dir(dir.path().join(".locks").join(id().as_str())).unwrap();
    let refused = ledger.lock_unless_in_call(&id(), false, MOST);
    assert!(matches!(refused, Err(LockError::Disk(_))), "{refused:?}");
}

#[test]
fn a_held_lock_is_told_after_the_wait_as_try_again() {
    let (_dir, ledger) = fresh();
    let _held = ledger.lock(&id(), soon(2000)).unwrap();
    let error = ledger.lock(&id(), soon(30)).unwrap_err();
    assert!(matches!(error, LockError::Busy { .. }));
    assert_eq!(manifold_cni::CniError::from(error).code, manifold_cni::code::TRY_AGAIN);
    assert!(ledger.lock(&"another".parse().unwrap(), soon(2000)).is_ok());
}

// Proves: F-RUN-3
#[test]
fn a_waiting_del_cancels_the_add_and_the_mark_stays_when_the_del_gives_up() {
    let (_dir, ledger) = fresh();
    let add = ledger.lock(&id(), soon(2000)).unwrap();
    assert!(!add.is_cancelled());
    assert!(ledger.lock(&id(), soon(10)).is_err());
    assert!(!add.is_cancelled(), "a second ADD cancels nothing");
    assert!(ledger.lock_and_cancel(&id(), soon(10)).is_err());
    assert!(add.is_cancelled());
    drop(add);
    let next = ledger.lock(&id(), soon(2000)).unwrap();
    assert!(!next.is_cancelled(), "the mark was for the one before");
}

// Proves: F-RUN-3
#[test]
fn a_mark_for_a_killed_add_does_not_cancel_the_next() {
    let (dir, ledger) = fresh();
    ledger.write(&sample::entry(1)).unwrap();
    drop(ledger.lock(&id(), soon(2000)).unwrap());
    let path = dir.path().join(".locks").join(id().as_str());
    fchmod(File::open(&path).unwrap(), PLAIN | CANCEL).unwrap();
    assert!(!ledger.lock(&id(), soon(2000)).unwrap().is_cancelled());
}

#[test]
fn a_lock_file_removed_while_one_waits_is_not_taken_for_the_lock() {
    let (_dir, ledger) = fresh();
    let first = ledger.lock(&id(), soon(2000)).unwrap();
    let other = ledger.clone();
    let waiter = std::thread::spawn(move || other.lock(&id(), soon(60_000)).unwrap());
    std::thread::sleep(Duration::from_millis(50));
    drop(first);
    let second = waiter.join().unwrap();
    assert!(ledger.lock(&id(), soon(0)).is_err(), "the second holds the file that is there");
    drop(second);
}

#[test]
fn idle_lock_files_go_and_held_ones_stay() {
    let (dir, ledger) = fresh();
    drop(ledger.locks().unwrap().create_new("left-by-a-killed-shim").unwrap());
    let held = ledger.lock(&id(), soon(2000)).unwrap();
    ledger.remove_idle_locks();
    assert!(lock_file(&dir) && !dir.path().join(".locks/left-by-a-killed-shim").exists());
    drop(held);
}

/// ADD as the shim does it, as far as the ledger sees it. True: answered with success.
fn add(ledger: &Ledger, inside: &AtomicU32) -> bool {
    let lock = ledger.lock(&id(), soon(60_000)).unwrap();
    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once in one sandbox");
    let kept = add_locked(ledger, &lock);
    inside.fetch_sub(1, Ordering::SeqCst);
    kept
}

fn add_locked(ledger: &Ledger, lock: &SandboxLock) -> bool {
    if ledger.read(&id()).unwrap().is_some() {
        return false;
    }
    let mut entry: Entry = sample::entry(3);
    let mut pen = ledger.write(&entry).unwrap();
    for n in 0..3 {
        if lock.is_cancelled() {
            ledger.remove(&id()).unwrap();
            return false;
        }
        entry.attachments[n] = sample::complete(3).attachments[n].clone();
        pen.save(&entry).unwrap();
    }
    if lock.is_cancelled() {
        ledger.remove(&id()).unwrap();
        return false;
    }
    true
}

fn del(ledger: &Ledger, inside: &AtomicU32) {
    let lock = ledger.lock_and_cancel(&id(), soon(60_000)).unwrap();
    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once in one sandbox");
    if ledger.read(&id()).unwrap().is_some() {
        ledger.remove(&id()).unwrap();
    }
    inside.fetch_sub(1, Ordering::SeqCst);
    drop(lock);
}

// Proves: F-RUN-3
#[test]
fn two_adds_and_two_dels_of_one_sandbox_meet_a_thousand_times_without_a_trace() {
    // In memory: a thousand fsyncs prove nothing here.
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let inside = AtomicU32::new(0);
    for round in 0..1000 {
        std::thread::scope(|s| {
            for n in 0..4 {
                let (ledger, inside) = (&ledger, &inside);
                s.spawn(move || match (n + round) % 2 {
                    0 => drop(add(ledger, inside)),
                    _ => del(ledger, inside),
                });
            }
        });
        // An ADD that came after both DELs may have succeeded: the runtime's next DEL is for it.
        del(&ledger, &inside);
        assert!(ledger.read(&id()).unwrap().is_none());
        assert!(!lock_file(&dir), "round {round}");
    }
}

// Shows part of: F-RUN-5
#[test]
fn gc_removes_what_killed_writers_left_only_while_nobody_writes() {
    let (_dir, ledger) = fresh();
    let first = ledger.share_node(soon(2000)).unwrap();
    assert!(ledger.share_node(soon(2000)).is_ok(), "ADDs hold each other up by nothing");
    assert!(ledger.own_node().unwrap().is_none());
    drop(first);
    assert!(ledger.own_node().unwrap().is_some());
}
