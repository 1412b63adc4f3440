//! `bandwidth`: queues as the kernel lists them, and how many bytes really get through.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use manifold_cni::{CniResult, Verb, Version};
use manifold_net::Netns;
use manifold_plugins::bundled;
use manifold_plugins::meta::{BANDWIDTH, Bandwidth};
use serde_json::{Value, json};

use super::{add_both, chained, ptp};
use crate::bed::{Bed, Pod, fail_at, failing, same, with, with_result};
use crate::versions::call;

fn both_ways() -> Value {
    chained(
        "bandwidth",
        json!({"ingressRate": 16_000_000, "ingressBurst": 1_600_000, "egressRate": 8_000_000, "egressBurst": 800_000}),
    )
}

fn ifbs(bed: &Bed) -> Vec<String> {
    let listed = bed.sh("ip -o link show type ifb | sed -E 's/^[0-9]+: ([^:]+):.*/\\1/'");
    listed.lines().map(str::to_owned).collect()
}

// Proves: PLG-BW-4, PLG-BW-5, PLG-BW-6
#[test]
fn both_directions_get_a_bucket_and_the_result_tells_the_link_made_for_it() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let first = with(&ptp(&bed), json!({"mtu": 1400}));
    let (made, result) = add_both(&bed, &first, &both_ways(), &pod);
    let outer = &made.interfaces[0].name;
    let queues = bed.sh(&format!("tc -d qdisc show dev {outer}"));
    assert!(queues.contains("qdisc tbf 1: root") && queues.contains("rate 16Mbit burst 200000b"), "{queues}");
    assert!(queues.contains("lat 25ms") && queues.contains("qdisc ingress ffff:"), "{queues}");
    let [ifb] = &ifbs(&bed)[..] else { panic!("one") };
    assert!(ifb.len() == 15 && ifb.starts_with("bwp"), "{ifb}");
    let queues = bed.sh(&format!("tc -d qdisc show dev {ifb}"));
    assert!(queues.contains("qdisc tbf 1: root") && queues.contains("rate 8Mbit burst 100000b"), "{queues}");
    let filter = bed.sh(&format!("tc filter show dev {outer} parent ffff:"));
    assert!(
        filter.contains("protocol all pref 1 u32") && filter.contains("match 00000000/00000000"),
        "{filter}"
    );
    assert!(filter.contains(&format!("mirred (Egress Redirect to device {ifb}) stolen")), "{filter}");
    let link = bed.sh(&format!("ip link show {ifb}"));
    assert!(link.contains("mtu 1400") && link.contains(",UP"), "{link}");
    let mut expected = made.clone();
    expected.interfaces.push(manifold_cni::Interface {
        name: ifb.clone(),
        mac: bed.sh(&format!("cat /sys/class/net/{ifb}/address 2>/dev/null || true; ip -o link show {ifb} | sed -E 's/.*ether ([0-9a-f:]+).*/\\1/'")).lines().last().unwrap().into(),
        ..manifold_cni::Interface::default()
    });
    assert_eq!(result, expected);
    bed.check(&both_ways(), &pod, &result).unwrap();
}

/// Bytes per second from the first to the last, without the burst that may pass at once. Counted so, no delay of either
/// side can make it more than what really passed.
fn throughput(from: &Netns, to: &Netns, address: &str, bits_a_second: u64, burst_bits: u64) -> f64 {
    let listener = to.run(|| TcpListener::bind((address, 0)).unwrap()).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut sender = from.run(|| TcpStream::connect((address, port)).unwrap()).unwrap();
    let (mut receiver, _) = listener.accept().unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
    let wanted = bits_a_second / 8 * 2;
    std::thread::scope(|scope| {
        let begin = Instant::now();
        scope.spawn(move || {
            let block = [7_u8; 16 * 1024];
            while sender.write_all(&block).is_ok() {}
        });
        let (mut block, mut seen) = ([0_u8; 16 * 1024], 0_u64);
        while seen < wanted {
            seen += receiver.read(&mut block).unwrap() as u64;
        }
        let took = begin.elapsed().as_secs_f64();
        receiver.shutdown(std::net::Shutdown::Both).unwrap();
        drop(receiver);
        (seen - burst_bits / 8) as f64 / took
    })
}

/// Never above the limit; on a busy machine a try may stay below it, but not all of them.
#[track_caller]
fn within_ten_percent(what: &str, bits_a_second: u64, measure: impl Fn() -> f64) {
    let limit = bits_a_second as f64 / 8.0;
    let mut best: f64 = 0.0;
    for _ in 0..25 {
        let rate = measure() / limit;
        assert!(rate < 1.1, "{what}: {rate:.3} of the limit");
        best = best.max(rate);
        if best > 0.9 {
            return;
        }
    }
    panic!("{what}: no more than {best:.3} of the limit");
}

