//! Disks that are full or read-only. Each test runs itself again in a mount namespace of its own.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::run;
use crate::ipam_bed::{add, call, del};

const INSIDE: &str = "HOST_LOCAL_DISK";

/// Runs `test` (its path in this executable) again, with a small tmpfs of its own on the folder that it is told.
fn on_a_small_disk(test: &str) {
    let dir = tempfile::tempdir().unwrap();
    let script =
        "mount -t tmpfs -o size=64k none \"$HOST_LOCAL_DISK\" && exec \"$0\" --exact \"$1\" --nocapture";
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .args([std::env::current_exe().unwrap(), test.into()])
        .env(INSIDE, dir.path())
        .output()
        .expect("the tool `unshare` of util-linux is needed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

fn inside() -> Option<PathBuf> {
    std::env::var_os(INSIDE).map(PathBuf::from)
}

fn config(disk: &PathBuf) -> Value {
    json!({"cniVersion": "1.1.0", "name": "net", "type": "bridge",
        "ipam": {"type": "host-local", "dataDir": disk, "subnet": "10.1.0.0/24"}})
}

// Proves: PLG-HL-14, F-DSK-2, F-DSK-8
#[test]
fn a_full_disk_is_not_ready_and_add_leaves_nothing_while_del_works() {
    let Some(disk) = inside() else {
        return on_a_small_disk(
            "host_local::disk::a_full_disk_is_not_ready_and_add_leaves_nothing_while_del_works",
        );
    };
    let config = config(&disk);
    run(&add("a"), &config).ok();
    run(&call("STATUS", ""), &config).ok();
    // Write until nothing more fits.
    let _ = std::fs::write(disk.join("filler"), vec![0; 1 << 20]);
    run(&call("STATUS", ""), &config).failed(50, "the disk is full");
    run(&add("b"), &config).failed(11, "No space left");
    let leases = || std::fs::read_dir(disk.join("net")).unwrap().count();
    assert_eq!(leases(), 3, "one lease, its counter, the lock");
    run(&del("a"), &config).ok();
    assert_eq!(leases(), 2);
}

// Proves: PLG-HL-14, F-DSK-2, F-DSK-8
#[test]
fn a_read_only_disk_is_not_ready_and_del_tells_what_it_could_not_remove() {
    let Some(disk) = inside() else {
        return on_a_small_disk(
            "host_local::disk::a_read_only_disk_is_not_ready_and_del_tells_what_it_could_not_remove",
        );
    };
    let config = config(&disk);
    run(&add("a"), &config).ok();
    let remount = |how: &str| {
        let done = Command::new("mount").args(["-o", how]).arg(&disk).status().unwrap();
        assert!(done.success());
    };
    remount("remount,ro");
    run(&call("STATUS", ""), &config).failed(50, "mount it writable");
    run(&add("b"), &config).failed(11, "Read-only file system");
    run(&del("a"), &config).failed(11, "`10.1.0.2`: Read-only file system");
    run(&del("unknown"), &config).ok();
    remount("remount,rw");
    run(&del("a"), &config).ok();
    run(&call("STATUS", ""), &config).ok();
}
