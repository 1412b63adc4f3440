use super::*;
use crate::entry::Netns;
use crate::netns_id::NetnsId;
use crate::{Failures, sample};

#[track_caller]
fn check(change: impl Fn(&mut Entry), netns: Now, now: u64, expected: Verdict) {
    let mut entry = sample::complete(1);
    change(&mut entry);
    let boot = sample::entry(0).boot;
    assert_eq!(judge(&entry, &boot, netns, Uptime(now)), expected);
}

// Proves: F-RUN-7, F-NOD-2
#[test]
fn an_entry_is_undone_ten_minutes_after_its_namespace_was_seen_gone() {
    let gone = |t: u64| move |e: &mut Entry| e.netns_gone = Some(Uptime(t));
    check(|_| {}, Now::Same, 1000, Verdict::Leave);
    check(|_| {}, Now::Gone, 1000, Verdict::NoteGone);
    check(gone(1000), Now::Gone, 1599, Verdict::Leave);
    check(gone(1000), Now::Gone, 1600, Verdict::Undo);
    check(gone(1000), Now::Same, 1600, Verdict::NoteBack);
    check(gone(1000), Now::Unknown, 9999, Verdict::Leave);
}

// Proves: F-NOD-7
#[test]
fn the_wall_clock_at_add_decides_nothing() {
    for created in [0, u64::MAX] {
        check(|e| e.created = created, Now::Same, 1000, Verdict::Leave);
        check(|e| (e.created, e.netns_gone) = (created, Some(Uptime(1000))), Now::Gone, 1599, Verdict::Leave);
    }
}

// Proves: F-NOD-1
#[test]
fn what_the_boot_sweep_could_not_undo_is_tried_again() {
    check(|e| e.boot = BootId::new("another").unwrap(), Now::Unknown, 5, Verdict::Undo);
}

// Proves: F-PLG-7
#[test]
fn a_parked_entry_is_tried_again_each_hour() {
    let parked =
        |e: &mut Entry| e.failures = Some(Failures { count: 3, first: Uptime(0), last: Uptime(700) });
    check(parked, Now::Gone, 701, Verdict::Leave);
    check(parked, Now::Same, 4299, Verdict::Leave);
    check(parked, Now::Same, 4300, Verdict::Undo);
}

fn ledger_with_gone(n: usize) -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    for i in 0..n {
        let mut entry = sample::complete(1);
        entry.container = format!("c{i}").parse().unwrap();
        entry.netns = Some(Netns {
            path: "/nonexistent/netns".into(),
            id: Some(NetnsId { dev: 4, ino: 5, made: None }),
        });
        ledger.write(&entry).unwrap();
    }
    (dir, ledger)
}

const MOST: Duration = Duration::from_secs(30);

fn far() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

// Proves: F-RUN-7
#[test]
fn a_forgotten_sandbox_comes_up_for_undo_four_at_a_time() {
    let (_dir, ledger) = ledger_with_gone(6);
    let boot = sample::entry(0).boot;
    let first = ledger.idle_pass(&boot, Uptime(1000)).unwrap();
    assert!(first.candidates(far(), MOST).is_empty(), "first seen gone");
    drop(first);
    let later = ledger.idle_pass(&boot, Uptime(1600)).unwrap();
    let due = later.candidates(far(), MOST);
    assert_eq!(due.len(), AT_MOST);
    assert!(ledger.lock(&due[0], Instant::now()).is_ok(), "for whoever undoes it");
}

// Shows part of: F-RUN-13
#[test]
fn what_failed_comes_after_what_never_failed_and_longest_ago_first() {
    let (_dir, ledger) = ledger_with_gone(7);
    for (n, last) in [(0, 900), (1, 300), (2, 600), (3, 100), (4, 200)] {
        let mut opened = ledger.open_entry(&format!("c{n}").parse().unwrap()).unwrap().unwrap();
        opened.entry.failures = Some(Failures { count: 1, first: Uptime(last), last: Uptime(last) });
        opened.pen.mark(&opened.entry).unwrap();
    }
    let due = |now| {
        let pass = ledger.idle_pass(&BootId::new("another").unwrap(), Uptime(now)).unwrap();
        pass.candidates(far(), MOST).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(due(1000), ["c5", "c6", "c3", "c4"]);
}

#[test]
fn one_pass_a_minute_by_one_call_at_a_time() {
    let (_dir, ledger) = ledger_with_gone(0);
    let (boot, other) = (sample::entry(0).boot, BootId::new("other").unwrap());
    let pass = ledger.idle_pass(&boot, Uptime(1000));
    assert!(pass.is_some() && ledger.idle_pass(&boot, Uptime(1061)).is_none(), "one is at it");
    drop(pass);
    let undoes = ledger.hold_idle(far());
    assert!(
        undoes.is_some() && ledger.idle_pass(&boot, Uptime(1061)).is_none(),
        "what it found is being undone"
    );
    drop(undoes);
    assert!(ledger.idle_pass(&boot, Uptime(1059)).is_none(), "too soon");
    assert!(ledger.idle_pass(&boot, Uptime(1060)).is_some());
    assert!(ledger.idle_pass(&other, Uptime(5)).is_some(), "the note of another boot does not hold it up");
}

#[test]
fn a_sandbox_that_somebody_works_on_is_passed_over() {
    let (_dir, ledger) = ledger_with_gone(1);
    let boot = sample::entry(0).boot;
    drop(ledger.idle_pass(&boot, Uptime(1000)).map(|p| p.candidates(far(), MOST)));
    let _busy = ledger.lock(&"c0".parse().unwrap(), Instant::now()).unwrap();
    assert!(ledger.idle_pass(&boot, Uptime(1700)).unwrap().candidates(far(), MOST).is_empty());
}

// Proves: F-DSK-10
#[test]
fn where_no_gc_comes_the_idle_sweep_clears_what_killed_writers_left() {
    let (dir, ledger) = ledger_with_gone(0);
    let put = |name: &str, age| {
        let file = File::create(dir.path().join(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
    };
    let old = [".new-boot-1-0", ".manifold-unfinished-.versions"];
    let kept = [".new-boot-2-0", ".manifold-unfinished-x", ".idle"];
    old.iter().for_each(|name| put(name, 700));
    kept.iter().for_each(|name| put(name, 1));
    let pass = ledger.idle_pass(&sample::entry(0).boot, Uptime(1000)).unwrap();
    assert!(pass.candidates(Instant::now() + Duration::from_secs(60), Duration::from_secs(60)).is_empty());
    assert!(old.iter().all(|name| !dir.path().join(name).exists()));
    assert!(kept.iter().all(|name| dir.path().join(name).exists()));
    // GC and the boot sweep are alone with the ledger's own, and not with the node agent's.
    ledger.remove_unfinished_writes();
    assert!(!dir.path().join(kept[0]).exists() && dir.path().join(kept[1]).exists());
}
