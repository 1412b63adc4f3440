//! `portmap`: connections that arrive, from outside, from the host and from the pod itself; and what stays of the rules.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use manifold_cni::CniResult;
use manifold_net::{LinkChange, Netns};
use manifold_plugins::meta::{PORTMAP, Portmap};
use serde_json::{Value, json};

use super::{add_both, chained};
use crate::bed::{Bed, Pod, fail_at, failing, same, with, with_result};

pub(super) fn bridge(bed: &Bed) -> Value {
    let ipam = json!({"type": "host-local", "dataDir": bed.leases.path(), "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]]});
    json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0", "isDefaultGateway": true,
        "hairpinMode": true, "ipam": ipam})
}

pub(super) fn portmap(backend: &str, mappings: Value) -> Value {
    chained("portmap", json!({"backend": backend, "runtimeConfig": {"portMappings": mappings}}))
}

pub(super) fn one(backend: &str) -> Value {
    portmap(backend, json!([{"hostPort": 8080, "containerPort": 80}]))
}

pub(super) const BACKENDS: [&str; 2] = ["nftables", "iptables"];

/// Somebody beyond the host, at 192.0.2.2.
pub(super) fn world(bed: &Bed) -> Pod {
    let world = bed.pod("world");
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip addr add 192.0.2.1/24 dev up0; ip addr add 192.0.2.9/24 dev up0; ip -6 addr add 2001:db8::1/64 dev up0 nodad");
    let net = manifold_net::Net::inside(&bed.host).unwrap();
    let moved = net.link("up1").unwrap().unwrap().index;
    net.move_changed(moved, &world.netns, &LinkChange::default()).unwrap();
    world.sh("ip link set up1 up; ip addr add 192.0.2.2/24 dev up1; ip -6 addr add 2001:db8::2/64 dev up1 nodad; ip route add default via 192.0.2.1; ip -6 route add default via 2001:db8::1");
    world
}

/// Answers each connection with its name and the address it came from.
pub(super) fn serve(netns: &Netns, at: &str, name: &'static str) {
    let listener = netns.run(|| TcpListener::bind(at).unwrap()).unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let peer = connection.peer_addr().unwrap().ip();
            let _ = write!(connection, "{name} {peer}");
        }
    });
}

/// Asked again while there is no way: a neighbour that is not found within three seconds counts as unreachable.
pub(super) fn ask(from: &Netns, at: &str) -> Option<String> {
    let at = at.parse().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut connection = loop {
        match from.run(|| TcpStream::connect_timeout(&at, Duration::from_secs(60))).unwrap() {
            Ok(connection) => break connection,
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(100)),
            Err(_) => return None,
        }
    };
    connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// For what must not arrive; a refusal comes at once.
fn refused(from: &Netns, at: &str) -> bool {
    let at = at.parse().unwrap();
    from.run(|| TcpStream::connect_timeout(&at, Duration::from_millis(700))).unwrap().is_err()
}

pub(super) fn rules(bed: &Bed) -> String {
    bed.sh("nft list ruleset; iptables -t nat -S; ip6tables -t nat -S")
}