// Proves: PLG-BW-4, PLG-BW-5
#[test]
fn what_gets_through_is_within_ten_percent_of_the_limit() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let (_, result) = add_both(&bed, &ptp(&bed), &both_ways(), &pod);
    let own = result.ips[0].address.addr().to_string();
    within_ten_percent("to the pod", 16_000_000, || {
        throughput(&bed.host, &pod.netns, &own, 16_000_000, 1_600_000)
    });
    within_ten_percent("from the pod", 8_000_000, || {
        throughput(&pod.netns, &bed.host, "10.1.0.1", 8_000_000, 800_000)
    });
    bed.del(&both_ways(), &pod).unwrap();
    let free = bed.pod("b");
    bed.add(&ptp(&bed), &free).unwrap();
    let unlimited = || throughput(&free.netns, &bed.host, "10.1.0.1", 8_000_000, 0) > 2_000_000.0;
    assert!((0..10).any(|_| unlimited()), "another pod is not limited");
}

// Proves: PLG-BW-2
#[test]
fn without_a_limit_the_result_passes_through_and_a_written_one_beats_the_runtimes() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let before = bed.sh("tc qdisc; ip -o link show type ifb");
    let (made, result) = add_both(&bed, &ptp(&bed), &chained("bandwidth", json!({})), &pod);
    assert_eq!(made, result);
    assert_eq!(ifbs(&bed), [""; 0]);
    assert!(!bed.sh("tc qdisc").contains("tbf"), "{before}");
    let conf = chained(
        "bandwidth",
        json!({"ingressRate": 16_000_000, "ingressBurst": 1_600_000,
        "runtimeConfig": {"bandwidth": {"egressRate": 8_000_000, "egressBurst": 800_000}}}),
    );
    bed.add(&with_result(&conf, &made), &pod).unwrap();
    assert_eq!(ifbs(&bed), [""; 0], "the runtime's limit does not count");
    assert!(bed.sh("tc qdisc").contains("rate 16Mbit"));
}

// Proves: PLG-BW-3
#[test]
fn only_a_veth_pair_whose_other_end_is_in_the_result_is_limited() {
    let bed = Bed::new();
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
    let refused = |pod: &Pod, made: &CniResult, part: &str| {
        let before = bed.state();
        let error = bed.add(&with_result(&both_ways(), made), pod).unwrap_err();
        assert!(error.code == 7 && error.msg.contains(part), "{error}");
        same("host", &before, &bed.state());
    };
    let error = bed.add(&both_ways(), &bed.pod("z")).unwrap_err();
    assert!(error.msg.contains("chained plugin"), "{error}");
    let macvlan = json!({"cniVersion": "1.1.0", "name": "blue", "type": "macvlan", "master": "up0"});
    let pod = bed.pod("a");
    let made = bed.add(&macvlan, &pod).unwrap();
    refused(&pod, &made, "limits only veth pairs");
    let pod = bed.pod("b");
    let made = bed.add(&ptp(&bed), &pod).unwrap();
    refused(&pod, &CniResult { interfaces: Vec::new(), ..CniResult::default() }, "lists no interfaces");
    let mut foreign = made.clone();
    foreign.interfaces[0].name = "up1".into();
    refused(&pod, &foreign, "no other end among the host's links");
    let mut inside = made.clone();
    inside.interfaces[0].sandbox = "/run/netns/x".into();
    refused(&pod, &inside, "no other end among the host's links");
}

// Proves: PLG-BW-7
#[test]
fn two_limited_attachments_of_one_network_in_one_pod_do_not_collide() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let bridge = json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0"});
    for ifname in ["net1", "net2"] {
        let made = bed.add_as(&bridge, &pod, ifname, "").unwrap();
        bed.add_as(&with_result(&both_ways(), &made), &pod, ifname, "").unwrap();
    }
    let both = ifbs(&bed);
    assert_eq!(both.len(), 2);
    bed.del_at(&both_ways(), &pod.at("net1", "").detach()).unwrap();
    assert_eq!(ifbs(&bed).len(), 1);
    bed.del_at(&both_ways(), &pod.at("net2", "").detach()).unwrap();
    assert_eq!(ifbs(&bed), [""; 0]);
    // The name that the reference gives: network and container alone.
    let hashed = bed.sh("printf %s bluea | sha512sum | cut -c1-12");
    bed.sh(&format!("ip link add bwp{hashed} type ifb"));
    bed.del_at(&both_ways(), &pod.at("net1", "").detach()).unwrap();
    assert_eq!(ifbs(&bed), [""; 0]);
}

