//! The same configurations through the reference plugins and ours, in twin hosts: the results and the kernel's state
//! must be the same, names and MAC addresses apart.
//!
//! What differs on purpose, and is therefore taken out before the comparison:
//!
//! | difference | why |
//! | --- | --- |
//! | IPv6 link-local addresses and routes of a pod without IPv6 addresses | router advertisements could reroute it (S-10) |
//! | `nodad` on a gateway's address | every node has that address on its bridge, so a duplicate is meant |
//! | the network at the end of a MAC address check's comments | GC must tell its own from other networks' |
//! | `mtu` of an interface in the result | it came with 1.1.0, which the reference of this age does not know |
//! | `ndisc_notify` of a macvlan, `keep_addr_on_down` | the reference of this age does not set them yet |
//! | the length of the transmit queue | the reference of this age sets 0, where no queue is used anyway |
//! | the alias of a host-device that came back | it says nothing any more; the reference of this age leaves it |
//! | CHECK of a route that names no gateway | the reference of this age never finds one |
//! | `dns: {}` in the reference's result | it says as much as no `dns` |

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, Pod, same, with, with_result};

const FOLDER: &str = "/usr/lib/cni";

/// Runs the reference; its answer.
#[track_caller]
pub(crate) fn reference(bed: &Bed, verb: &str, conf: &Value, pod: &Pod) -> Result<Value, Value> {
    let plugin = Path::new(FOLDER).join(conf["type"].as_str().unwrap());
    assert!(
        plugin.is_file(),
        "{} is missing: install the package `containernetworking-plugins`",
        plugin.display()
    );
    let run = || {
        let mut child = Command::new(&plugin)
            .envs([("CNI_COMMAND", verb), ("CNI_CONTAINERID", &pod.id), ("CNI_IFNAME", "eth0")])
            .env("CNI_NETNS", pod.path())
            .env("CNI_PATH", FOLDER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(conf.to_string().as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = bed.host.run(run).unwrap();
    let answer = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    if output.status.success() { Ok(answer) } else { Err(answer) }
}

/// Names and MAC addresses that chance gave, by the order they first stand there.
pub(crate) fn normalised(text: &str, pod: &Pod) -> String {
    let text = text.replace(pod.path().to_str().unwrap(), "SANDBOX").replace(" nodad", "");
    let text = text.replace(", net d6077a19f538d533", "");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        let (before, from) = rest.split_at(at);
        let length = from.find(|c: char| !(c.is_ascii_alphanumeric() || c == ':')).unwrap_or(from.len());
        let (word, after) = from.split_at(length);
        out += before;
        let mac = |w: &str| {
            w.split(':').count() == 6
                && w.split(':').all(|p| (1..=2).contains(&p.len()) && u8::from_str_radix(p, 16).is_ok())
        };
        let veth = |w: &str| w.trim_end_matches(':').len() == 12 && w.starts_with("veth");
        out += if mac(word) && !word.starts_with("ff:ff") && !word.starts_with("01:80") {
            "MAC"
        } else if veth(word) {
            "VETH"
        } else {
            word
        };
        rest = after;
    }
    (out + rest).replace("group default \\", "group default\\")
}

fn settings(pod: &Pod, link: &str) -> String {
    let names = ["ipv4/conf/LINK/arp_notify", "ipv6/conf/LINK/accept_dad"];
    let of = |name: &&str| {
        format!("{name} {}\n", pod.sh(&format!("cat /proc/sys/net/{}", name.replace("LINK", link))))
    };
    names.iter().map(of).collect()
}

pub(crate) fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// MACs tie result and kernel together: each must stand where the result says.
fn mac_of_each_interface(result: &Value) -> HashMap<&str, &str> {
    let interfaces = result["interfaces"].as_array().unwrap();
    interfaces.iter().map(|i| (i["name"].as_str().unwrap(), i["mac"].as_str().unwrap())).collect()
}

/// The reference's gateway goes through duplicate address detection, so its routes come a second later.
#[track_caller]
pub(crate) fn alike(what: &str, both: impl Fn() -> (String, String)) {
    let deadline = Instant::now() + PATIENCE;
    let (mut theirs, mut ours) = both();
    while theirs != ours && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        (theirs, ours) = both();
    }
    same(what, &theirs, &ours);
}

/// ADD, then DEL, by both; `prepare` readies each host.
fn equal(further: &Value, prepare: &str) {
    let (theirs, ours) = (Bed::new(), Bed::new());
    let (their_pod, our_pod) = (theirs.pod("c1"), ours.pod("c1"));
    for bed in [&theirs, &ours] {
        bed.sh(prepare);
    }
    let conf = |bed: &Bed| {
        let mut conf = with(&json!({"cniVersion": "1.0.0", "name": "blue"}), further.clone());
        if conf["ipam"]["type"] == "host-local" {
            conf["ipam"]["dataDir"] = json!(bed.leases.path());
        }
        conf
    };
    let mut expected = reference(&theirs, "ADD", &conf(&theirs), &their_pod).unwrap();
    if expected["dns"] == json!({}) {
        expected.as_object_mut().unwrap().remove("dns");
    }
    let result = ours.add(&conf(&ours), &our_pod).unwrap();
    let mut result: Value =
        serde_json::from_slice(&result.to_json("1.0.0".parse().unwrap()).unwrap()).unwrap();
    for interface in result["interfaces"].as_array_mut().unwrap() {
        interface.as_object_mut().unwrap().remove("mtu");
    }
    assert_eq!(normalised(&result.to_string(), &our_pod), normalised(&expected.to_string(), &their_pod));
    for (name, mac) in mac_of_each_interface(&result) {
        let found = [ours.sh("ip -o link"), our_pod.sh("ip -o link")].concat();
        let line = found
            .lines()
            .find(|l| l.contains(&format!(" {name}:")) || l.contains(&format!(" {name}@")))
            .unwrap();
        assert!(line.contains(mac), "{line}");
    }
    let whole = |bed: &Bed, pod: &Pod| {
        let link = if conf(bed)["type"] == "loopback" { "lo" } else { "eth0" };
        let rules =
            bed.sh("iptables -t nat -S; ip6tables -t nat -S; bridge link | grep -o ' state [a-z]*' || true");
        sorted(&normalised(
            &format!("{}\n{rules}\npod\n{}{}", bed.state(), pod.state(), settings(pod, link)),
            pod,
        ))
    };
    alike(&format!("after ADD of {further}"), || (whole(&theirs, &their_pod), whole(&ours, &our_pod)));
    if further["type"] != "loopback" {
        checks_alike(
            further,
            (&theirs, &their_pod, &conf(&theirs), &expected),
            (&ours, &our_pod, &conf(&ours), &result),
        );
    }
    reference(&theirs, "DEL", &conf(&theirs), &their_pod).unwrap();
    ours.del(&conf(&ours), &our_pod).unwrap();
    if further["type"] != "loopback" {
        let whole = |bed: &Bed, pod: &Pod| {
            let rules = bed.sh("iptables -t nat -S; ip6tables -t nat -S");
            sorted(&normalised(&format!("{}\n{rules}\npod\n{}", bed.state(), pod.state()), pod))
        };
        if further["type"] == "host-device" {
            theirs.sh("ip link set dev0 alias ''");
        }
        alike(&format!("after DEL of {further}"), || (whole(&theirs, &their_pod), whole(&ours, &our_pod)));
    }
}

type Attached<'a> = (&'a Bed, &'a Pod, &'a Value, &'a Value);

/// CHECK by both: of what is as it was made, and of an interface that lost its addresses and routes, or is gone.
fn checks_alike(what: &Value, theirs: Attached<'_>, ours: Attached<'_>) {
    // The reference of this age looks for a route that names no gateway as one that has none, and never finds it.
    let mut without_route = (theirs.3.clone(), ours.3.clone());
    for result in [&mut without_route.0, &mut without_route.1] {
        if let Some(routes) = result["routes"].as_array_mut() {
            routes.retain(|route| route["dst"] == "0.0.0.0/0" || !route["gw"].is_null());
        }
    }
    let theirs = (theirs.0, theirs.1, theirs.2, &without_route.0);
    let ours = (ours.0, ours.1, ours.2, &without_route.1);
    let by_reference = |(bed, pod, conf, result): Attached<'_>| {
        reference(bed, "CHECK", &with(conf, json!({"prevResult": result})), pod).is_ok()
    };
    let by_us = |(bed, pod, conf, result): Attached<'_>| {
        let result = serde_json::from_value(result.clone()).unwrap();
        bed.check(conf, pod, &result).is_ok()
    };
    assert_eq!((by_reference(theirs), by_us(ours)), (true, true), "as it was made: {what}");
    // Each takes the other's.
    assert_eq!((by_reference(ours), by_us(theirs)), (true, true), "as the other made it: {what}");
    let has_addresses = what["ipam"].is_object();
    for (breaks, mends, counts) in [
        (
            "ip -4 addr save dev eth0 > DUMP; ip -4 addr flush dev eth0",
            "ip addr restore < DUMP",
            has_addresses,
        ),
        ("ip link set eth0 name away", "ip link set away name eth0", true),
    ] {
        if !counts {
            continue;
        }
        let files = tempfile::tempdir().unwrap();
        let script = |text: &str, who: &str| text.replace("DUMP", files.path().join(who).to_str().unwrap());
        theirs.1.sh(&script(breaks, "theirs"));
        ours.1.sh(&script(breaks, "ours"));
        assert_eq!((by_reference(theirs), by_us(ours)), (false, false), "{breaks}: {what}");
        theirs.1.sh(&script(mends, "theirs"));
        ours.1.sh(&script(mends, "ours"));
    }
}