// Proves: PLG-PORTMAP-6, PLG-PORTMAP-7, PLG-PORTMAP-8, PLG-PORTMAP-11, S-11
#[test]
fn a_mapped_port_is_reached_from_outside_from_the_host_and_from_the_pod_itself() {
    for backend in BACKENDS {
        let bed = Bed::new();
        let (world, pod) = (world(&bed), bed.pod("a"));
        serve(&pod.netns, "[::]:80", "pod");
        let (made, result) = add_both(&bed, &bridge(&bed), &one(backend), &pod);
        assert_eq!(made, result);
        let asked = |from: &Netns, at: &str| {
            ask(from, at).unwrap_or_else(|| panic!("{backend} {at}: {}", rules(&bed)))
        };
        // The pod sees who asks, unless the answer would not find back.
        assert_eq!(asked(&world.netns, "192.0.2.1:8080"), "pod ::ffff:192.0.2.2");
        assert_eq!(asked(&world.netns, "192.0.2.9:8080"), "pod ::ffff:192.0.2.2");
        assert_eq!(asked(&world.netns, "[2001:db8::1]:8080"), "pod 2001:db8::2");
        assert_eq!(asked(&bed.host, "192.0.2.1:8080"), "pod ::ffff:192.0.2.1");
        assert_eq!(asked(&bed.host, "127.0.0.1:8080"), "pod ::ffff:10.1.0.1");
        assert_eq!(bed.sh("cat /proc/sys/net/ipv4/conf/br0/route_localnet"), "1");
        let no_answer = bed
            .host
            .run(|| TcpStream::connect_timeout(&"[::1]:8080".parse().unwrap(), Duration::from_secs(30)));
        let kind = no_answer.unwrap().unwrap_err().kind();
        assert_eq!(kind, std::io::ErrorKind::ConnectionRefused, "`localhost` goes on to 127.0.0.1 at once");
        assert_eq!(asked(&pod.netns, "192.0.2.1:8080"), "pod ::ffff:10.1.0.1", "hairpin");
        assert_eq!(asked(&pod.netns, "[2001:db8::1]:8080"), "pod fd00:1::1", "hairpin");
        // What is not mapped, and what is not for the host.
        assert!(refused(&world.netns, "192.0.2.1:80") && refused(&world.netns, "192.0.2.1:8081"));
        serve(&world.netns, "192.0.2.2:8080", "world");
        assert_eq!(
            asked(&pod.netns, "192.0.2.2:8080"),
            "world 10.1.0.2",
            "only traffic to the host is mapped"
        );
        let other = bed.pod("b");
        bed.add(&bridge(&bed), &other).unwrap();
        serve(&other.netns, "[::]:8080", "other");
        assert_eq!(
            asked(&world.netns, "10.1.0.3:8080"),
            "other ::ffff:192.0.2.2",
            "and no traffic through it"
        );
        bed.check(&one(backend), &pod, &result).unwrap();
        for _ in 0..2 {
            bed.del(&one(backend), &pod).unwrap();
            assert!(!rules(&bed).contains("8080"), "{}", rules(&bed));
        }
        assert!(refused(&world.netns, "192.0.2.1:8080"));
    }
}

// Proves: PLG-PORTMAP-1, PLG-PORTMAP-3
#[test]
fn options_decide_who_is_masqueraded_who_may_come_and_on_which_address() {
    for (backend, only_world) in
        [("nftables", json!(["ip", "saddr", "192.0.2.0/24"])), ("iptables", json!(["-s", "192.0.2.0/24"]))]
    {
        let bed = Bed::new();
        let (world, pod) = (world(&bed), bed.pod("a"));
        serve(&pod.netns, "0.0.0.0:80", "pod");
        let made = bed.add(&bridge(&bed), &pod).unwrap();
        let mapped = |further: Value, mapping: Value| {
            let conf = with(&portmap(backend, json!([mapping])), further);
            bed.add(&with_result(&conf, &made), &pod).unwrap();
        };
        mapped(json!({"masqAll": true}), json!({"hostPort": 8080, "containerPort": 80}));
        assert_eq!(ask(&world.netns, "192.0.2.1:8080").unwrap(), "pod 10.1.0.1", "{backend}");
        // An ADD that comes again replaces what was there.
        mapped(
            json!({}),
            json!({"hostPort": 8081, "containerPort": 80, "hostIP": "192.0.2.9", "protocol": "TCP"}),
        );
        assert_eq!(ask(&world.netns, "192.0.2.9:8081").unwrap(), "pod 192.0.2.2", "{backend}");
        assert!(refused(&world.netns, "192.0.2.1:8081") && refused(&world.netns, "192.0.2.1:8080"));
        mapped(
            json!({"conditionsV4": only_world}),
            json!({"hostPort": 8082, "containerPort": 80, "hostIP": "0.0.0.0"}),
        );
        assert!(ask(&world.netns, "192.0.2.1:8082").is_some(), "{backend}: {}", rules(&bed));
        assert!(refused(&pod.netns, "192.0.2.1:8082"), "{backend}: the pod is not among those who may");
        mapped(json!({"snat": false}), json!({"hostPort": 8083, "containerPort": 80}));
        assert!(ask(&world.netns, "192.0.2.1:8083").is_some());
        assert!(refused(&bed.host, "127.0.0.1:8083"), "{backend}: without masquerading no answer finds back");
        mapped(json!({}), json!({"hostPort": 8084, "containerPort": 80, "hostIP": "2001:db8::1"}));
        let v4 = bed.sh("iptables -t nat -S; nft list table ip cni_hostport 2>&1 || true");
        assert!(rules(&bed).contains("8084") && !v4.contains("8084"), "{backend}: {v4}");
        mapped(json!({}), json!({"hostPort": 8085, "containerPort": 80, "protocol": "sctp"}));
        assert!(rules(&bed).contains("sctp"), "{}", rules(&bed));
    }
    let bed = Bed::new();
    let pod = bed.pod("a");
    let (_, result) = add_both(
        &bed,
        &bridge(&bed),
        &chained(
            "portmap",
            json!({"runtimeConfig": {"portMappings":
        [{"hostPort": 8080, "containerPort": 80}]}, "markMasqBit": 5}),
        ),
        &pod,
    );
    assert!(bed.sh("iptables -t nat -S").contains("--set-xmark 0x20/0x20"), "the mark is iptables' own");
    assert_eq!(result.ips.len(), 2);
}

