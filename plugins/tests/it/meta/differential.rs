//! The same chains through the reference plugins and ours, in twin hosts: the results and the kernel's state must be
//! the same, names and MAC addresses apart.
//!
//! In front of both stands our own plugin, so that only the chained one differs.

use manifold_cni::CniResult;
use serde_json::{Value, json};

use crate::bed::{Bed, Pod, with, with_result};
use crate::differential::{alike, normalised, reference, sorted};

/// What is compared besides links, addresses, routes and rules.
struct Twin<'a> {
    first: &'a dyn Fn(&Bed) -> Value,
    second: &'a dyn Fn(&Bed) -> Value,
    /// Further facts about host and pod.
    look: &'a dyn Fn(&Bed, &Pod) -> String,
}

fn add(bed: &Bed, twin: &Twin<'_>, pod: &Pod) -> (Value, CniResult) {
    let version = json!({"cniVersion": "1.0.0"});
    let made = bed.add(&with(&(twin.first)(bed), version.clone()), pod).unwrap();
    (with_result(&with(&(twin.second)(bed), version), &made), made)
}

fn without_mtu(mut result: Value) -> Value {
    for interface in result["interfaces"].as_array_mut().into_iter().flatten() {
        interface.as_object_mut().unwrap().remove("mtu");
    }
    if result["dns"] == json!({}) {
        result.as_object_mut().unwrap().remove("dns");
    }
    result
}

/// Names of links of `bandwidth` and of chains of `portmap` differ, as ours have the interface in them; the links have an
/// alias besides.
fn nameless(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        if words.last().is_some_and(|before| before == "packets" || before == "bytes") {
            words.push("N".into());
            continue;
        }
        let hashed = [("bwp", 12), ("CNI-DN-", 21)].into_iter().find_map(|(prefix, digits)| {
            let from = word.find(prefix)? + prefix.len();
            let rest = word.get(from + digits..)?;
            Some(format!("{}HASH{rest}", &word[..from]))
        });
        words.push(hashed.unwrap_or_else(|| word.to_owned()));
    }
    let text = words.join(" ").replace(r"\    alias bandwidth d6077a19f538d533 c1 eth0", "");
    // nft prints the comments of iptables as nothing, between two spaces.
    text.lines().map(|line| line.replace("  ", " ").trim_end().to_owned() + "\n").collect()
}

fn equal(twin: &Twin<'_>) {
    let (theirs, ours) = (Bed::new(), Bed::new());
    let (their_pod, our_pod) = (theirs.pod("c1"), ours.pod("c1"));
    let (their_conf, _) = add(&theirs, twin, &their_pod);
    let (our_conf, _) = add(&ours, twin, &our_pod);
    let what = our_conf["type"].as_str().unwrap().to_owned();
    let expected = reference(&theirs, "ADD", &their_conf, &their_pod).unwrap();
    let result = ours.add(&our_conf, &our_pod).unwrap();
    let json: Value = serde_json::from_slice(&result.to_json("1.0.0".parse().unwrap()).unwrap()).unwrap();
    assert_eq!(
        nameless(&normalised(&without_mtu(json.clone()).to_string(), &our_pod)),
        nameless(&normalised(&without_mtu(expected.clone()).to_string(), &their_pod))
    );
    let whole = |bed: &Bed, pod: &Pod| {
        let text = format!("{}\n{}\npod\n{}", bed.state(), (twin.look)(bed, pod), pod.state());
        sorted(&nameless(&normalised(&text, pod)))
    };
    let both = || (whole(&theirs, &their_pod), whole(&ours, &our_pod));
    alike(&format!("{what}: after ADD of {our_conf}"), both);
    let (their_conf, our_conf) =
        (with(&their_conf, json!({"prevResult": expected})), with(&our_conf, json!({"prevResult": json})));
    // The reference of this age misses the chain of a family that the pod has no address of.
    if what != "portmap" {
        reference(&theirs, "CHECK", &their_conf, &their_pod).unwrap();
    }
    ours.check(&our_conf, &our_pod, &result).unwrap();
    reference(&theirs, "DEL", &their_conf, &their_pod).unwrap();
    ours.del(&our_conf, &our_pod).unwrap();
    alike(&format!("{what}: after DEL of {our_conf}"), both);
}

// Proves: PLG-TUNING-3, PLG-TUNING-6, PLG-TUNING-7, PLG-TUNING-8
#[test]
fn tuning_does_what_the_reference_does() {
    let look = |bed: &Bed, pod: &Pod| {
        let mut text = pod.sh(
            "ip -o link show eth0; cat /proc/sys/net/ipv4/conf/eth0/arp_filter /proc/sys/net/core/somaxconn",
        );
        if let Ok(saved) = std::fs::read(bed.leases.path().join("tuning/c1_eth0.json")) {
            let mut saved: Value = serde_json::from_slice(&saved).unwrap();
            saved.as_object_mut().unwrap().remove("network");
            text += &format!("\n{saved}");
        }
        text
    };
    for conf in [
        json!({"sysctl": {"net.ipv4.conf.eth0.arp_filter": "1", "net.core.somaxconn": "500"}}),
        json!({"mtu": 1400, "promisc": true}),
        json!({"mac": "02:00:00:00:00:07", "allmulti": true}),
        json!({"runtimeConfig": {"mac": "02:00:00:00:00:09"}, "args": {"cni": {"mtu": 1300, "allmulti": false}}}),
    ] {
        let second = |bed: &Bed| {
            super::chained(
                "tuning",
                with(&json!({"dataDir": bed.leases.path().join("tuning")}), conf.clone()),
            )
        };
        equal(&Twin { first: &without_routes, second: &second, look: &look });
    }
}