/// What either made, the other's DEL takes away: a node changes from one to the other with its pods running.
fn crossed(further: &Value, prepare: &str) {
    let bed = Bed::new();
    bed.sh(prepare);
    let mut conf = with(&json!({"cniVersion": "1.0.0", "name": "blue"}), further.clone());
    conf["ipam"]["dataDir"] = json!(bed.leases.path());
    let warm = bed.pod("warm");
    bed.add(&conf, &warm).unwrap();
    bed.del(&conf, &warm).unwrap();
    drop(warm);
    let look = |pod: &Pod| {
        // The reference leaves the alias.
        let links = if further["type"] == "host-device" { "ip link set dev0 alias ''" } else { "true" };
        bed.sh(links);
        normalised(&format!("{}{}{}", bed.state(), bed.sh("iptables -t nat -S"), pod.state()), pod)
    };
    let pod = bed.pod("c1");
    let before = look(&pod);
    let made = reference(&bed, "ADD", &conf, &pod).unwrap();
    bed.del(&with(&conf, json!({"prevResult": made})), &pod).unwrap();
    alike(&format!("made by the reference, deleted by us: {further}"), || (before.clone(), look(&pod)));
    let made = bed.add(&conf, &pod).unwrap();
    reference(&bed, "DEL", &with_result(&conf, &made), &pod).unwrap();
    alike(&format!("made by us, deleted by the reference: {further}"), || (before.clone(), look(&pod)));
}

