//! Router advertisements sent into every type of attachment: nobody may give a pod a route or an address that way.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use manifold_net::Netns;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendto, setsockopt, socket,
    sockopt,
};
use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, Pod, sh, with};

const PREFIX: &str = "2001:db8:bad";

/// One advertisement: "I am your router, and this is your network".
fn message() -> Vec<u8> {
    let mut bytes = vec![134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend([3, 4, 64, 0xc0]);
    bytes.extend([0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0]);
    bytes.extend(format!("{PREFIX}::").parse::<Ipv6Addr>().unwrap().octets());
    bytes
}

fn advertise(netns: &Netns, link: &str) {
    let index: u32 = sh(netns, &format!("ip -o link show {link} | sed 's/:.*//'")).parse().unwrap();
    let send = || {
        let raw = socket(AddressFamily::Inet6, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::IcmpV6)
            .unwrap();
        setsockopt(&raw, sockopt::Ipv6MulticastHops, &255).unwrap();
        let everyone = SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0, 0, index);
        // Refused while the sender's own link-local address is not ready; the next one will do.
        let _ = sendto(raw.as_raw_fd(), &message(), &SockaddrIn6::from(everyone), MsgFlags::empty());
    };
    netns.run(send).unwrap();
}

fn believes(pod: &Pod) -> bool {
    pod.sh("ip -6 addr; ip -6 route").contains(PREFIX) || pod.sh("ip -6 route").contains("default via fe80")
}

/// Sends until the willing believe; by then the others have had every chance.
fn nobody_but_the_willing_believes(senders: &[(&Netns, &str)], willing: &Pod, others: &[&Pod]) {
    willing.sh("echo 1 > /proc/sys/net/ipv6/conf/eth0/accept_ra");
    let deadline = Instant::now() + PATIENCE;
    while !believes(willing) {
        assert!(Instant::now() < deadline, "the advertisements do not arrive, so this test shows nothing");
        for (netns, link) in senders {
            advertise(netns, link);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    for pod in others {
        assert!(!believes(pod), "{}: {}", pod.id, pod.state());
    }
}

fn addresses(bed: &Bed, sets: &[&str]) -> Value {
    let ranges: Vec<_> = sets.iter().map(|subnet| json!([{"subnet": subnet}])).collect();
    json!({"type": "host-local", "dataDir": bed.leases.path(), "ranges": ranges})
}

/// A pod with IPv4 only, one with both families, one without addresses, and one without that wants to believe.
fn pods(bed: &Bed, conf: &Value) -> [Pod; 4] {
    let make = |id: &str, ipam: Value| {
        let pod = bed.pod(id);
        bed.add(&with(conf, json!({"ipam": ipam})), &pod).unwrap();
        pod
    };
    [
        make("v4", addresses(bed, &["10.1.0.0/24"])),
        make("both", addresses(bed, &["10.1.0.0/24", "fd00:1::/64"])),
        make("l2", json!({})),
        make("willing", json!({})),
    ]
}

// Proves: S-10
#[test]
fn pods_on_a_bridge_and_the_host_take_nothing_from_a_rogue_router() {
    let bed = Bed::new();
    let conf = json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0"});
    let [v4, both, l2, willing] = pods(&bed, &conf);
    let rogue = bed.pod("rogue");
    bed.add(&conf, &rogue).unwrap();
    nobody_but_the_willing_believes(&[(&rogue.netns, "eth0")], &willing, &[&v4, &both, &l2]);
    assert!(!bed.sh("ip -6 addr; ip -6 route").contains(PREFIX), "the host neither");
    assert_eq!(v4.sh("ip -6 -o addr show eth0"), "");
}

// Proves: S-10
#[test]
fn pods_on_a_macvlan_take_nothing_from_a_rogue_router() {
    let bed = Bed::new();
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
    let conf = json!({"cniVersion": "1.1.0", "name": "green", "type": "macvlan", "master": "up0"});
    let [v4, both, l2, willing] = pods(&bed, &conf);
    nobody_but_the_willing_believes(&[(&bed.host, "up1")], &willing, &[&v4, &both, &l2]);
}

// Proves: S-10
#[test]
fn a_ptp_pod_takes_nothing_from_a_rogue_router_and_neither_does_the_host() {
    let bed = Bed::new();
    let conf = json!({"cniVersion": "1.1.0", "name": "red", "type": "ptp"});
    let (v4, both, willing) = (bed.pod("v4"), bed.pod("both"), bed.pod("willing"));
    let first = bed.add(&with(&conf, json!({"ipam": addresses(&bed, &["10.1.0.0/24"])})), &v4).unwrap();
    let second = bed
        .add(&with(&conf, json!({"ipam": addresses(&bed, &["10.1.0.0/24", "fd00:1::/64"])})), &both)
        .unwrap();
    let l2 = json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0"});
    bed.add(&l2, &willing).unwrap();
    let senders = [
        (&bed.host, first.interfaces[0].name.as_str()),
        (&bed.host, second.interfaces[0].name.as_str()),
        (&bed.host, "br0"),
    ];
    nobody_but_the_willing_believes(&senders, &willing, &[&v4, &both]);
    for _ in 0..20 {
        advertise(&both.netns, "eth0");
    }
    assert!(!bed.sh("ip -6 addr; ip -6 route").contains(PREFIX));
}

/// A cable from the host's `name` to a router in a namespace of its own.
fn router(bed: &Bed, name: &str, accept_ra: &str) -> Pod {
    let router = bed.pod(name);
    bed.sh(&format!(
        "ip link add {name} type veth peer name eth0 netns {}; ip link set {name} up
         echo {accept_ra} > /proc/sys/net/ipv6/conf/{name}/accept_ra",
        router.path().display()
    ));
    router.sh("ip link set eth0 up");
    router
}

fn default_routes(bed: &Bed) -> String {
    bed.sh("ip -6 route show default")
}

#[track_caller]
fn gets_its_default_route(bed: &Bed, router: &Pod, name: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !default_routes(bed).contains(&format!("dev {name} ")) {
        assert!(Instant::now() < deadline, "no route over {name}: {}", default_routes(bed));
        advertise(&router.netns, "eth0");
        std::thread::sleep(Duration::from_millis(50));
    }
}

// Proves: COMPAT-15
#[test]
fn a_node_keeps_the_default_route_that_a_router_advertised_when_forwarding_begins() {
    for conf in [json!({"type": "bridge", "bridge": "br0", "isGateway": true}), json!({"type": "ptp"})] {
        let bed = Bed::new();
        let [router, _other, _deaf] =
            [("up0", "1"), ("up1", "1"), ("up2", "0")].map(|(n, ra)| router(&bed, n, ra));
        gets_its_default_route(&bed, &router, "up0");
        let before = default_routes(&bed);
        let conf = with(
            &conf,
            json!({"cniVersion": "1.1.0", "name": "blue", "ipam": addresses(&bed, &["fd00:1::/64"])}),
        );
        bed.add(&conf, &bed.pod("a")).unwrap();
        assert_eq!(bed.sh("cat /proc/sys/net/ipv6/conf/all/forwarding"), "1");
        let way = |text: &str| text.split(" proto").next().map(str::to_owned);
        assert_eq!(way(&default_routes(&bed)), way(&before));
        let listens = |name: &str| bed.sh(&format!("cat /proc/sys/net/ipv6/conf/{name}/accept_ra"));
        assert_eq!(["up0", "up1", "up2"].map(listens), ["2", "1", "0"]);
        // And takes the next one.
        bed.sh("ip -6 route del default");
        gets_its_default_route(&bed, &router, "up0");
    }
}