/// The reference sets the link down for a new MAC address, which loses its routes; ours does not. Without an address
/// there is none to lose.
fn without_routes(_bed: &Bed) -> Value {
    json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0"})
}

// Proves: PLG-SBR-4, PLG-SBR-7, PLG-SBR-8
#[test]
fn sbr_does_what_the_reference_does() {
    let bridge = |bed: &Bed| {
        let routes = json!([{"dst": "0.0.0.0/0"}, {"dst": "10.77.0.0/16", "gw": "10.1.0.9"}]);
        json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0", "isGateway": true,
            "ipam": with(&bed.host_local("10.1.0.0/24"), json!({"routes": routes}))})
    };
    let second = |_: &Bed| super::chained("sbr", json!({}));
    for first in [&bridge as &dyn Fn(&Bed) -> Value, &super::ptp] {
        equal(&Twin { first, second: &second, look: &|_, _| String::new() });
    }
}

/// The reference redirects twice, of which the second time is never reached.
fn queues(bed: &Bed, _: &Pod) -> String {
    bed.sh(
        r"(tc -d qdisc show; for dev in $(ip -o link show type veth | sed -E 's/^[0-9]+: ([^@]+)@.*/\1/'); do
               tc filter show dev $dev parent ffff:; done) | grep -E 'tbf|ingress|u32|match|mirred' | grep -v 'action order 2' |
           sed -E 's/dev (bwp|veth)[0-9a-f]+/dev \1/; s/device bwp[0-9a-f]+/device bwp/; s/refcnt [0-9]+//'",
    )
}

// Proves: PLG-BW-4, PLG-BW-5, PLG-BW-6, PLG-BW-8
#[test]
fn bandwidth_does_what_the_reference_does() {
    for conf in [
        json!({"ingressRate": 16_000_000, "ingressBurst": 1_600_000, "egressRate": 8_000_000, "egressBurst": 800_000}),
        json!({"ingressRate": 1_000_000, "ingressBurst": 10_000_000}),
        json!({"egressRate": 123_456_789, "egressBurst": 98_765_432}),
    ] {
        let second = |_: &Bed| super::chained("bandwidth", conf.clone());
        equal(&Twin { first: &super::ptp, second: &second, look: &queues });
    }
}

/// The hash in the name of a container's chain, which has the interface in ours.
fn port_rules(bed: &Bed, _: &Pod) -> String {
    bed.sh(r"for tool in iptables ip6tables; do
              $tool -t nat -S | sed -E 's/CNI-DN-[0-9a-f]+/CNI-DN-HASH/g'; done
          cat /proc/sys/net/ipv4/conf/br0/route_localnet")
}

// Proves: PLG-PORTMAP-6, PLG-PORTMAP-8, PLG-PORTMAP-11
#[test]
fn portmap_does_what_the_reference_does() {
    let bridge = |bed: &Bed| {
        // The reference makes the empty chains of the other family too.
        bed.sh("for chain in PREROUTING INPUT OUTPUT POSTROUTING; do
            ip6tables -t nat -A $chain -j ACCEPT; ip6tables -t nat -D $chain -j ACCEPT; done");
        json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0", "isGateway": true,
            "ipam": bed.host_local("10.1.0.0/24")})
    };
    let many: Vec<Value> =
        (1..=20).map(|n| json!({"hostPort": n, "containerPort": 80, "protocol": "tcp"})).collect();
    for (further, mappings) in [
        (json!({}), json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}])),
        (
            json!({"snat": false}),
            json!([{"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "127.0.0.5"}]),
        ),
        (json!({"markMasqBit": 4}), json!(many)),
        (
            json!({"conditionsV4": ["-s", "192.0.2.0/24"]}),
            json!([{"hostPort": 9, "containerPort": 80, "protocol": "tcp"},
            {"hostPort": 9, "containerPort": 53, "protocol": "udp", "hostIP": "0.0.0.0"}]),
        ),
    ] {
        let second = |_: &Bed| {
            let further = with(&further, json!({"runtimeConfig": {"portMappings": mappings}}));
            // The reference of this age does not know `backend`, and has only this one.
            with(&super::chained("portmap", json!({"backend": "iptables"})), further)
        };
        equal(&Twin { first: &bridge, second: &second, look: &port_rules });
    }
}

// Proves: PLG-VRF-3, PLG-VRF-4, PLG-VRF-5
#[test]
#[ignore = "needs a kernel with VRF links: run it in the guest kernel"]
fn vrf_does_what_the_reference_does() {
    // The reference of this age loses the routes of the interface.
    let bridge = |bed: &Bed| {
        json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0", "isGateway": true,
            "ipam": bed.host_local("10.1.0.0/24")})
    };
    for conf in [json!({"vrfname": "blue"}), json!({"vrfname": "blue", "table": 1001})] {
        let second = |_: &Bed| super::chained("vrf", conf.clone());
        equal(&Twin { first: &bridge, second: &second, look: &|_, _| String::new() });
    }
}

// Proves: PLG-FW-3, PLG-FW-5, PLG-FW-6
#[test]
fn firewall_does_what_the_reference_does() {
    let bridge = |bed: &Bed| {
        json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0", "isGateway": true,
            "ipam": bed.host_local("10.1.0.0/24")})
    };
    // Ours say which attachment they are of.
    let look = |bed: &Bed, _: &Pod| {
        bed.sh(r#"iptables -S | sed -E 's/ -m comment --comment "d6077a19f538d533[^"]*"//'"#)
    };
    for conf in
        [json!({}), json!({"iptablesAdminChainName": "MINE"}), json!({"ingressPolicy": "same-bridge"})]
    {
        let second =
            |_: &Bed| with(&super::chained("firewall", json!({"backend": "iptables"})), conf.clone());
        equal(&Twin { first: &bridge, second: &second, look: &look });
    }
}
