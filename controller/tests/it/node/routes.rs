//! Routes to the pods of other nodes, in a network namespace of the test's own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use manifold_controller::node::routes;
use manifold_e2e::netns::TestNetns;
use manifold_net::{Net, Netns};

fn ways(all: &[(&str, &str)]) -> BTreeMap<IpNet, IpAddr> {
    all.iter().map(|(cidr, by)| (cidr.parse().unwrap(), by.parse().unwrap())).collect()
}

fn routes_of(host: &TestNetns) -> String {
    let both = host.exec(&["ip", "route"]).unwrap() + &host.exec(&["ip", "-6", "route"]).unwrap();
    both.lines().filter(|l| l.contains("proto 77")).map(|l| l.trim().to_owned() + "\n").collect()
}

#[test]
fn routes_follow_the_nodes_and_those_of_others_are_left_alone() {
    let host = TestNetns::new().unwrap();
    for words in [
        "ip link add br0 type bridge",
        "ip addr add 192.168.7.1/24 dev br0",
        "ip addr add fd07::1/64 dev br0 nodad",
        "ip link set br0 up",
        "ip route add 10.9.0.0/24 via 192.168.7.9",
    ] {
        host.exec(&words.split(' ').collect::<Vec<_>>()).unwrap();
    }
    let net = Net::inside(&Netns::open(host.path()).unwrap()).unwrap();
    let wanted = ways(&[
        ("10.244.1.0/24", "192.168.7.2"),
        ("fd00:1::/64", "fd07::2"),
        ("10.244.2.0/24", "172.16.0.2"),
        ("10.9.0.0/24", "192.168.7.3"),
    ]);
    let routed = routes::apply(&net, &wanted).unwrap();
    assert_eq!((routed.changed, routed.left.len()), (2, 2), "{routed:?}");
    assert!(routed.left.iter().any(|l| l.contains("`172.16.0.2`, which is not on a subnet")), "{routed:?}");
    let said = routes_of(&host);
    assert!(
        said.contains("10.244.1.0/24 via 192.168.7.2") && said.contains("fd00:1::/64 via fd07::2"),
        "{said}"
    );
    assert_eq!(routes::apply(&net, &wanted).unwrap().changed, 0, "nothing is written twice");
    // A node has another address; another one is gone; somebody took a route away.
    let wanted = ways(&[("10.244.1.0/24", "192.168.7.4")]);
    routes::apply(&net, &wanted).unwrap();
    let said = routes_of(&host);
    assert!(said.contains("10.244.1.0/24 via 192.168.7.4") && said.lines().count() == 1, "{said}");
    host.exec(&["ip", "route", "del", "10.244.1.0/24"]).unwrap();
    routes::apply(&net, &wanted).unwrap();
    assert_eq!(routes_of(&host), said);
    routes::apply(&net, &BTreeMap::new()).unwrap();
    assert_eq!(routes_of(&host), "");
    assert!(host.exec(&["ip", "route"]).unwrap().contains("10.9.0.0/24 via 192.168.7.9"));
}
