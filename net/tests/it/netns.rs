use std::fs;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use manifold_net::{BridgeSpec, Net, Netns, NetnsError};

use crate::bed::names;

#[track_caller]
fn is_not_a_netns(path: impl AsRef<std::path::Path>) {
    match Netns::open(&path) {
        Err(NetnsError::NotANetns { path: told }) => assert_eq!(told, path.as_ref()),
        other => panic!("{other:?}"),
    }
}

// Proves: PLG-COM-3
#[test]
fn a_path_to_nothing_is_told_from_a_path_to_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    assert!(Netns::open(folder.path().join("absent")).unwrap_err().is_not_found());
    assert!(Netns::open(plain.join("below-a-file")).unwrap_err().is_not_found());
    assert!(Netns::open("/proc/4194305/ns/net").unwrap_err().is_not_found());
    is_not_a_netns(&plain);
    is_not_a_netns(folder.path());
    is_not_a_netns("/dev/null");
}

// Proves: PLG-COM-3
#[test]
fn namespaces_of_other_kinds_and_other_files_of_proc_are_no_network_namespaces() {
    for path in ["/proc/self/ns/mnt", "/proc/self/ns/uts", "/proc/self/status", "/proc/self"] {
        is_not_a_netns(path);
    }
    assert!(Netns::open("/proc/self/ns/net").is_ok());
}

#[test]
fn a_named_pipe_does_not_hold_the_caller() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let started = Instant::now();
    is_not_a_netns(&pipe);
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn identity_is_the_namespaces_and_not_the_paths() {
    let current = Netns::current().unwrap();
    assert_eq!(current.identity(), Netns::open("/proc/self/ns/net").unwrap().identity());
    assert!(current.is_current().unwrap());
    let other = Netns::create().unwrap();
    assert_ne!(current.identity(), other.identity());
    assert!(!other.is_current().unwrap());
    assert!(other.run(|| other.is_current().unwrap()).unwrap());
}

// Proves: PLG-COM-4
#[test]
fn work_in_namespaces_at_the_same_time_stays_in_its_own() {
    const WORKERS: usize = 8;
    let before = Netns::current().unwrap().identity();
    let inside_together = Barrier::new(WORKERS);
    std::thread::scope(|scope| {
        for number in 0..WORKERS {
            let inside_together = &inside_together;
            scope.spawn(move || {
                let netns = Netns::create().unwrap();
                for round in 0..5 {
                    let name = format!("br{number}x{round}");
                    netns
                        .run(|| {
                            inside_together.wait();
                            let spec = BridgeSpec { name: &name, ..BridgeSpec::default() };
                            Net::here().unwrap().add_bridge(&spec).unwrap();
                        })
                        .unwrap();
                    // The thread that asked was never inside.
                    assert_eq!(Netns::current().unwrap().identity(), before);
                }
                let expected: Vec<_> = (0..5).map(|round| format!("br{number}x{round}")).collect();
                assert_eq!(names(&Net::inside(&netns).unwrap()), expected);
            });
        }
    });
    assert_eq!(Netns::current().unwrap().identity(), before);
}

// Proves: PLG-COM-4
#[test]
fn a_panic_inside_reaches_the_caller_and_leaves_it_where_it_was() {
    let before = Netns::current().unwrap().identity();
    let netns = Netns::create().unwrap();
    let panic = std::panic::catch_unwind(|| netns.run(|| panic!("inside"))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"inside"));
    assert_eq!(Netns::current().unwrap().identity(), before);
}

// Proves: PLG-COM-4
#[test]
fn a_socket_stays_in_its_namespace_and_the_thread_does_not() {
    let netns = Netns::create().unwrap();
    let before = Netns::current().unwrap().identity();
    let inside = Net::inside(&netns).unwrap();
    assert_eq!(Netns::current().unwrap().identity(), before);
    inside.add_bridge(&BridgeSpec { name: "br0", ..BridgeSpec::default() }).unwrap();
    assert!(inside.link("br0").unwrap().is_some());
    assert_eq!(inside.netns().identity(), netns.identity());
    assert_eq!(netns.run(|| names(&Net::here().unwrap())).unwrap(), ["br0"]);
}

#[test]
fn no_descriptor_of_a_namespace_reaches_a_child() {
    use std::os::fd::{AsFd, AsRawFd};
    let netns = Netns::create().unwrap();
    let path = format!("/proc/self/fd/{}", netns.as_fd().as_raw_fd());
    let seen =
        std::process::Command::new("/bin/sh").args(["-c", &format!("readlink {path} || true")]).output();
    assert!(!String::from_utf8_lossy(&seen.unwrap().stdout).contains(&format!("[{}]", netns.identity().ino)));
}
