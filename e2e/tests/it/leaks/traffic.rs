//! What decides which packets pass, and how fast: traffic control, firewall rules old and new, settings of the kernel.

use super::{Bed, assert_told};

// Proves: T-1
#[test]
fn traffic_control_is_told() {
    let mut bed = Bed::new();
    bed.leak(
        "host",
        "tc qdisc add dev v0 root handle 1: tbf rate 1mbit burst 10k latency 10ms",
        "tc qdisc del dev v0 root",
        "tc qdisc `tbf 1: on v0` appeared",
    );
    bed.leak(
        "host",
        "tc qdisc add dev v0 ingress",
        "tc qdisc del dev v0 ingress",
        "tc qdisc `ingress ffff: on v0` appeared",
    );
    bed.leak(
        "pod 1",
        "tc qdisc add dev eth0 clsact",
        "tc qdisc del dev eth0 clsact",
        "tc qdisc `clsact ffff: on eth0` appeared",
    );
    bed.prepare("tc qdisc add dev v0 root handle 1: htb");
    bed.leak(
        "host",
        "tc class add dev v0 parent 1: classid 1:7 htb rate 1mbit",
        "tc class del dev v0 classid 1:7",
        "tc class `htb 1:7 on v0` appeared",
    );
    bed.leak(
        "host",
        "tc filter add dev v0 parent 1: protocol all prio 5 u32 match u32 0 0 flowid 1:1",
        "tc filter del dev v0 parent 1: prio 5",
        "tc filter `u32 5 at parent 1: of v0` appeared",
    );
    bed.prepare("tc class add dev v0 parent 1: classid 1:8 htb rate 1mbit");
    bed.leak(
        "host",
        "tc filter add dev v0 parent 1:8 protocol all prio 5 u32 match u32 0 0 flowid 1:1",
        "tc filter del dev v0 parent 1:8 prio 5",
        "tc filter `u32 5 at parent 1:8 of v0` appeared",
    );
    bed.prepare("tc qdisc add dev br0 clsact");
    for side in ["ingress", "egress"] {
        bed.leak(
            "host",
            &format!("tc filter add dev br0 {side} protocol all prio 6 u32 match u32 0 0 flowid 1:1"),
            &format!("tc filter del dev br0 {side} prio 6"),
            &format!("tc filter `u32 6 at {side} of br0` appeared"),
        );
    }
}

// Proves: T-1
#[test]
fn firewall_rules_old_and_new_are_told() {
    let mut bed = Bed::new();
    bed.leak(
        "host",
        "nft add table inet left",
        "nft delete table inet left",
        "firewall `table inet left` appeared",
    );
    for words in [
        "nft add table ip kept",
        "nft add chain ip kept c { type nat hook postrouting priority 100 ; }",
        "nft add set ip kept s { type ipv4_addr ; }",
        "nft add rule ip kept c counter accept",
    ] {
        bed.prepare(words);
    }
    bed.leak(
        "host",
        "nft add chain ip kept d",
        "nft delete chain ip kept d",
        "firewall `chain ip kept d` appeared",
    );
    bed.leak(
        "host",
        "nft add element ip kept s { 10.1.0.2 }",
        "nft delete element ip kept s { 10.1.0.2 }",
        "firewall `set ip kept s` changed",
    );
    let leaks = bed.plant(
        || bed.on_host("nft add rule ip kept c masquerade"),
        || {
            bed.on_host("nft flush chain ip kept c");
            bed.on_host("nft add rule ip kept c counter accept");
        },
    );
    assert_told(&leaks, "host: firewall `rule ip kept c` appeared: chain c");
}

// Proves: T-1
#[test]
fn a_rule_of_the_old_iptables_is_told() {
    let mut bed = Bed::new();
    // The first use makes the table, for good.
    bed.prepare("iptables-legacy -t nat -L -n");
    bed.leak(
        "host",
        "iptables-legacy -t nat -A POSTROUTING -s 10.1.0.2/32 -j MASQUERADE",
        "iptables-legacy -t nat -D POSTROUTING -s 10.1.0.2/32 -j MASQUERADE",
        "firewall `iptables-legacy-save nat` appeared",
    );
    bed.leak(
        "host",
        "iptables-legacy -t nat -N LEFT",
        "iptables-legacy -t nat -X LEFT",
        "firewall `iptables-legacy-save nat` appeared: line :LEFT",
    );
}

// Proves: T-1
#[test]
fn settings_are_told() {
    let bed = Bed::new();
    for (place, setting, was, is) in [
        ("host", "net/ipv4/ip_forward", "0", "1"),
        ("host", "net/ipv4/conf/v0/proxy_arp", "0", "1"),
        ("pod 1", "net/ipv6/conf/eth0/accept_ra", "1", "0"),
    ] {
        let key = setting.replace('/', ".");
        bed.leak(
            place,
            &format!("sysctl -q -w {key}={is}"),
            &format!("sysctl -q -w {key}={was}"),
            &format!("sysctl `{setting}` changed: value was `{was}`, is `{is}`"),
        );
    }
}
