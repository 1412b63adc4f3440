use manifold_e2e::netns::{HostNs, TestNetns};

#[test]
fn a_fresh_namespace_has_nothing_but_a_loopback_that_is_down() {
    let netns = TestNetns::new().unwrap();
    let links = netns.exec(&["ip", "-o", "link"]).unwrap();
    assert_eq!(links.lines().count(), 1, "{links}");
    assert!(links.contains("lo: <LOOPBACK> "), "{links}");
}

#[test]
fn a_namespace_goes_when_it_is_dropped_and_may_go_before() {
    let netns = TestNetns::new().unwrap();
    let path = netns.path().to_path_buf();
    assert!(path.exists());
    netns.delete();
    assert!(!path.exists());
    drop(netns);
    let second = TestNetns::new().unwrap();
    let path = second.path().to_path_buf();
    drop(second);
    assert!(!path.exists());
}

#[test]
fn what_is_made_on_a_test_host_stays_off_the_machine() {
    let host = HostNs::new().unwrap();
    host.exec(&["ip", "link", "add", "mfprobe0", "type", "bridge"]).unwrap();
    assert!(host.exec(&["ip", "-o", "link"]).unwrap().contains("mfprobe0"));
    let machine = std::process::Command::new("ip").args(["-o", "link"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&machine.stdout).contains("mfprobe0"));
}

#[test]
fn two_namespaces_joined_by_veths_reach_each_other() {
    let (host, pod) = (HostNs::new().unwrap(), TestNetns::new().unwrap());
    host.veth_to(&pod, "v0", "eth0").unwrap();
    host.exec(&["ip", "addr", "add", "10.9.0.1/24", "dev", "v0"]).unwrap();
    pod.exec(&["ip", "addr", "add", "10.9.0.2/24", "dev", "eth0"]).unwrap();
    // The kernel takes a moment to let packets through fresh links, and gives up asking for a neighbour meanwhile.
    let ping = || pod.exec(&["ping", "-c", "1", "-W", "5", "10.9.0.1"]);
    assert!((0..20).any(|_| ping().is_ok()), "{:?}", ping());
}

#[test]
fn a_socket_opened_inside_stays_inside() {
    let host = HostNs::new().unwrap();
    let bind = || std::net::TcpListener::bind("127.0.0.1:4242").unwrap();
    let first = host.netns().run(bind).unwrap();
    let elsewhere = HostNs::new().unwrap();
    let second = elsewhere.netns().run(bind).unwrap();
    assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
}

#[test]
fn an_error_repeats_what_the_program_said() {
    let netns = TestNetns::new().unwrap();
    let error = netns.exec(&["ip", "link", "show", "none0"]).unwrap_err().to_string();
    assert!(error.contains("none0") && error.contains("does not exist"), "{error}");
}