// Proves: PLG-COM-17, PLG-HL-7, PLG-HL-10
#[test]
fn what_the_reference_made_we_delete_and_the_reverse() {
    let uplink = "ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up";
    let device = "ip link add dev0 type veth peer name wire; ip link set wire up";
    for (conf, prepare) in [
        (
            json!({"type": "bridge", "bridge": "br0", "isGateway": true, "ipMasq": true, "ipMasqBackend": "iptables"}),
            "",
        ),
        (json!({"type": "ptp", "ipMasq": true, "ipMasqBackend": "iptables"}), ""),
        (json!({"type": "macvlan", "master": "up0"}), uplink),
        (json!({"type": "host-device", "device": "dev0"}), device),
    ] {
        crossed(&with(&conf, json!({"ipam": host_local()})), prepare);
    }
}

// Proves: PLG-COM-17, PLG-VLAN-8, PLG-IPVLAN-10
#[test]
#[ignore = "needs a kernel with VLAN and ipvlan links: run it in the guest kernel"]
fn vlan_and_ipvlan_of_the_reference_we_delete_and_the_reverse() {
    let uplink = "ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up";
    for conf in [json!({"type": "vlan", "vlanId": 7}), json!({"type": "ipvlan"})] {
        crossed(&with(&conf, json!({"master": "up0", "ipam": host_local()})), uplink);
    }
}

