use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::*;

fn outcome(n: usize) -> Outcome {
    Outcome {
        time: 1_790_000_000,
        verb: "ADD".into(),
        container: format!("c{n}"),
        namespace: Some("shop".into()),
        pod: Some("cart-7".into()),
        uid: None,
        outcome: "success".into(),
        code: 0,
        duration_ms: 12,
        message: String::new(),
        networks: vec![NetworkOutcome {
            network: "shop/net-1".into(),
            ifname: "net1".into(),
            ..Default::default()
        }],
    }
}

fn fresh() -> (tempfile::TempDir, Spool) {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::new(dir.path());
    (dir, spool)
}

/// All that a reader gets until nothing is left: container ids and the count of what was dropped.
fn drain(spool: &Spool) -> (Vec<String>, u64, u64) {
    let (mut seen, mut dropped, mut damaged) = (Vec::new(), 0, 0);
    while let Some(batch) = spool.take().unwrap() {
        seen.extend(batch.outcomes.iter().map(|o| o.container.clone()));
        dropped += batch.dropped;
        damaged += batch.damaged;
        batch.done().unwrap();
    }
    (seen, dropped, damaged)
}

#[test]
fn outcomes_come_out_in_the_order_they_went_in() {
    let (_dir, spool) = fresh();
    assert!(spool.take().unwrap().is_none());
    for n in 0..5 {
        spool.append(&outcome(n)).unwrap();
    }
    let batch = spool.take().unwrap().unwrap();
    assert_eq!(batch.outcomes, (0..5).map(outcome).collect::<Vec<_>>());
    batch.done().unwrap();
    assert!(spool.take().unwrap().is_none());
}

#[test]
fn a_reader_that_died_gets_the_same_batch_again() {
    let (_dir, spool) = fresh();
    spool.append(&outcome(0)).unwrap();
    drop(spool.take().unwrap().unwrap());
    spool.append(&outcome(1)).unwrap();
    assert_eq!(drain(&spool).0, ["c0", "c1"]);
}

#[test]
fn the_spool_is_bounded_and_counts_what_it_drops() {
    let (dir, spool) = fresh();
    let spool = spool.with_file_bytes(2000);
    for n in 0..200 {
        spool.append(&outcome(n)).unwrap();
        let files = std::fs::read_dir(dir.path().join(".spool")).unwrap();
        let bytes: u64 = files.map(|f| f.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes <= 4000, "{bytes}");
    }
    let (seen, dropped, _) = drain(&spool);
    assert_eq!(seen.len() as u64 + dropped, 200);
    assert!(dropped > 100 && seen.last().unwrap() == "c199");
    assert_eq!(seen, (200 - seen.len()..200).map(|n| format!("c{n}")).collect::<Vec<_>>());
}

#[test]
fn a_line_that_a_killed_writer_left_unfinished_spoils_only_itself() {
    let (dir, spool) = fresh();
    spool.append(&outcome(0)).unwrap();
    let path = dir.path().join(".spool/outcomes");
    std::fs::File::options().append(true).open(path).unwrap().write_all(b"{\"time\":17").unwrap();
    spool.append(&outcome(1)).unwrap();
    assert_eq!(drain(&spool), (vec!["c0".to_owned(), "c1".to_owned()], 0, 1));
}

#[test]
fn no_line_is_lost_between_writers_and_a_reader() {
    let (_dir, spool) = fresh();
    let mut seen = std::thread::scope(|s| {
        let writers: Vec<_> = (0..4)
            .map(|w| {
                let spool = spool.clone();
                s.spawn(move || (0..250).for_each(|n| spool.append(&outcome(w * 1000 + n)).unwrap()))
            })
            .collect();
        let mut seen = Vec::new();
        while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            seen.extend(drain(&spool).0);
        }
        seen.extend(drain(&spool).0);
        seen
    });
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 1000);
}

// Proves: S-3
#[test]
fn only_root_can_read_the_outcomes() {
    let (dir, spool) = fresh();
    spool.append(&outcome(0)).unwrap();
    let mode = |p: &str| std::fs::metadata(dir.path().join(p)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(".spool"), mode(".spool/outcomes")), (0o700, 0o600));
}

#[test]
fn a_line_is_never_longer_than_the_reader_takes() {
    let (_dir, spool) = fresh();
    let mut big = outcome(0);
    big.message = "é".repeat(100_000);
    big.networks = (0..2000).map(|_| big.networks[0].clone()).collect();
    big.networks.iter_mut().for_each(|n| n.message = "\u{1}".repeat(5000));
    spool.append(&big).unwrap();
    assert_eq!(drain(&spool), (vec!["c0".to_owned()], 0, 0));
}

// Proves: F-DSK-9
#[test]
fn names_of_a_hundred_kilobytes_that_a_runtime_passes_are_cut_and_the_line_is_read() {
    let (_dir, spool) = fresh();
    let mut big = outcome(0);
    let name = Some("\u{1}".repeat(100_000));
    (big.namespace, big.pod, big.uid) = (name.clone(), name.clone(), name);
    spool.append(&big).unwrap();
    assert_eq!(drain(&spool), (vec!["c0".to_owned()], 0, 0));
}

proptest! {
    // Proves: S-8
    #[test]
    fn no_line_makes_the_reader_panic(line in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&line);
    }

    #[test]
    fn every_outcome_comes_back(message in "\\PC{0,200}", code in any::<u32>(), verb in "ADD|DEL") {
        let one = Outcome { message, code, verb, ..outcome(1) };
        let line = serde_json::to_vec(&one).unwrap();
        prop_assert_eq!(parse(&line), Some(Line::Outcome(Box::new(one))));
    }
}