// Proves: PLG-PORTMAP-2
#[test]
fn options_of_the_other_backend_are_refused_before_anything_is_touched() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let made = bed.add(&bridge(&bed), &pod).unwrap();
    let before = rules(&bed);
    for further in [
        json!({"markMasqBit": 3}),
        json!({"externalSetMarkChain": "X"}),
        json!({"conditionsV4": ["-s", "192.0.2.0/24"]}),
    ] {
        let conf = with(&one("nftables"), further);
        let error = bed.add(&with_result(&conf, &made), &pod).unwrap_err();
        assert!(error.code == 7 && error.msg.contains("do not belong to the backend `nftables`"), "{error}");
    }
    same("rules", &before, &rules(&bed));
}

// Proves: PLG-PORTMAP-4, PLG-PORTMAP-5
#[test]
fn a_result_is_needed_with_an_address_of_the_interface_and_without_mappings_it_passes_through() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let error = bed.add(&one("nftables"), &pod).unwrap_err();
    assert!(error.code == 7 && error.msg.contains("chained plugin"), "{error}");
    let made = bed.add(&bridge(&bed), &pod).unwrap();
    let before = rules(&bed);
    let none = chained("portmap", json!({"backend": "nftables"}));
    assert_eq!(bed.add(&with_result(&none, &made), &pod).unwrap(), made);
    for index in [0, 99] {
        let mut odd = made.clone();
        odd.ips.iter_mut().for_each(|ip| ip.interface = Some(index));
        let error = bed.add(&with_result(&one("nftables"), &odd), &pod).unwrap_err();
        assert!(error.msg.contains("no address of interface `eth0`"), "{error}");
    }
    same("rules", &before, &rules(&bed));
    let mut indexless = made.clone();
    indexless.ips.iter_mut().for_each(|ip| ip.interface = None);
    bed.add(&with_result(&one("nftables"), &indexless), &pod).unwrap();
    assert!(rules(&bed).contains("dnat to 10.1.0.2:80"));
}

/// Rules of this backend, as commands that remove one of them each.
fn removals(bed: &Bed, backend: &str) -> Vec<String> {
    if backend == "iptables" {
        let lines = bed.sh("iptables -t nat -S");
        let ours = lines.lines().filter(|line| line.starts_with("-A ") && line.contains("CNI-"));
        return ours.map(|line| format!("iptables -t nat -D {}", &line[3..])).collect();
    }
    let listed = bed.sh("nft -a list table ip cni_hostport");
    let mut removals = Vec::new();
    let mut chain = "";
    for line in listed.lines() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("chain ") {
            chain = name.split(' ').next().unwrap();
        } else if line.contains("comment") {
            let handle = line.rsplit(' ').next().unwrap();
            removals.push(format!("nft delete rule ip cni_hostport {chain} handle {handle}"));
        }
    }
    removals.push("nft flush chain ip cni_hostport prerouting".into());
    removals.push("nft flush chain ip cni_hostport output".into());
    removals
}

