//! Processes that die in the middle: what they leave is found and freed.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::run;
use crate::ipam_bed::{Bed, add, attachment, call, del, input};

// Proves: PLG-HL-14
#[test]
fn a_lease_cut_to_nothing_is_free_for_add_and_swept_by_del_and_gc() {
    let bed = Bed::new();
    let mut config = bed.newest(json!({"ranges": [[{"subnet": "10.1.0.0/30"}]]}));
    for rest in ["", " \n", "\0\0\0\0"] {
        std::fs::create_dir_all(bed.folder()).unwrap();
        std::fs::write(bed.lease("10.1.0.2"), rest).unwrap();
        assert_eq!(run(&add("a"), &config).ips(), ["10.1.0.2/30"]);
        assert_eq!(bed.leases()["10.1.0.2"], "a\r\neth0");
        run(&del("a"), &config).ok();
        std::fs::write(bed.lease("10.1.0.2"), rest).unwrap();
        run(&del("nobody"), &config).ok();
        assert!(bed.leases().is_empty(), "DEL left an empty lease");
        std::fs::write(bed.lease("10.1.0.2"), rest).unwrap();
        config["cni.dev/valid-attachments"] = json!([]);
        run(&call("GC", ""), &config).ok();
        assert!(bed.leases().is_empty(), "GC left an empty lease");
    }
}

// Proves: PLG-HL-8
#[test]
fn a_counter_cut_or_garbled_begins_anew() {
    let bed = Bed::new();
    let config = bed.config(json!({"subnet": "10.1.0.0/24"}));
    for (n, rest) in ["", "10.1.", "\0\0", "192.168.7.7", "10.1.0.255", "fd00::5"].into_iter().enumerate() {
        run(&add(&format!("first{n}")), &config).ok();
        std::fs::write(bed.folder().join("last_reserved_ip.0"), rest).unwrap();
        let expected = format!("10.1.0.{}/24", 2 * n + 3);
        assert_eq!(run(&add(&format!("second{n}")), &config).ips(), [expected], "{rest:?}");
    }
}

#[test]
fn a_lease_with_any_content_is_somebody_elses() {
    let bed = Bed::new();
    let config = bed.config(json!({"subnet": "10.1.0.0/24"}));
    std::fs::create_dir_all(bed.folder()).unwrap();
    std::fs::write(bed.lease("10.1.0.2"), vec![0xff; 100_000]).unwrap();
    std::fs::write(bed.lease("10.1.0.3"), "null").unwrap();
    assert_eq!(run(&add("a"), &config).ips(), ["10.1.0.4/24"]);
    run(&del("a"), &config).ok();
    assert_eq!(std::fs::read_dir(bed.folder()).unwrap().count(), 4);
}

const CHILD: &str = "HOST_LOCAL_CRASH_CHILD";

/// Not a claim of its own: what the test below runs in a process to kill. Without its variable it does nothing.
#[test]
fn child_that_adds_and_dels_until_it_is_killed() {
    let Ok(config) = std::env::var(CHILD) else { return };
    let config: Value = serde_json::from_str(&config).unwrap();
    loop {
        run(&add("victim"), &config);
        run(&del("victim"), &config);
    }
}

// Proves: CNI-DEL-1
#[test]
fn killed_anywhere_in_add_or_del_a_later_del_leaves_no_lease_and_the_lock_free() {
    let bed = Bed::new();
    let config = bed.config(json!({"ranges": [[{"subnet": "10.1.0.0/29"}], [{"subnet": "fd00::/125"}]]}));
    run(&add("bystander"), &config).ok();
    for round in 0..40u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "host_local::crash::child_that_adds_and_dels_until_it_is_killed"])
            .env(CHILD, config.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // It is at work once the counter moves.
        let counter = || std::fs::read(bed.folder().join("last_reserved_ip.0")).unwrap_or_default();
        let (before, began) = (counter(), Instant::now());
        while counter() == before {
            assert!(began.elapsed() < Duration::from_secs(90), "the child does not work");
            std::thread::sleep(Duration::from_micros(100));
        }
        std::thread::sleep(Duration::from_micros(137 * round % 1900));
        child.kill().unwrap();
        child.wait().unwrap();
        run(&del("victim"), &config).ok();
        assert_eq!(bed.leases().len(), 2, "round {round}: {:?}", bed.leases());
    }
}

#[test]
fn a_lock_that_is_never_freed_ends_the_call_at_its_deadline() {
    use manifold_cni::{Input, Plugin};
    let bed = Bed::new();
    let config = bed.config(json!({"subnet": "10.1.0.0/24"}));
    run(&add("a"), &config).ok();
    let lock = std::fs::File::open(bed.folder().join("lock")).unwrap();
    lock.lock().unwrap();
    let began = Instant::now();
    let input = Input { deadline: began + Duration::from_millis(100), ..input(&config) };
    let error = manifold_plugins::ipam::HostLocal.add(&input, &attachment("b")).unwrap_err();
    assert_eq!(error.code, 11, "{error}");
    assert!(began.elapsed() >= Duration::from_millis(100) && began.elapsed() < Duration::from_secs(60));
    assert_eq!(bed.leases().len(), 1);
}
