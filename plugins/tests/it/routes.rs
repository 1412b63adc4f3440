//! Routes beside those of other interfaces and other families: their order, and which of them a pod gets.

use serde_json::{Value, json};

use crate::bed::{Bed, Pod, with};
use crate::differential::{alike, normalised, reference};

/// Beside the plugins' own keys: what each of the three types needs, and a range of each family that is named.
fn conf(bed: &Bed, kind: &str, subnets: &[&str], routes: Value) -> Value {
    let ranges: Vec<_> = subnets.iter().map(|subnet| json!([{"subnet": subnet}])).collect();
    let own = match kind {
        "bridge" => json!({"bridge": "br0", "isGateway": true}),
        "macvlan" => json!({"master": "up0"}),
        _ => json!({}),
    };
    let ipam =
        json!({"type": "host-local", "dataDir": bed.leases.path(), "ranges": ranges, "routes": routes});
    with(&json!({"cniVersion": "1.0.0", "name": "blue", "type": kind, "ipam": ipam}), own)
}

const TYPES: [&str; 3] = ["bridge", "ptp", "macvlan"];
const UPLINK: &str = "ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up";

/// A pod that has routes of both families over another interface.
fn pod_with_a_first_network(bed: &Bed) -> Pod {
    let pod = bed.pod("c1");
    pod.sh("ip link add first type veth peer name wire; ip link set wire up
        ip addr add 10.244.0.9/24 dev first; ip addr add fd00:44::9/64 dev first nodad; ip link set first up
        for to in 0.0.0.0/0 10.9.0.0/16; do ip route add $to via 10.244.0.1; done
        for to in ::/0 fd09::/16; do ip -6 route add $to via fd00:44::1; done");
    pod
}

// Proves: COMPAT-11
#[test]
fn of_equal_routes_the_newest_is_used_as_with_the_reference() {
    let routes = json!([{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16"}, {"dst": "10.8.0.0/16"},
        {"dst": "10.8.0.0/16", "gw": "10.1.0.77"}, {"dst": "::/0"}, {"dst": "fd09::/16"}, {"dst": "fd08::/16"},
        {"dst": "fd08::/16", "gw": "fd00:1::77"}]);
    let subnets = ["10.1.0.0/24", "fd00:1::/64"];
    for kind in TYPES {
        let (theirs, ours) = (Bed::new(), Bed::new());
        let [their_pod, our_pod] = [&theirs, &ours].map(|bed| {
            bed.sh(UPLINK);
            pod_with_a_first_network(bed)
        });
        reference(&theirs, "ADD", &conf(&theirs, kind, &subnets, routes.clone()), &their_pod).unwrap();
        ours.add(&conf(&ours, kind, &subnets, routes.clone()), &our_pod).unwrap();
        // In the kernel's order. Of several hops of an IPv6 route chance takes one.
        let look = |pod: &Pod| {
            let text = pod.sh("ip -4 route; ip -6 route | grep -v fe80
                for to in 8.8.8.8 10.9.0.1 10.8.0.1 10.1.0.3 10.244.0.3 fd00:1::3 fd00:44::3; do ip route get $to; done");
            normalised(&text, pod)
        };
        alike(kind, || (look(&their_pod), look(&our_pod)));
        let way = |to: &str| our_pod.sh(&format!("ip route get {to}"));
        for to in ["8.8.8.8", "10.9.0.1"] {
            assert!(way(to).contains("via 10.1.0.1 dev eth0"), "{kind}: {}", way(to));
        }
        assert!(way("10.8.0.1").contains("via 10.1.0.77"), "{kind}: {}", way("10.8.0.1"));
    }
}

// Proves: COMPAT-12
#[test]
fn a_route_of_a_family_without_addresses_is_left_out_of_pod_and_result() {
    let both = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
    for kind in TYPES {
        for (subnet, kept) in [("10.1.0.0/24", "0.0.0.0/0"), ("fd00:1::/64", "::/0")] {
            let bed = Bed::new();
            let pod = bed.pod("c1");
            bed.sh(UPLINK);
            let conf = conf(&bed, kind, &[subnet], both.clone());
            let result = bed.add(&conf, &pod).unwrap();
            let told: Vec<_> = result.routes.iter().map(|route| route.dst.to_string()).collect();
            assert_eq!(told, [kept], "{kind}");
            let count = |family: &str| pod.sh(&format!("ip {family} route show default | wc -l"));
            let expected = if kept == "::/0" { ["0", "1"] } else { ["1", "0"] };
            assert_eq!([count("-4"), count("-6")], expected, "{kind} {subnet}: {}", pod.state());
            bed.check(&conf, &pod, &result).unwrap();
            bed.del(&conf, &pod).unwrap();
        }
    }
}

// Proves: COMPAT-12
#[test]
fn a_route_with_a_gateway_or_with_another_address_of_the_pod_stays() {
    let bed = Bed::new();
    bed.sh(UPLINK);
    let with_gateway = json!([{"dst": "fd08::/16", "gw": "fe80::1"}]);
    for kind in TYPES {
        let pod = bed.pod(kind);
        let conf = conf(&bed, kind, &["10.1.0.0/24"], with_gateway.clone());
        let result = bed.add(&conf, &pod).unwrap();
        assert_eq!(pod.sh("cat /proc/sys/net/ipv6/conf/eth0/accept_ra"), "0");
        assert!(pod.sh("ip -6 route").contains("fd08::/16 via fe80::1 dev eth0"), "{kind}: {}", pod.state());
        bed.check(&conf, &pod, &result).unwrap();
    }
    let unreachable = conf(&bed, "macvlan", &["10.1.0.0/24"], json!([{"dst": "::/0", "gw": "fd00:1::1"}]));
    let error = bed.add(&unreachable, &bed.pod("unreachable")).unwrap_err();
    assert!(error.msg.contains("`::/0` via `fd00:1::1`"), "{error}");
    // The packet leaves with the address of the first network.
    let pod = pod_with_a_first_network(&bed);
    let direct = conf(&bed, "macvlan", &["fd00:1::/64"], json!([{"dst": "10.7.0.0/16"}]));
    assert_eq!(bed.add(&direct, &pod).unwrap().routes.len(), 1);
    assert!(pod.sh("ip route get 10.7.0.1").contains("dev eth0 src 10.244.0.9"), "{}", pod.state());
}