// Proves: PLG-PORTMAP-12
#[test]
fn check_misses_every_single_rule() {
    for (backend, least) in [("nftables", 8), ("iptables", 11)] {
        let bed = Bed::new();
        let pod = bed.pod("a");
        let ports = json!([{"hostPort": 8080, "containerPort": 80}, {"hostPort": 8081, "containerPort": 81, "hostIP": "192.0.2.9"}]);
        let conf = portmap(backend, ports);
        let made = bed.add(&bridge(&bed), &pod).unwrap();
        let mut n = 0;
        loop {
            let result = bed.add(&with_result(&conf, &made), &pod).unwrap();
            bed.check(&conf, &pod, &result).unwrap();
            let removals = removals(&bed, backend);
            let Some(removal) = removals.get(n) else { break };
            bed.sh(removal);
            assert!(bed.check(&conf, &pod, &result).is_err(), "after `{removal}`");
            n += 1;
        }
        assert!(n >= least, "{backend}: {n} rules");
    }
}

// Proves: PLG-PORTMAP-13, S-11
#[test]
fn del_needs_no_mappings_and_spares_the_other_attachment_of_the_pod() {
    for backend in BACKENDS {
        let bed = Bed::new();
        let (world, pod) = (world(&bed), bed.pod("a"));
        serve(&pod.netns, "0.0.0.0:80", "pod");
        for (ifname, port) in [("eth0", 8080), ("net1", 8081)] {
            let made = bed.add_as(&bridge(&bed), &pod, ifname, "").unwrap();
            let conf = portmap(backend, json!([{"hostPort": port, "containerPort": 80}]));
            bed.add_as(&with_result(&conf, &made), &pod, ifname, "").unwrap();
        }
        let bare = chained("portmap", json!({}));
        bed.del_at(&bare, &pod.at("net1", "").detach()).unwrap();
        assert!(!rules(&bed).contains("8081"), "{}", rules(&bed));
        assert!(ask(&world.netns, "192.0.2.1:8080").is_some(), "{backend}");
        bed.del_at(&bare, &pod.without_netns(None)).unwrap();
        let left = rules(&bed);
        assert!(!left.contains("8080") && !left.contains("CNI-DN-"), "both families: {left}");
        // What the reference made, in either backend, and a chain of long ago.
        let hashed = bed.sh("printf %s bluea | sha512sum | cut -c1-21");
        bed.sh(&format!(
            "iptables -t nat -N CNI-SN-{hashed}; iptables -t nat -A POSTROUTING -s 10.9.9.9/32 -j CNI-SN-{hashed}
             iptables -t nat -N CNI-DN-{hashed}; ip6tables -t nat -N CNI-DN-{hashed}
             nft add table ip cni_hostport; nft add chain ip cni_hostport hostports
             nft add rule ip cni_hostport hostports tcp dport 9090 dnat to 10.1.0.2:80 comment a
             nft add rule ip cni_hostport hostports tcp dport 9091 dnat to 10.1.0.2:80 comment other"
        ));
        bed.del(&bare, &pod).unwrap();
        let left = rules(&bed);
        assert!(!left.contains(&hashed) && !left.contains("9090") && left.contains("9091"), "{left}");
    }
}

// Proves: PLG-PORTMAP-14, PLG-COM-19
#[test]
fn gc_keeps_the_living_and_other_networks() {
    for backend in BACKENDS {
        let bed = Bed::new();
        let names = [("alive", "blue", 8080), ("dead", "blue", 8081), ("other", "red", 8082)];
        let pods: Vec<Pod> = names.iter().map(|(id, ..)| bed.pod(id)).collect();
        for (pod, (_, network, port)) in pods.iter().zip(&names) {
            let conf = portmap(backend, json!([{"hostPort": port, "containerPort": 80}]));
            add_both(&bed, &bridge(&bed), &with(&conf, json!({"name": network})), pod);
        }
        bed.gc(&one(backend), &[&pods[0]]).unwrap();
        let left = rules(&bed);
        assert!(
            left.contains("8080") && !left.contains("8081") && left.contains("8082"),
            "{backend}: {left}"
        );
    }
}

