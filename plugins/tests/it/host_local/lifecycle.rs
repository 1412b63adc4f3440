//! STATUS and GC, which the reference does not have (PLG-HL-14).

use serde_json::json;

use super::run;
use crate::ipam_bed::{Bed, add, call};

// Proves: PLG-HL-14, CNI-STA-1, CNI-STA-2
#[test]
fn status_is_50_exactly_when_a_set_has_no_address_left() {
    let bed = Bed::new();
    let config = bed.newest(json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.2.0.0/30"}]]}));
    let status = || run(&call("STATUS", ""), &config);
    let ready = status();
    assert!(ready.success && ready.stdout.is_null());
    assert!(!bed.folder().exists(), "STATUS made the folder");
    run(&add("a"), &config).ok();
    status().failed(50, "all 1 addresses of range set 1");
    // Leases of other ranges, or of the gateway, do not count.
    std::fs::remove_file(bed.lease("10.2.0.2")).unwrap();
    std::fs::write(bed.lease("10.2.0.1"), "x").unwrap();
    std::fs::write(bed.lease("10.3.0.1"), "x").unwrap();
    status().ok();
    // One that a crash left empty is free.
    std::fs::write(bed.lease("10.2.0.2"), "").unwrap();
    status().ok();
    run(&add("b"), &config).ok();
    status().failed(50, "range set 1");
}

// Proves: PLG-HL-14
#[test]
fn status_is_50_when_the_folder_cannot_be_a_folder_and_7_when_the_configuration_is_wrong() {
    let bed = Bed::new();
    std::fs::write(bed.folder(), "").unwrap();
    run(&call("STATUS", ""), &bed.newest(json!({"subnet": "10.1.0.0/24"}))).failed(50, "not a folder");
    run(&call("STATUS", ""), &bed.newest(json!({"subnet": "10.1.0.1/24"}))).failed(7, "/ipam/subnet");
    // Ranges that only come with an ADD cannot be judged.
    std::fs::remove_file(bed.folder()).unwrap();
    run(&call("STATUS", ""), &bed.newest(json!({}))).ok();
}

// Proves: PLG-HL-14, CNI-GC-1, CNI-GC-6, PLG-COM-19
#[test]
fn gc_frees_what_is_not_in_the_list_and_keeps_counters_and_lock() {
    let bed = Bed::new();
    let mut config = bed.newest(json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]}));
    for id in ["a", "b", "c"] {
        run(&add(id), &config).ok();
    }
    run(&add("a").ifname("net1"), &config).ok();
    std::fs::write(bed.lease("10.1.0.60"), "old").unwrap();
    std::fs::write(bed.lease("10.1.0.61"), "older").unwrap();
    std::fs::write(bed.lease("10.1.0.62"), "").unwrap();
    std::fs::write(bed.folder().join("notes"), "a\r\neth0").unwrap();
    // Another network of the same folder is not ours to clear.
    std::fs::create_dir(bed.data_dir().join("net2")).unwrap();
    std::fs::write(bed.data_dir().join("net2/10.1.0.2"), "x\r\neth0").unwrap();
    config["cni.dev/valid-attachments"] = json!([
        {"containerID": "a", "ifname": "eth0"}, {"containerID": "c", "ifname": "eth0"},
        {"containerID": "old", "ifname": "eth0"}, {"containerID": "unknown", "ifname": "eth0"}
    ]);
    for _ in 0..2 {
        let answer = run(&call("GC", ""), &config);
        assert!(answer.success && answer.stdout.is_null(), "{}", answer.stdout);
        let left: Vec<String> = bed.files().into_keys().collect();
        let expected = [
            "10.1.0.2",
            "10.1.0.4",
            "10.1.0.60",
            "fd00::2",
            "fd00::4",
            "last_reserved_ip.0",
            "last_reserved_ip.1",
            "lock",
            "notes",
        ];
        assert_eq!(left, expected);
    }
    assert!(bed.data_dir().join("net2/10.1.0.2").exists());
}

// Proves: CNI-GC-3
#[test]
fn gc_without_a_list_frees_nothing_and_with_an_empty_one_all() {
    let bed = Bed::new();
    let mut config = bed.newest(json!({"subnet": "10.1.0.0/24"}));
    run(&add("a"), &config).ok();
    run(&call("GC", ""), &config).ok();
    assert_eq!(bed.leases().len(), 1);
    config["cni.dev/valid-attachments"] = json!([]);
    run(&call("GC", ""), &config).ok();
    assert!(bed.leases().is_empty());
}

#[test]
fn status_and_gc_are_of_version_1_1_0() {
    let bed = Bed::new();
    let config = bed.config(json!({"subnet": "10.1.0.0/24"}));
    run(&call("STATUS", ""), &config).failed(1, "1.1.0");
    run(&call("GC", ""), &config).failed(1, "1.1.0");
}
