//! When there is no daemon, or somebody else asks it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::bed::{Bed, wait_until};

// Proves: PLG-DHCP-3, CNI-STA-1
#[test]
fn without_a_daemon_add_and_status_fail_and_say_how_to_start_it() {
    let mut bed = Bed::new();
    let pod = bed.linked_pod("v1");
    let conf = bed.dhcp(json!({}));
    // It waits two seconds for the answer, which may be too short once on a busy machine.
    wait_until("the daemon serves", || bed.call("STATUS", &conf, None, "").ok);
    bed.end_daemon();
    let (code, text) = bed.call("STATUS", &conf, None, "").bad();
    assert!(code == 50 && text.contains("manifold dhcp daemon"), "{code} {text}");
    let (code, text) = bed.add(&conf, "c1", &pod).bad();
    assert!(code == 11 && text.contains("manifold dhcp daemon"), "{code} {text}");
}

// Proves: S-14
#[test]
fn only_root_is_served_and_only_namespaces_of_pods_are_entered() {
    let bed = Bed::new();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let socket = bed.socket();
    assert_eq!((mode(socket.parent().unwrap()), mode(&socket)), (0o700, 0o600));
    // Another user does not get past the modes; and where somebody opened them, is not served.
    for path in [bed.folder.path(), socket.parent().unwrap(), &socket] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let ask = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
               s.sendall(b'{\"verb\":\"STATUS\"}\\n')\nprint(s.recv(100))";
    let said = |user: u32| {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new("python3");
        command.args(["-c", ask]).arg(&socket).uid(user).gid(user);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(said(0).contains("done"));
    assert!(!said(65534).contains("done"));
    let conf = bed.dhcp(json!({}));
    for (netns, code) in [("/proc/self/ns/net", 8), ("/etc/hostname", 8), ("/nowhere", 8)] {
        let netns = match netns {
            // The daemon's own.
            "/proc/self/ns/net" => format!("/proc/{}/ns/net", bed.daemon_pid()),
            other => other.to_owned(),
        };
        let (got, text) = bed.call("ADD", &conf, Some(("c1", Path::new(&netns))), "").bad();
        assert_eq!(got, code, "{netns}: {text}");
    }
}
