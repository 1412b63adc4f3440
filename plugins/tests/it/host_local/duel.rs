//! Ours and the reference at the same folder: each frees what the other leased, and at once they give nothing twice.

use std::collections::HashSet;
use std::sync::Barrier;

use serde_json::json;

use super::{reference, run};
use crate::ipam_bed::{Answer, Bed, Call, add, call, del};

// Proves: PLG-HL-7, PLG-HL-10, PLG-HL-11
#[test]
fn each_releases_and_checks_what_the_other_has_leased() {
    let bed = Bed::new();
    let mut config = bed.config(json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]}));
    assert_eq!(reference(&add("theirs"), &config).ips(), ["10.1.0.2/24", "fd00::2/64"]);
    assert_eq!(run(&add("mine"), &config).ips(), ["10.1.0.3/24", "fd00::3/64"]);
    assert_eq!(reference(&add("theirs2"), &config).ips(), ["10.1.0.4/24", "fd00::4/64"]);
    run(&add("theirs"), &config).failed(102, "already");
    assert!(!reference(&add("mine"), &config).success);
    config["prevResult"] = json!({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.2/24"}]});
    run(&call("CHECK", "theirs"), &config).ok();
    reference(&call("CHECK", "mine"), &config).ok();
    run(&del("theirs"), &config).ok();
    reference(&del("mine"), &config).ok();
    assert_eq!(bed.leases().into_keys().collect::<Vec<_>>(), ["10.1.0.4", "fd00::4"]);
    run(&del("theirs2"), &config).ok();
    assert!(bed.leases().is_empty());
    assert_eq!(run(&add("next"), &config).ips(), ["10.1.0.5/24", "fd00::5/64"]);
}

/// All callers at the same moment.
fn at_once(calls: &[Call], one: impl Fn(usize, &Call) -> Answer + Sync) -> Vec<Answer> {
    let start = Barrier::new(calls.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = calls
            .iter()
            .enumerate()
            .map(|(n, call)| {
                let (start, one) = (&start, &one);
                scope.spawn(move || {
                    start.wait();
                    one(n, call)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn ids(count: usize) -> Vec<Call> {
    (0..count).map(|n| add(&format!("c{n}"))).collect()
}

// Proves: CNI-RUN-7, PLG-HL-7
#[test]
fn fifty_adds_at_once_by_ours_and_the_reference_use_up_fifty_addresses_without_a_double() {
    let bed = Bed::new();
    let config =
        bed.config(json!({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.10", "rangeEnd": "10.1.0.59"}));
    let answers =
        at_once(&ids(50), |n, call| if n % 2 == 0 { run(call, &config) } else { reference(call, &config) });
    let given: HashSet<String> = answers.iter().flat_map(Answer::ips).collect();
    assert_eq!((given.len(), bed.leases().len()), (50, 50));
    run(&add("late"), &config).failed(11, "all 50 addresses");
    assert!(!reference(&add("late"), &config).success);
    let dels: Vec<Call> = (0..50).map(|n| del(&format!("c{n}"))).collect();
    let answers =
        at_once(&dels, |n, call| if n % 2 == 1 { run(call, &config) } else { reference(call, &config) });
    assert!(answers.iter().all(|a| a.success) && bed.leases().is_empty());
}

// Proves: CNI-RUN-7
#[test]
fn of_sixty_adds_at_once_for_fifty_addresses_exactly_fifty_succeed() {
    let bed = Bed::new();
    let config =
        bed.config(json!({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.10", "rangeEnd": "10.1.0.59"}));
    for _ in 0..10 {
        let answers = at_once(&ids(60), |_, call| run(call, &config));
        let (given, refused): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(|a| a.success);
        let unique: HashSet<String> = given.iter().flat_map(|a| a.ips()).collect();
        assert_eq!((unique.len(), refused.len()), (50, 10));
        refused.iter().for_each(|a| a.failed(11, "all 50 addresses"));
        let dels: Vec<Call> = (0..60).map(|n| del(&format!("c{n}"))).collect();
        assert!(at_once(&dels, |_, call| run(call, &config)).iter().all(|a| a.success));
        assert!(bed.leases().is_empty());
    }
}

/// Waits until somebody waits for the lock of this file.
fn somebody_waits(inode: u64) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let waits = |line: &str| line.contains("->") && line.contains(&format!(":{inode} "));
    while !std::fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {
        assert!(std::time::Instant::now() < deadline, "nobody waits for the lock");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

// Proves: PLG-HL-10, CNI-RUN-7
#[test]
fn a_del_that_waited_for_the_lock_spares_the_lease_that_took_the_addresss_place_meanwhile() {
    use std::os::unix::fs::MetadataExt;
    let bed = Bed::new();
    let config = bed.newest(json!({"ranges": [[{"subnet": "10.1.0.0/30"}]]}));
    for verb in ["DEL", "GC"] {
        assert_eq!(run(&add("old"), &config).ips(), ["10.1.0.2/30"]);
        let lock = std::fs::File::open(bed.folder().join("lock")).unwrap();
        lock.lock().unwrap();
        std::thread::scope(|scope| {
            let mut config = config.clone();
            config["cni.dev/valid-attachments"] = json!([{"containerID": "new", "ifname": "eth0"}]);
            let release =
                scope.spawn(move || run(&call(verb, if verb == "DEL" { "old" } else { "" }), &config));
            somebody_waits(lock.metadata().unwrap().ino());
            // Another DEL and an ADD came first, and the file system gave the new lease the old one's inode.
            std::fs::write(bed.lease("10.1.0.2"), "new\r\neth0").unwrap();
            lock.unlock().unwrap();
            release.join().unwrap().ok();
        });
        assert_eq!(bed.leases().get("10.1.0.2").map(String::as_str), Some("new\r\neth0"), "{verb}");
        run(&del("new"), &config).ok();
    }
}