fn host_local() -> Value {
    json!({"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}]], "routes": [{"dst": "10.8.0.0/16"}]})
}

fn dual_stack() -> Value {
    json!({"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]]})
}

// Proves: PLG-BRIDGE-12, PLG-BRIDGE-15, PLG-BRIDGE-17, PLG-BRIDGE-20, PLG-COM-9
#[test]
fn bridge_does_what_the_reference_does() {
    let bridge = |further: Value| with(&json!({"type": "bridge", "bridge": "br0"}), further);
    for (conf, prepare) in [
        (json!({"ipam": host_local()}), ""),
        (json!({"ipam": host_local(), "isGateway": true, "hairpinMode": true, "mtu": 1400}), ""),
        (json!({"ipam": dual_stack(), "isDefaultGateway": true}), ""),
        (
            json!({"ipam": host_local(), "isGateway": true, "promiscMode": true, "forceAddress": true}),
            "ip link add br0 type bridge; ip addr add 10.99.0.1/24 dev br0",
        ),
        (json!({"ipam": host_local(), "macspoofchk": true}), ""),
        (json!({"ipam": host_local(), "isGateway": true, "ipMasq": true, "ipMasqBackend": "iptables"}), ""),
        (
            json!({"ipam": {"type": "static", "addresses": [{"address": "10.1.0.7/24", "gateway": "10.1.0.9"}],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.3.0.0/16", "gw": "10.1.0.5"}], "dns": {"nameservers": ["10.0.0.1"]}},
            "dns": {"domain": "example.org"}}),
            "",
        ),
    ] {
        equal(&bridge(conf), prepare);
    }
}

// Proves: PLG-PTP-2, PLG-PTP-3, PLG-PTP-4, PLG-COM-20
#[test]
fn ptp_does_what_the_reference_does() {
    let ptp = |further: Value| with(&json!({"type": "ptp"}), further);
    equal(&ptp(json!({"ipam": with(&host_local(), json!({"routes": [{"dst": "0.0.0.0/0"}]}))})), "");
    equal(&ptp(json!({"ipam": dual_stack(), "mtu": 1400, "ipMasq": true, "ipMasqBackend": "iptables"})), "");
}

// Proves: PLG-MACVLAN-1, PLG-MACVLAN-6
#[test]
fn macvlan_does_what_the_reference_does() {
    let uplink = "ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up";
    let macvlan = |further: Value| with(&json!({"type": "macvlan", "master": "up0"}), further);
    for conf in [
        json!({"ipam": host_local()}),
        json!({"ipam": dual_stack(), "mode": "private", "mtu": 1300}),
        json!({"mac": "02:00:00:00:00:17", "mode": "vepa", "ipam": host_local(), "dns": {"nameservers": ["10.0.0.1"]}}),
    ] {
        equal(&macvlan(conf), uplink);
    }
}

// Proves: PLG-HOSTDEV-5, PLG-HOSTDEV-6, PLG-HOSTDEV-7
#[test]
fn host_device_does_what_the_reference_does() {
    let device = "ip link add dev0 address 02:00:00:00:00:d0 type veth peer name wire; ip link set wire up";
    let host_device = |further: Value| with(&json!({"type": "host-device", "device": "dev0"}), further);
    for conf in [
        json!({}),
        json!({"ipam": host_local(), "dns": {"nameservers": ["10.0.0.1"]}}),
        json!({"device": null, "hwaddr": "02:00:00:00:00:d0", "ipam": dual_stack()}),
    ] {
        equal(&host_device(conf), device);
    }
}

// Proves: PLG-VLAN-3, PLG-VLAN-5
#[test]
#[ignore = "needs a kernel with VLAN links: run it in the guest kernel"]
fn vlan_does_what_the_reference_does() {
    let uplink = "ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up";
    let vlan = |further: Value| with(&json!({"type": "vlan", "master": "up0", "vlanId": 7}), further);
    equal(&vlan(json!({"ipam": host_local()})), uplink);
    equal(&vlan(json!({"ipam": dual_stack(), "mtu": 1300, "vlanId": 4094})), uplink);
}

// Proves: PLG-IPVLAN-2, PLG-IPVLAN-6
#[test]
#[ignore = "needs a kernel with ipvlan links: run it in the guest kernel"]
fn ipvlan_does_what_the_reference_does() {
    let uplink = "ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up";
    let ipvlan = |further: Value| with(&json!({"type": "ipvlan", "master": "up0"}), further);
    equal(&ipvlan(json!({"ipam": host_local(), "dns": {"nameservers": ["10.0.0.1"]}})), uplink);
    equal(&ipvlan(json!({"ipam": host_local(), "mode": "l3", "mtu": 1300})), uplink);
}

// Proves: PLG-LO-2
#[test]
fn loopback_does_what_the_reference_does() {
    equal(&json!({"type": "loopback"}), "");
}