// Proves: PLG-BW-8
#[test]
fn check_finds_what_is_missing_and_del_comes_as_often_as_it_likes() {
    for (script, complaint) in [
        ("tc qdisc del dev OUTER root", "not limited any more"),
        ("tc qdisc replace dev OUTER root handle 1: tbf rate 1mbit burst 10kb latency 25ms", "is limited to"),
        ("tc qdisc del dev OUTER ingress", "is not redirected through"),
        ("tc qdisc del dev IFB root", "not limited any more"),
        ("ip link del IFB", "is gone"),
    ] {
        let bed = Bed::new();
        let pod = bed.pod("a");
        let (made, result) = add_both(&bed, &ptp(&bed), &both_ways(), &pod);
        bed.check(&both_ways(), &pod, &result).unwrap();
        let script = script.replace("OUTER", &made.interfaces[0].name).replace("IFB", &ifbs(&bed)[0]);
        bed.sh(&script);
        let error = bed.check(&both_ways(), &pod, &result).unwrap_err();
        assert!(error.msg.contains(complaint), "after `{script}`: {error}");
        for _ in 0..2 {
            bed.del(&both_ways(), &pod).unwrap();
            assert_eq!(ifbs(&bed), [""; 0]);
        }
        bed.del_at(&both_ways(), &pod.without_netns(None)).unwrap();
    }
}

// Proves: PLG-BW-8, PLG-COM-19
#[test]
fn gc_drops_the_links_of_the_dead_of_its_own_network_only() {
    let bed = Bed::new();
    let (alive, dead, other) = (bed.pod("alive"), bed.pod("dead"), bed.pod("other"));
    add_both(&bed, &ptp(&bed), &both_ways(), &alive);
    let of_alive = ifbs(&bed);
    add_both(&bed, &ptp(&bed), &both_ways(), &dead);
    let red = json!({"name": "red"});
    add_both(&bed, &ptp(&bed), &with(&both_ways(), red), &other);
    bed.sh("ip link add ifb9 type ifb");
    bed.gc(&both_ways(), &[&alive]).unwrap();
    let left = ifbs(&bed);
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left.contains(&of_alive[0]) && left.contains(&"ifb9".to_owned()), "{left:?}");
}

// Proves: PLG-BW-9, PLG-COM-1
#[test]
fn versions_before_0_3_0_are_refused() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let first: Vec<&str> = bundled("bandwidth").unwrap().versions().iter().map(|v| v.as_str()).collect();
    assert_eq!(first, ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
    for version in Version::ALL {
        let first = with(&ptp(&bed), json!({"cniVersion": version.as_str()}));
        let second = with(&both_ways(), json!({"cniVersion": version.as_str()}));
        let made = call(&bed, Verb::Add, &first, &pod).unwrap();
        let prev: Value = serde_json::from_slice(&made).unwrap();
        let answer = call(&bed, Verb::Add, &with(&second, json!({"prevResult": prev})), &pod);
        assert_eq!(answer.is_ok(), version >= Version::V0_3_0, "{version}");
        assert_eq!(ifbs(&bed).len(), usize::from(version >= Version::V0_3_0));
        if version >= Version::V0_3_0 {
            call(&bed, Verb::Del, &second, &pod).unwrap();
        }
        call(&bed, Verb::Del, &first, &pod).unwrap();
    }
}

// Proves: PLG-COM-16
#[test]
fn a_failure_after_any_step_takes_everything_back() {
    let plugin = Bandwidth { after_step: failing };
    let mut failed = 0;
    for step in 0.. {
        let bed = Bed::new();
        let pod = bed.pod("a");
        let made = bed.add(&ptp(&bed), &pod).unwrap();
        let look = || bed.state() + &bed.sh("tc qdisc | sed -E 's/dev veth[0-9a-f]+/dev veth/'");
        let before = look();
        fail_at(step);
        let outcome = bed.add_with(&plugin, &with_result(&both_ways(), &made), &pod, "eth0", "");
        fail_at(usize::MAX);
        if outcome.is_ok() {
            break;
        }
        same(&format!("after step {step}"), &before, &look());
        failed += 1;
    }
    assert_eq!(failed, 4);
    // What a killed ADD left is in nobody's way.
    let bed = Bed::new();
    let pod = bed.pod("a");
    let (made, _) = add_both(&bed, &ptp(&bed), &both_ways(), &pod);
    bed.add_with(&BANDWIDTH, &with_result(&both_ways(), &made), &pod, "eth0", "").unwrap();
    assert_eq!(ifbs(&bed).len(), 1);
}
