//! `portmap` and UDP flows, which connection tracking would go on sending to a pod that is gone.

use std::net::{ToSocketAddrs, UdpSocket};
use std::time::Duration;

use manifold_net::Netns;
use serde_json::json;

use super::portmap::{BACKENDS, ask, bridge, one, portmap, rules, serve, world};
use super::{add_both, chained};
use crate::bed::{Bed, with, with_result};

fn datagram(socket: &UdpSocket) -> Option<String> {
    datagram_to(socket, 5353)
}

/// A datagram to a port of the host from one and the same socket; who answered.
fn datagram_to(socket: &UdpSocket, port: u16) -> Option<String> {
    datagram_at(socket, ("192.0.2.1", port))
}

fn datagram_at(socket: &UdpSocket, at: impl ToSocketAddrs) -> Option<String> {
    let mut buffer = [0; 64];
    for _ in 0..12 {
        socket.send_to(b"?", &at).unwrap();
        if let Ok((length, _)) = socket.recv_from(&mut buffer) {
            return Some(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    }
    None
}

fn echo(netns: &Netns, name: &'static str) {
    let socket = netns.run(|| UdpSocket::bind("0.0.0.0:53").unwrap()).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(name.as_bytes(), peer);
        }
    });
}

// Proves: PLG-PORTMAP-9, PLG-PORTMAP-10
#[test]
fn a_udp_flow_and_every_new_connection_reach_the_newest_container() {
    for backend in BACKENDS {
        let bed = Bed::new();
        let (world, old, new) = (world(&bed), bed.pod("old"), bed.pod("new"));
        let ports = json!([{"hostPort": 5353, "containerPort": 53, "protocol": "udp"}, {"hostPort": 8080, "containerPort": 80}]);
        let conf = portmap(backend, ports);
        for (pod, name) in [(&old, "old"), (&new, "new")] {
            echo(&pod.netns, name);
            serve(&pod.netns, "0.0.0.0:80", name);
        }
        add_both(&bed, &bridge(&bed), &conf, &old);
        let client = world.netns.run(|| UdpSocket::bind("192.0.2.2:0").unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(datagram(&client).as_deref(), Some("old"), "{backend}: {}", rules(&bed));
        add_both(&bed, &bridge(&bed), &conf, &new);
        assert_eq!(datagram(&client).as_deref(), Some("new"), "{backend}: the same flow goes on");
        assert!(ask(&world.netns, "192.0.2.1:8080").unwrap().starts_with("new"), "{backend}");
        bed.del(&conf, &new).unwrap();
        assert!(ask(&world.netns, "192.0.2.1:8080").unwrap().starts_with("old"), "{backend}");
    }
}

/// How often a flow to this port began, as a table counts it that keeps connection tracking on beside ours.
fn begun(bed: &Bed, port: u16) -> String {
    bed.sh(&format!("nft list table ip seen | grep 'dport {port}' | grep -o 'packets [0-9]*'"))
}

// Proves: COMPAT-20
#[test]
fn del_forgets_the_udp_flows_of_the_pod_and_of_no_other() {
    for (backend, keeps_mappings) in
        [("nftables", true), ("iptables", true), ("nftables", false), ("iptables", false)]
    {
        let bed = Bed::new();
        let (world, old, new, other) = (world(&bed), bed.pod("old"), bed.pod("new"), bed.pod("other"));
        bed.sh("nft add table ip seen; nft 'add chain ip seen c { type filter hook prerouting priority 0; }'
            for port in 5353 5454; do nft add rule ip seen c udp dport $port ct state new counter; done");
        let mut narrow = bridge(&bed);
        narrow["ipam"]["routes"] = json!([{"dst": "0.0.0.0/0"}]);
        narrow["ipam"]["ranges"] =
            json!([[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.5", "rangeEnd": "10.1.0.5"}]]);
        let udp =
            |port: u16| portmap(backend, json!([{"hostPort": port, "containerPort": 53, "protocol": "udp"}]));
        for (pod, name) in [(&old, "old"), (&new, "new"), (&other, "other")] {
            echo(&pod.netns, name);
        }
        add_both(
            &bed,
            &with(&bridge(&bed), json!({"name": "red"})),
            &with(&udp(5454), json!({"name": "red"})),
            &other,
        );
        let (_, result) = add_both(&bed, &narrow, &udp(5353), &old);
        let client = world.netns.run(|| UdpSocket::bind("192.0.2.2:0").unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(datagram_to(&client, 5353).as_deref(), Some("old"), "{}", rules(&bed));
        assert_eq!(datagram_to(&client, 5454).as_deref(), Some("other"), "{}", rules(&bed));
        let before = begun(&bed, 5454);
        let at_del = if keeps_mappings { udp(5353) } else { chained("portmap", json!({})) };
        bed.del(&with_result(&at_del, &result), &old).unwrap();
        bed.del(&narrow, &old).unwrap();
        let successor = bed.add(&narrow, &new).unwrap();
        assert_eq!(successor.ips[0].address, result.ips[0].address);
        assert!(new.pings("10.1.0.1"));
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert_eq!(datagram_to(&client, 5353), None, "{backend}: the successor has no mapping");
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(datagram_to(&client, 5454).as_deref(), Some("other"));
        assert_eq!(begun(&bed, 5454), before, "{backend}: flows of other pods go on");
    }
}

// Proves: PLG-PORTMAP-15
#[test]
fn neither_add_nor_del_forgets_flows_that_no_mapping_led() {
    for backend in BACKENDS {
        let bed = Bed::new();
        let (world, pod, other) = (world(&bed), bed.pod("a"), bed.pod("other"));
        // What keeps connection tracking on, and counts what begins.
        bed.sh("nft add table ip seen; nft 'add chain ip seen c { type filter hook prerouting priority 0; }'
            nft add rule ip seen c udp dport 53 ct state new counter");
        for (netns, name) in [(&pod.netns, "pod"), (&world.netns, "world")] {
            echo(netns, name);
        }
        let mapped = portmap(backend, json!([{"hostPort": 53, "containerPort": 53, "protocol": "udp"}]));
        let (_, beside) = add_both(&bed, &bridge(&bed), &one(backend), &other);
        let asks_world = || {
            let socket = other.netns.run(|| UdpSocket::bind("0.0.0.0:5300").unwrap()).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            datagram_at(&socket, "192.0.2.2:53")
        };
        assert_eq!(asks_world().as_deref(), Some("world"), "{backend}: {beside:?}");
        let before = begun(&bed, 53);
        let (_, result) = add_both(&bed, &bridge(&bed), &mapped, &pod);
        assert_eq!(asks_world().as_deref(), Some("world"));
        assert_eq!(begun(&bed, 53), before, "{backend}: ADD left it alone");
        let client = world.netns.run(|| UdpSocket::bind("192.0.2.2:0").unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(datagram_to(&client, 53).as_deref(), Some("pod"), "{backend}: {result:?}");
        let before = begun(&bed, 53);
        // Nobody knows the pod's addresses any more.
        bed.del_at(&mapped, &pod.without_netns(None)).unwrap();
        assert_eq!(asks_world().as_deref(), Some("world"));
        assert_eq!(begun(&bed, 53), before, "{backend}: DEL left it alone");
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert_eq!(datagram_to(&client, 53), None, "{backend}: the mapped flow is forgotten");
    }
}
