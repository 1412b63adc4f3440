//! The ledger on disks that are full, without inodes or read-only: small file systems in a mount namespace that
//! each test makes for itself.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use manifold_cni::{CniError, code};
use manifold_ledger::gate::Gate;
use manifold_ledger::spool::{Outcome, Spool};
use manifold_ledger::{Failures, Ledger, LedgerError, Stage, State, Uptime};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::child;
use crate::sample::{entry, id, result};

/// Runs `test` on a thread with a tmpfs of its own, which nobody else sees.
fn on_tmpfs(options: &'static str, test: impl FnOnce(&Path) + Send + 'static) {
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNS).expect("this test needs root");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let dir = tempfile::tempdir().unwrap();
        mount(Some("tmpfs"), dir.path(), Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
        test(dir.path());
        nix::mount::umount2(dir.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
    };
    std::thread::spawn(run).join().unwrap();
}

fn read_only(path: &Path, yes: bool) {
    let flags = if yes { MsFlags::MS_RDONLY } else { MsFlags::empty() };
    mount(None::<&str>, path, None::<&str>, MsFlags::MS_REMOUNT | flags, None::<&str>).unwrap();
}

/// Takes all the space that is left.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut junk = fs::File::create(path.join("credentials")).unwrap();
    while junk.write_all(&[0; 1024]).is_ok() {}
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[track_caller]
fn try_again(error: LedgerError) {
    let answer = CniError::from(error);
    assert_eq!(answer.code, code::TRY_AGAIN, "{answer}");
    assert!(answer.details.contains("fix: "), "{answer}");
}

fn leaves_nothing(ledger: &Ledger, root: &Path) {
    assert!(ledger.read(&id()).unwrap().is_none());
    let left: Vec<_> = fs::read_dir(root).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert!(left.iter().all(|n| !n.to_string_lossy().starts_with(".new-")), "{left:?}");
}

// Proves: F-DSK-1
#[test]
fn a_full_disk_before_the_first_delegate_is_code_11_and_leaves_nothing() {
    on_tmpfs("size=64k,mode=0700", |root| {
        let ledger = Ledger::open(root).unwrap();
        fill(root);
        try_again(ledger.write(&entry(3)).unwrap_err());
        leaves_nothing(&ledger, root);
    });
}

// Proves: F-DSK-1
#[test]
fn a_disk_without_inodes_before_the_first_delegate_is_code_11_and_leaves_nothing() {
    on_tmpfs("size=64k,mode=0700,nr_inodes=3", |root| {
        let ledger = Ledger::open(root).unwrap();
        (0..9).for_each(|n| drop(fs::File::create(root.join(format!("f{n}")))));
        try_again(ledger.write(&entry(1)).unwrap_err());
        leaves_nothing(&ledger, root);
    });
}

// Proves: F-DSK-1
#[test]
fn a_read_only_disk_before_the_first_delegate_is_code_11() {
    on_tmpfs("size=64k,mode=0700", |root| {
        let ledger = Ledger::open(root).unwrap();
        read_only(root, true);
        try_again(ledger.write(&entry(1)).unwrap_err());
        assert!(Ledger::open(&root.join("state")).is_err());
        leaves_nothing(&ledger, root);
    });
}

// Proves: F-DSK-1
#[test]
fn no_descriptor_before_the_first_delegate_is_code_11_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = child::start("disk::write_without_descriptors", dir.path().to_str().unwrap());
    assert_eq!(child.hear().as_deref(), Some("11"));
    leaves_nothing(&Ledger::open(dir.path()).unwrap(), dir.path());
}

#[test]
#[ignore = "runs as a child of another test"]
fn write_without_descriptors() {
    let ledger = Ledger::open(Path::new(&child::argument())).unwrap();
    let mut all = Vec::new();
    while let Ok(file) = fs::File::open("/dev/null") {
        all.push(file);
    }
    let answer = CniError::from(ledger.write(&entry(1)).unwrap_err());
    drop(all);
    child::say(&answer.code.to_string());
}

// Proves: F-DSK-7
#[test]
fn without_descriptors_an_entry_is_neither_damaged_nor_missing() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.write(&entry(1)).unwrap();
    let said = |role| child::start(role, dir.path().to_str().unwrap()).hear();
    assert_eq!(said("disk::read_without_descriptors").as_deref(), Some("11 true None"));
    assert_eq!(ledger.read(&id()).unwrap().unwrap(), entry(1));
    // One that was set aside is not forgotten either.
    fs::write(dir.path().join(id().as_str()), "null").unwrap();
    assert!(ledger.read(&id()).is_err());
    assert_eq!(said("disk::read_without_descriptors").as_deref(), Some("11 true None"));
    assert_eq!((ledger.read(&id()).is_err(), ledger.damaged().len()), (true, 1));
}

