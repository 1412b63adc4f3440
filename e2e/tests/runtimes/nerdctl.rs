//! nerdctl's calls, with the lists that it writes for its default network and for `nerdctl network create --ipv6`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use manifold_e2e::executable;
use manifold_e2e::leaks::Oracle;
use manifold_e2e::nerdctl::{Container, Nerdctl};
use manifold_e2e::netns::{HostNs, TestNetns};
use serde_json::{Value, json};

use crate::manifold;

const PLUGINS: [&str; 5] = ["bridge", "host-local", "portmap", "firewall", "tuning"];

fn plugin_folder(host: &HostNs) -> PathBuf {
    let folder = host.folder().join("bin");
    executable::install(&manifold(), &folder, &PLUGINS).unwrap();
    folder
}

/// The list of the default network.
fn default_list(host: &HostNs) -> Value {
    let range = json!([{"subnet": "10.4.0.0/24", "gateway": "10.4.0.1"}]);
    list(host, "bridge", "nerdctl0", json!([range]), json!({}))
}

/// One of `nerdctl network create --ipv6 --subnet 10.4.1.0/24 --subnet fd00:4::/64`.
fn dual_stack_list(host: &HostNs) -> Value {
    let ranges = json!([
        [{"subnet": "10.4.1.0/24", "gateway": "10.4.1.1"}],
        [{"subnet": "fd00:4::/64", "gateway": "fd00:4::1"}],
    ]);
    list(host, "dual", "br-0123456789ab", ranges, json!({"ips": true}))
}

fn list(host: &HostNs, name: &str, bridge: &str, ranges: Value, capabilities: Value) -> Value {
    let ipam = json!({"type": "host-local", "dataDir": host.folder().join("networks"), "ranges": ranges,
        "routes": [{"dst": "0.0.0.0/0"}]});
    json!({"cniVersion": "1.0.0", "name": name, "nerdctlID": "17f29b073143", "nerdctlLabels": {}, "plugins": [
        {"type": "bridge", "bridge": bridge, "isGateway": true, "ipMasq": true, "hairpinMode": true, "ipam": ipam,
         "capabilities": capabilities},
        {"type": "portmap", "capabilities": {"portMappings": true}},
        {"type": "firewall", "ingressPolicy": "same-bridge"},
        {"type": "tuning"},
    ]})
}

fn oracle<'a>(host: &HostNs) -> Oracle<'a> {
    Oracle::new(host).folder("leases", &host.folder().join("networks"))
}

fn address(result: &Value, index: usize) -> &str {
    result["ips"][index]["address"].as_str().unwrap()
}

/// A connection from the host to one of its ports ends in the container.
fn assert_mapped(host: &HostNs, netns: &TestNetns, from: u16, to: u16) {
    let listener = netns.run(|| TcpListener::bind(("0.0.0.0", to)).unwrap()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || listener.accept().unwrap().0.write_all(b"here").unwrap());
        let mut heard = String::new();
        let connect = || TcpStream::connect(("127.0.0.1", from)).unwrap();
        host.netns().run(connect).unwrap().read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "here");
    });
}

// Proves: COMPAT-34
#[test]
fn a_container_of_the_default_network_comes_goes_and_comes_again() {
    let host = HostNs::new().unwrap();
    let nerdctl = Nerdctl::new(&host, &plugin_folder(&host), &[default_list(&host)]);
    let first = TestNetns::new().unwrap();
    let mut container = Container::new(&first);
    container.ports = vec![(8080, 80)];
    nerdctl.create_runtime(&container).unwrap();
    first.delete();
    nerdctl.post_stop(&container).unwrap();
    let oracle = oracle(&host);
    let before = oracle.snapshot().unwrap();

    let netns = TestNetns::new().unwrap();
    let mut container = Container::new(&netns);
    container.ports = vec![(8080, 80), (8443, 443)];
    let results = nerdctl.create_runtime(&container).unwrap();
    assert!(address(&results[0], 0).ends_with("/24"), "{results:?}");
    assert_mapped(&host, &netns, 8080, 80);
    assert_mapped(&host, &netns, 8443, 443);
    netns.delete();
    nerdctl.post_stop(&container).unwrap();
    oracle.assert_as_before(&before);
    // What is gone may be removed again.
    nerdctl.post_stop(&container).unwrap();
}

