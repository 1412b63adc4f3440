//! Debian's Podman with its CNI backend: its own default network, and those that `podman network create` makes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use manifold_e2e::leaks::Oracle;
use manifold_e2e::netns::HostNs;
use manifold_e2e::podman::Podman;
use serde_json::{Value, json};

use crate::manifold;

const PLUGINS: [&str; 6] = ["bridge", "macvlan", "host-local", "portmap", "firewall", "tuning"];
const SERVE: [&str; 4] = ["httpd", "-f", "-h", "/www"];
const SLEEP: [&str; 2] = ["sleep", "3600"];
const PAGE: &str = "served by a container";
const PATIENCE: Duration = Duration::from_secs(60);

/// As the package of Podman brings it.
fn default_network() -> Value {
    let ranges = json!([[{"subnet": "10.88.0.0/16", "gateway": "10.88.0.1"}]]);
    json!({"cniVersion": "0.4.0", "name": "podman", "plugins": [
        {"type": "bridge", "bridge": "cni-podman0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
         "ipam": {"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}], "ranges": ranges}},
        {"type": "portmap", "capabilities": {"portMappings": true}}, {"type": "firewall"}, {"type": "tuning"},
    ]})
}

fn machine(host: &HostNs) -> Podman<'_> {
    let podman = Podman::new(host, &manifold(), &PLUGINS).unwrap();
    podman.define(&default_network()).unwrap();
    podman
}

/// What a container leaves once there was one: the bridge and the chains that the first one makes stay, as with the reference.
fn oracle<'a>(host: &HostNs, podman: &Podman<'_>) -> Oracle<'a> {
    Oracle::new(host)
        .folder("leases", &podman.lib("cni/networks"))
        .folder("results", &podman.lib("cni/results"))
        .folder("links", &podman.lib("cni/manifold-links"))
}

/// The answer of a web server, asked from the host. A program that has just been started may not listen yet.
fn get(host: &HostNs, address: &str) -> String {
    let address: SocketAddr = address.parse().unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match host.netns().run(|| ask(address)).unwrap() {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < deadline, "{address}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map(|_| answer)
}

/// An interface of a container: its MAC address and its addresses, as the container's own `ip` prints them.
fn interface(podman: &Podman<'_>, container: &str, name: &str) -> String {
    podman.exec(&["exec", container, "ip", "address", "show", "dev", name]).unwrap()
}

// Proves: COMPAT-33
#[test]
fn a_container_is_reached_by_its_mapped_port_and_by_its_neighbour_and_leaves_nothing() {
    let host = HostNs::new().unwrap();
    let podman = machine(&host);
    podman.run("first", &["--publish", "127.0.0.1:8080:80"], &SLEEP).unwrap();
    podman.exec(&["rm", "--force", "--time", "0", "first"]).unwrap();
    let oracle = oracle(&host, &podman);
    let before = oracle.snapshot().unwrap();

    podman
        .run("web", &["--publish", "127.0.0.1:8080:80", "--publish", "8090-8092:80-82/udp"], &SERVE)
        .unwrap();
    podman.run("client", &[], &SLEEP).unwrap();
    assert!(get(&host, "127.0.0.1:8080").contains(PAGE));
    let address = podman.inspect("web").unwrap()["NetworkSettings"]["IPAddress"].as_str().unwrap().to_owned();
    assert!(podman.lib("cni/networks/podman").join(&address).exists(), "a lease of {address}");
    assert!(interface(&podman, "web", "eth0").contains(&format!("{address}/16")));
    let page = format!("http://{address}/");
    assert_eq!(podman.exec(&["exec", "client", "wget", "-q", "-O", "-", &page]).unwrap(), PAGE);

    // A restart is DEL and ADD; Podman asks for the mappings again, not for the address.
    podman.exec(&["restart", "--time", "0", "web"]).unwrap();
    assert!(get(&host, "127.0.0.1:8080").contains(PAGE));
    // DEL and ADD of a container that goes on running, which keeps its address.
    let running = podman.inspect("web").unwrap()["NetworkSettings"]["IPAddress"].clone();
    podman.exec(&["network", "reload", "web"]).unwrap();
    assert_eq!(podman.inspect("web").unwrap()["NetworkSettings"]["IPAddress"], running);
    assert!(get(&host, "127.0.0.1:8080").contains(PAGE));

    podman.exec(&["rm", "--force", "--time", "0", "web", "client"]).unwrap();
    oracle.assert_as_before(&before);
}

// Proves: COMPAT-33
#[test]
fn a_container_gets_the_address_and_the_mac_address_that_it_asks_for() {
    let host = HostNs::new().unwrap();
    let podman = machine(&host);
    let fixed = ["--ip", "10.88.7.9", "--mac-address", "02:00:00:00:07:09"];
    podman.run("fixed", &fixed, &SLEEP).unwrap();
    let printed = interface(&podman, "fixed", "eth0");
    assert!(printed.contains("10.88.7.9/16") && printed.contains("02:00:00:00:07:09"), "{printed}");
    // Taken: it does not start, and leaves the other alone.
    let root = host.folder().join("root");
    let second = ["run", "--ip", "10.88.7.9", "--rootfs", root.to_str().unwrap(), "ip", "address"];
    let refused = podman.try_exec(&second).unwrap();
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && words.contains("10.88.7.9"), "{words}");
    assert!(interface(&podman, "fixed", "eth0").contains("10.88.7.9/16"));
    podman.exec(&["rm", "--all", "--force", "--time", "0"]).unwrap();
    assert!(!podman.lib("cni/networks/podman/10.88.7.9").exists(), "the lease");
}

// Proves: COMPAT-33
#[test]
fn a_container_joins_and_leaves_networks_that_podman_makes() {
    let host = HostNs::new().unwrap();
    let podman = machine(&host);
    host.exec(&["ip", "link", "add", "eth1", "type", "veth", "peer", "name", "wire"]).unwrap();
    ["eth1", "wire"].iter().for_each(|link| drop(host.exec(&["ip", "link", "set", link, "up"]).unwrap()));
    podman.exec(&["network", "create", "--ipv6", "--subnet", "fd00:88::/64", "six"]).unwrap();
    let macvlan = ["--driver", "macvlan", "--opt", "parent=eth1", "--subnet", "10.77.0.0/24"];
    podman.exec(&[&["network", "create"], &macvlan[..], &["wire"]].concat()).unwrap();
    // The bridges stay, so that they are no difference.
    podman.run("first", &["--network", "podman,six"], &SLEEP).unwrap();
    podman.exec(&["rm", "--force", "--time", "0", "first"]).unwrap();
    let oracle = oracle(&host, &podman);
    let before = oracle.snapshot().unwrap();

    podman.run("both", &["--network", "podman,six"], &SLEEP).unwrap();
    let interfaces = || podman.exec(&["exec", "both", "ip", "address"]).unwrap();
    assert!(
        interfaces().contains("inet 10.88.") && interfaces().contains("inet6 fd00:88::"),
        "{}",
        interfaces()
    );
    podman.exec(&["network", "connect", "wire", "both"]).unwrap();
    assert!(interfaces().contains("inet 10.77.0."), "{}", interfaces());
    podman.exec(&["network", "disconnect", "six", "both"]).unwrap();
    assert!(!interfaces().contains("inet6 fd00:88::"), "{}", interfaces());
    podman.exec(&["rm", "--force", "--time", "0", "both"]).unwrap();
    oracle.assert_as_before(&before);
    podman.exec(&["network", "rm", "six", "wire"]).unwrap();
}
