//! Real network namespaces at one path, one after the other.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::path::Path;

use manifold_ledger::netns_id::{NetnsId, Now};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// Mounts a new namespace at `path`, as a runtime does for a pod.
fn new_netns_at(path: &Path) {
    std::fs::write(path, "").unwrap();
    unshare(CloneFlags::CLONE_NEWNET).expect("this test needs root");
    let none = None::<&str>;
    mount(Some("/proc/thread-self/ns/net"), path, none, MsFlags::MS_BIND, none).unwrap();
}

fn remove(path: &Path) {
    umount2(path, MntFlags::MNT_DETACH).unwrap();
    std::fs::remove_file(path).unwrap();
}

// Proves: F-POD-8
#[test]
fn another_namespace_at_the_path_of_the_first_is_told_from_it() {
    let run = || {
        unshare(CloneFlags::CLONE_NEWNS).expect("this test needs root");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cni-1");
        new_netns_at(&path);
        let first = NetnsId::of(&path).unwrap();
        assert_eq!(first.check(&path), Now::Same);
        for _ in 0..50 {
            remove(&path);
            assert_eq!(first.check(&path), Now::Gone);
            new_netns_at(&path);
            assert_eq!(first.check(&path), Now::Gone);
            assert_eq!(NetnsId::of(&path).unwrap().check(&path), Now::Same);
        }
        remove(&path);
    };
    std::thread::spawn(run).join().unwrap();
}