// Proves: PLG-COM-16
#[test]
fn a_failure_after_any_step_leaves_no_rule() {
    for backend in BACKENDS {
        for step in 0..2 {
            let bed = Bed::new();
            let pod = bed.pod("a");
            let made: CniResult = bed.add(&bridge(&bed), &pod).unwrap();
            fail_at(step);
            let plugin = Portmap { after_step: failing, ..PORTMAP };
            let outcome = bed.add_with(&plugin, &with_result(&one(backend), &made), &pod, "eth0", "");
            fail_at(usize::MAX);
            assert!(outcome.is_err());
            let left = rules(&bed);
            assert!(!left.contains("8080") && !left.contains("CNI-DN-"), "{backend}, step {step}: {left}");
        }
    }
    // A condition that nft does not understand.
    let bed = Bed::new();
    let pod = bed.pod("a");
    let made = bed.add(&bridge(&bed), &pod).unwrap();
    let odd = with(&one("nftables"), json!({"conditionsV4": ["ip", "nonsense", "7"]}));
    let error = bed.add(&with_result(&odd, &made), &pod).unwrap_err();
    assert!(error.msg.contains("`nft` refused to map the pod's ports"), "{error}");
    assert!(!rules(&bed).contains("8080"));
}

// Proves: PLG-PORTMAP-7
#[test]
fn the_reference_can_have_its_chains_in_the_same_table_before_and_after_ours() {
    // What the reference adds with every mapping of its own.
    let theirs = "nft add table ip cni_hostport; nft add chain ip cni_hostport hostports
         nft add chain ip cni_hostport hostip_hostports
         nft add chain ip cni_hostport prerouting '{ type nat hook prerouting priority -100; }'
         nft add chain ip cni_hostport output '{ type nat hook output priority -100; }'
         nft add chain ip cni_hostport masquerading '{ type nat hook postrouting priority 100; }'";
    let bed = Bed::new();
    bed.sh(theirs);
    let (a, b) = (bed.pod("a"), bed.pod("b"));
    let (_, result) = add_both(&bed, &bridge(&bed), &one("nftables"), &a);
    bed.check(&one("nftables"), &a, &result).unwrap();
    bed.sh(theirs);
    bed.del(&one("nftables"), &a).unwrap();
    assert!(!rules(&bed).contains("8080"), "{}", rules(&bed));
    // Ours first.
    let bed = Bed::new();
    add_both(&bed, &bridge(&bed), &one("nftables"), &b);
    bed.sh(theirs);
}

// Proves: PLG-PORTMAP-6
#[test]
fn the_first_pods_of_a_host_may_map_ports_at_the_same_time() {
    let at_once = |kind: &'static str, n: u16| {
        let port = json!([{"hostPort": 8000 + n, "containerPort": 80}]);
        if kind == "portmap" {
            portmap("iptables", port)
        } else {
            chained(kind, json!({"backend": "iptables", "ingressPolicy": "same-bridge"}))
        }
    };
    for kind in ["portmap", "firewall"] {
        let bed = Bed::new();
        let pods: Vec<_> = (0..8).map(|n| bed.pod(&format!("p{n}"))).collect();
        let made: Vec<_> = pods.iter().map(|pod| bed.add(&bridge(&bed), pod).unwrap()).collect();
        let start = std::sync::Barrier::new(pods.len());
        std::thread::scope(|scope| {
            for (n, (pod, made)) in (0..).zip(pods.iter().zip(&made)) {
                let (bed, start) = (&bed, &start);
                scope.spawn(move || {
                    let conf = with_result(&at_once(kind, n), made);
                    start.wait();
                    bed.add(&conf, pod).unwrap();
                    bed.check(&conf, pod, made).unwrap();
                });
            }
        });
        dels_at_once_leave_nothing(&bed, &pods, |n| at_once(kind, n));
    }
}

fn dels_at_once_leave_nothing(bed: &Bed, pods: &[Pod], conf: impl Fn(u16) -> Value + Sync) {
    std::thread::scope(|scope| {
        for (n, pod) in (0..).zip(pods) {
            let conf = &conf;
            scope.spawn(move || bed.del(&conf(n), pod).unwrap());
        }
    });
    let left = bed.sh("iptables-save; ip6tables-save");
    assert!(!left.contains("id: p") && !left.contains("CNI-DN-"), "{left}");
}