// Proves: COMPAT-34
#[test]
fn a_container_that_containerd_lost_is_started_again_without_a_stop() {
    let host = HostNs::new().unwrap();
    let nerdctl = Nerdctl::new(&host, &plugin_folder(&host), &[default_list(&host)]);
    let lost = TestNetns::new().unwrap();
    let mut container = Container::new(&lost);
    container.ports = vec![(8080, 80)];
    nerdctl.create_runtime(&container).unwrap();
    lost.delete();
    // The same container, in another namespace.
    let netns = TestNetns::new().unwrap();
    let again = container.in_namespace(&netns);
    nerdctl.create_runtime(&again).unwrap();
    assert_mapped(&host, &netns, 8080, 80);
    let leases = std::fs::read_dir(host.folder().join("networks/bridge")).unwrap();
    let leases: Vec<_> = leases.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(
        leases.iter().filter(|name| name.to_string_lossy().starts_with("10.4.")).count(),
        1,
        "{leases:?}"
    );
    netns.delete();
    nerdctl.post_stop(&again).unwrap();
}

// Proves: COMPAT-34
#[test]
fn addresses_and_mac_address_are_those_that_were_asked_for_on_two_networks_at_once() {
    let host = HostNs::new().unwrap();
    let plugins = plugin_folder(&host);
    let both = Nerdctl::new(&host, &plugins, &[default_list(&host), dual_stack_list(&host)]);
    let netns = TestNetns::new().unwrap();
    let container = Container::new(&netns);
    let results = both.create_runtime(&container).unwrap();
    let interfaces = netns.exec(&["ip", "-brief", "address"]).unwrap();
    for (result, name) in results.iter().zip(["eth0", "eth1"]) {
        let line = interfaces.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.contains(address(result, 0)), "{interfaces}");
    }
    assert!(address(&results[1], 1).starts_with("fd00:4::"), "{results:?}");
    netns.delete();
    both.post_stop(&container).unwrap();

    let dual = Nerdctl::new(&host, &plugins, &[dual_stack_list(&host)]);
    let netns = TestNetns::new().unwrap();
    let oracle = oracle(&host);
    let before = oracle.snapshot().unwrap();
    let mut container = Container::new(&netns);
    container.mac = Some("02:00:00:00:04:99".to_owned());
    container.ip = Some("10.4.1.99".to_owned());
    container.ip6 = Some("fd00:4::99".to_owned());
    let results = dual.create_runtime(&container).unwrap();
    assert_eq!((address(&results[0], 0), address(&results[0], 1)), ("10.4.1.99/24", "fd00:4::99/64"));
    assert!(netns.exec(&["ip", "link", "show", "eth0"]).unwrap().contains("02:00:00:00:04:99"));
    netns.delete();
    dual.post_stop(&container).unwrap();
    oracle.assert_as_before(&before);
}

/// nerdctl asks `firewall` which release it is before it relies on `ingressPolicy`, and reads the line as the reference says it.
// Proves: COMPAT-34.1
#[test]
fn the_firewall_plugin_says_its_release_as_nerdctl_reads_it() {
    let host = HostNs::new().unwrap();
    let firewall = plugin_folder(&host).join("firewall");
    let said = Command::new(firewall).env_clear().stdin(Stdio::null()).output().unwrap();
    assert!(said.status.success() && said.stdout.is_empty());
    let said = String::from_utf8(said.stderr).unwrap();
    let release = said.lines().find_map(|line| line.strip_prefix("CNI firewall plugin v")).unwrap();
    let (numbers, _) = release.split_once('+').unwrap();
    let numbers: Vec<u32> = numbers.split('.').map(|number| number.parse().unwrap()).collect();
    // From 1.1.0 on networks are kept apart, from 1.7.1 on also the containers of one.
    assert!(numbers.len() == 3 && numbers >= vec![1, 7, 1], "{said}");
}
