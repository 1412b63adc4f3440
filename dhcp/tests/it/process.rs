//! The daemon's flags, socket activation and end.

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use manifold_e2e::netns::TestNetns;
use serde_json::json;

use crate::bed::{Bed, manifold, wait_until};
use crate::fake_server::{FakeServer, terms};

// Proves: PLG-DHCP-4
#[test]
fn socket_and_pid_file_come_with_the_daemon_and_go_when_it_ends() {
    let mut bed = Bed::without_daemon();
    let pid_file = bed.path("dhcp.pid");
    bed.start_daemon(&["-pidfile", pid_file.to_str().unwrap()]);
    wait_until("the pid file is written", || {
        std::fs::read_to_string(&pid_file).is_ok_and(|pid| pid == bed.daemon_pid().to_string())
    });
    assert!(bed.end_daemon().success());
    assert!(!pid_file.exists() && !bed.socket().exists());
    // One that was killed leaves its socket, and the next one takes its place; a second one does not.
    bed.start_daemon(&[]);
    bed.kill_daemon();
    assert!(bed.socket().exists());
    bed.start_daemon(&[]);
    let second =
        Command::new(manifold()).args(["dhcp", "daemon", "-socketpath"]).arg(bed.socket()).output().unwrap();
    assert!(!second.status.success() && String::from_utf8_lossy(&second.stderr).contains("another daemon"));
    let relative = Command::new(manifold())
        .args(["dhcp", "daemon", "-pidfile", "x.pid", "-socketpath"])
        .arg(bed.path("other.sock"))
        .output()
        .unwrap();
    assert!(!relative.status.success() && String::from_utf8_lossy(&relative.stderr).contains("not absolute"));
}

#[test]
fn whoever_asks_whether_it_serves_is_told_by_the_exit_code() {
    let mut bed = Bed::without_daemon();
    let socket = bed.socket();
    let ask =
        || Command::new(manifold()).args(["dhcp", "status", "-socketpath"]).arg(&socket).output().unwrap();
    let before = ask();
    let said = String::from_utf8_lossy(&before.stderr).into_owned();
    assert!(!before.status.success() && said.contains("does not answer"), "{said}");
    bed.start_daemon(&[]);
    wait_until("it serves", || ask().status.success());
    bed.kill_daemon();
    assert!(!ask().status.success(), "its socket lies there, and nobody answers");
}

// Proves: F-PLG-10
#[test]
fn del_needs_no_daemon_and_the_next_daemon_drops_the_lease() {
    let mut bed = Bed::new();
    let _server = FakeServer::start(&bed, |_, _| Some(terms(20)));
    let pod = TestNetns::new().unwrap();
    let conf = bed.conf("macvlan", json!({}));
    // One that was killed leaves a socket at which nobody listens, one that ended leaves none.
    for is_killed in [true, false] {
        bed.add(&conf, "c1", &pod).good();
        assert_eq!(bed.lease_files(), 1);
        if is_killed {
            bed.kill_daemon();
        } else {
            assert!(bed.end_daemon().success());
        }
        assert!(bed.del(&conf, "c1", &pod).ok);
        assert!(pod.exec(&["ip", "link", "show", "eth0"]).is_err(), "the link is gone");
        let mut gc = conf.clone();
        gc["cni.dev/valid-attachments"] = json!([]);
        assert!(bed.call("GC", &gc, None, "").ok);
        let (code, text) = bed.add(&conf, "c1", &pod).bad();
        assert!(code == 11 && text.contains("start it with"), "{code} {text}");
        bed.start_daemon(&[]);
        wait_until("the lease of the pod that is gone is dropped", || bed.lease_files() == 0);
    }
}

// Proves: F-PLG-8
#[test]
fn a_caller_that_says_a_byte_now_and_then_is_not_listened_to_for_ever() {
    let bed = Bed::new();
    let mut caller = UnixStream::connect(bed.socket()).unwrap();
    wait_until("the daemon breaks off", || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        caller.write_all(b" ").is_err()
    });
    assert!(bed.call("STATUS", &bed.dhcp(json!({})), None, "").ok);
}

// Proves: PLG-DHCP-4
#[test]
fn the_host_prefix_stands_before_socket_and_namespaces() {
    let mut bed = Bed::without_daemon();
    let prefix = bed.path("host");
    std::fs::create_dir_all(prefix.join("run")).unwrap();
    std::os::unix::fs::symlink("/run/netns", prefix.join("run/netns")).unwrap();
    let mut command = Command::new(manifold());
    command.arg0("dhcp").args(["daemon", "-socketpath", "/run/dhcp.sock", "-hostprefix"]).arg(&prefix);
    command.arg("-statedir").arg(bed.path("leases"));
    bed.start(command);
    let socket = prefix.join("run/dhcp.sock");
    wait_until("the daemon listens", || UnixStream::connect(&socket).is_ok());
    let _server = FakeServer::start(&bed, |_, _| Some(terms(20)));
    let pod = bed.linked_pod("v1");
    let mut conf = bed.dhcp(json!({}));
    conf["ipam"]["daemonSocketPath"] = json!(socket);
    bed.add(&conf, "c1", &pod).good();
}

// Proves: PLG-DHCP-4
#[test]
fn systemd_may_pass_one_socket_and_no_more() {
    let mut bed = Bed::without_daemon();
    std::fs::create_dir_all(bed.path("run")).unwrap();
    let listener = UnixListener::bind(bed.socket()).unwrap();
    let (own, leases) = (bed.path("own.sock"), bed.path("leases"));
    let passed = |count: &str| {
        // The number of the process is known only in it: a shell that becomes the daemon.
        let fd = listener.as_raw_fd();
        let run = format!(
            "export LISTEN_PID=$$ LISTEN_FDS={count}; exec \"$0\" dhcp daemon -socketpath {} -statedir {} 3<&{fd}",
            own.display(),
            leases.display(),
        );
        // Debian's `sh` knows descriptors of one digit only.
        let mut command = Command::new("/bin/bash");
        command.args(["-c", &run]).arg(manifold());
        command
    };
    let _ = nix::fcntl::fcntl(&listener, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()));
    let two = passed("2").output().unwrap();
    assert!(!two.status.success() && String::from_utf8_lossy(&two.stderr).contains("passes 2 sockets"));
    let command = passed("1");
    bed.start(command);
    wait_until("the passed socket is served", || bed.call("STATUS", &bed.dhcp(json!({})), None, "").ok);
    assert!(!bed.path("own.sock").exists());
    assert!(bed.end_daemon().success());
    assert!(bed.socket().exists(), "the socket is systemd's");
    let command = passed("0");
    bed.start(command);
    wait_until("without one it makes its own", || bed.path("own.sock").exists());
}