#[test]
#[ignore = "runs as a child of another test"]
fn read_without_descriptors() {
    let ledger = Ledger::open(Path::new(&child::argument())).unwrap();
    let mut all = Vec::new();
    while let Ok(file) = fs::File::open("/dev/null") {
        all.push(file);
    }
    let error = ledger.open_entry(&id()).unwrap_err();
    drop(all);
    let (passes, aside) = (error.fault.may_pass(), error.aside.clone());
    child::say(&format!("{} {passes} {aside:?}", CniError::from(error).code));
}

// Proves: F-DSK-2
#[test]
fn a_disk_that_fills_up_in_add_fails_the_later_write_and_hinders_neither_undo_nor_del() {
    on_tmpfs("size=64k,mode=0700", |root| {
        let ledger = Ledger::open(root).unwrap();
        let lock = ledger.lock(&id(), soon()).unwrap();
        let mut entry = entry(2);
        let mut pen = ledger.write(&entry).unwrap();
        fill(root);
        entry.attachments[0].state = State::Attached;
        entry.attachments[0].result = result(8000);
        try_again(pen.save(&entry).unwrap_err());
        // The undo, and the DEL of another process after it.
        entry.stage = Stage::Deleting;
        pen.mark(&entry).unwrap();
        drop(lock);
        let _lock = ledger.lock_and_cancel(&id(), soon()).unwrap();
        let mut opened = ledger.open_entry(&id()).unwrap().unwrap();
        assert_eq!((opened.entry.stage, &opened.flaws[..]), (Stage::Deleting, &[][..]));
        opened.entry.failures = Some(Failures::after(None, Uptime(5)));
        opened.entry.attachments[1].state = State::Detached;
        opened.pen.mark(&opened.entry).unwrap();
        assert_eq!(ledger.read(&id()).unwrap().unwrap(), opened.entry, "also that it failed is noted");
        ledger.remove(&id()).unwrap();
        assert!(ledger.read(&id()).unwrap().is_none());
    });
}

// Proves: F-DSK-2
#[test]
fn del_on_a_read_only_disk_can_lock_and_read_and_fails_only_at_the_end() {
    for with_lock_file in [true, false] {
        on_tmpfs("size=64k,mode=0700", move |root| {
            let ledger = Ledger::open(root).unwrap();
            let held = ledger.lock(&id(), soon()).unwrap();
            ledger.write(&entry(2)).unwrap();
            drop(held);
            if !with_lock_file {
                fs::remove_file(root.join(".locks").join(id().as_str())).unwrap();
            }
            read_only(root, true);
            let lock = ledger.lock_and_cancel(&id(), soon()).unwrap();
            assert!(ledger.lock(&id(), Instant::now()).is_err(), "it is a real lock");
            let mut opened = ledger.open_entry(&id()).unwrap().unwrap();
            assert!(opened.pen.mark(&opened.entry).is_err());
            assert!(ledger.remove(&id()).is_err());
            drop(lock);
            read_only(root, false);
            let again = ledger.read(&id()).unwrap().unwrap();
            assert_eq!(again.owing().count(), 2, "a later DEL does it all again");
        });
    }
}

#[test]
fn a_damaged_entry_on_a_full_disk_is_set_aside_and_counted_without_space() {
    on_tmpfs("size=64k,mode=0700", |root| {
        let ledger = Ledger::open(root).unwrap();
        fs::write(root.join(id().as_str()), "null").unwrap();
        assert!(ledger.read(&id()).is_err());
        fill(root);
        for count in 1..4 {
            assert_eq!(u64::from(ledger.note_damaged_failure(&id(), Uptime(count)).unwrap().count), count);
        }
    });
}

// Proves: F-DSK-2
#[test]
fn neither_gate_nor_spool_stand_in_the_way_of_a_del_on_a_full_disk() {
    on_tmpfs("size=64k,mode=0700,nr_inodes=12", |root| {
        fill(root);
        (0..99).for_each(|n| drop(fs::File::create(root.join(format!("f{n}")))));
        assert!(Gate::Del.enter(root, &["shop/storage"], soon(), &|| Ok(())).is_ok());
        assert!(Spool::new(root).append(&Outcome::default()).is_err());
        (0..99).for_each(|n| drop(fs::remove_file(root.join(format!("f{n}")))));
        fs::remove_file(root.join("credentials")).unwrap();
        let spool = Spool::new(root);
        spool.append(&Outcome::default()).unwrap();
        let batch = spool.take().unwrap().unwrap();
        assert_eq!((batch.outcomes.len(), batch.damaged), (1, 0));
    });
}
