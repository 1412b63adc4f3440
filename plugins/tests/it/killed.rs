//! ADD killed after each of its steps: two DELs leave nothing, with the namespace and without.
//!
//! The plugin runs in a process of its own, this executable once more, which sends itself SIGKILL: nothing is undone,
//! every lock is free. As the runtime heard no result, its DEL has none to give.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Instant;

use manifold_cni::{CniError, Plugin};
use manifold_plugins::interface::{Bond, Bridge, Dummy, HostDevice, Ipvlan, Macvlan, Ptp, Sriov, Tap, Vlan};
use manifold_plugins::meta::{Bandwidth, FIREWALL, Firewall, Portmap, Sbr, TUNING, Tuning, Vrf};
use nix::sys::signal::{Signal, raise};
use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, Pod, fail_at, failing, input, same, with, with_result};

const CALL: &str = "MANIFOLD_TEST_KILLED_CALL";

fn dies(step: &'static str) -> Result<(), CniError> {
    if failing(step).is_err() {
        raise(Signal::SIGKILL).unwrap();
    }
    Ok(())
}

fn dying(kind: &str) -> Box<dyn Plugin> {
    let after_step = dies;
    match kind {
        "bridge" => Box::new(Bridge { after_step }),
        "ptp" => Box::new(Ptp { after_step }),
        "macvlan" => Box::new(Macvlan { after_step }),
        "vlan" => Box::new(Vlan { after_step }),
        "ipvlan" => Box::new(Ipvlan { after_step }),
        "dummy" => Box::new(Dummy { after_step }),
        "tap" => Box::new(Tap { after_step }),
        "host-device" => Box::new(HostDevice { after_step }),
        "bond" => Box::new(Bond { after_step }),
        "sriov" => Box::new(Sriov { after_step, state: "/var/lib/cni/sriov" }),
        "tuning" => Box::new(Tuning { after_step, ..TUNING }),
        "sbr" => Box::new(Sbr { after_step }),
        "bandwidth" => Box::new(Bandwidth { after_step }),
        "portmap" => Box::new(Portmap { after_step, ..manifold_plugins::meta::PORTMAP }),
        "vrf" => Box::new(Vrf { after_step }),
        "firewall" => Box::new(Firewall { after_step, ..FIREWALL }),
        other => panic!("no plugin `{other}` has steps"),
    }
}

#[test]
#[ignore = "runs as a child of another test"]
fn the_one_that_is_killed() {
    let call: Value = serde_json::from_str(&std::env::var(CALL).unwrap()).unwrap();
    let conf = &call["conf"];
    let mut at = Bed::new().pod(call["id"].as_str().unwrap()).at("eth0", "");
    at.netns = call["netns"].as_str().unwrap().into();
    fail_at(usize::try_from(call["step"].as_u64().unwrap()).unwrap());
    dying(conf["type"].as_str().unwrap()).add(&input(conf), &at).unwrap();
}

/// ADD in a process that is killed after this step. `false`: it has no such step, and the ADD is done.
fn killed(bed: &Bed, pod: &Pod, conf: &Value, step: usize) -> bool {
    let call = json!({"conf": conf, "id": pod.id, "netns": pod.path(), "step": step}).to_string();
    let run = || {
        // Also where the file is another one by now.
        Command::new("/proc/self/exe")
            .args(["--ignored", "--exact", "--nocapture", "killed::the_one_that_is_killed"])
            .env(CALL, call)
            .output()
            .unwrap()
    };
    let output = bed.host.run(run).unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let by_signal = output.status.signal() == Some(9);
    assert!(by_signal || output.status.success() && said.contains("1 passed"), "{conf}, step {step}: {said}");
    by_signal
}

/// What becomes of the pod before its DEL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Netns {
    Stays,
    Goes,
}

/// Kills the last plugin of the list after each of its steps; `look` tells of everything that may be left in the host.
pub(crate) fn sweep(bed: &Bed, list: &[Value], netns: Netns, steps: usize, look: impl Fn() -> String) {
    // The first ADD of all makes what stays: bridges, tables, the host's settings.
    let inside = inside(&bed.pod("fresh"));
    assert!(!killed_and_deleted(bed, list, Netns::Stays, usize::MAX, &inside));
    let before = look();
    for step in 0.. {
        let what = format!("{netns:?}, killed after step {step} of {}", list.last().unwrap());
        let was_killed = killed_and_deleted(bed, list, netns, step, &inside);
        settles(&what, &before, &look);
        if !was_killed {
            assert!(step >= steps, "only {step} steps: {list:?}");
            return;
        }
    }
}

fn killed_and_deleted(bed: &Bed, list: &[Value], netns: Netns, step: usize, before: &str) -> bool {
    let pod = bed.pod("a");
    let (last, front) = list.split_last().unwrap();
    let mut conf = last.clone();
    for first in front {
        conf = with_result(last, &bed.add(first, &pod).unwrap());
    }
    let was_killed = killed(bed, &pod, &conf, step);
    let (at, pod) = match netns {
        Netns::Stays => (pod.at("eth0", "").detach(), Some(pod)),
        Netns::Goes => {
            let at = pod.without_netns(Some("/run/netns/gone"));
            drop(pod);
            (at, None)
        }
    };
    for time in ["first", "second"] {
        for conf in list.iter().rev() {
            let outcome = bed.del_at(conf, &at);
            outcome.unwrap_or_else(|error| {
                panic!("{netns:?}, the {time} DEL after step {step} of {conf}: {error}")
            });
        }
    }
    if let Some(pod) = pod {
        same(&format!("pod, killed after step {step} of {last}"), before, &inside(&pod));
    }
    was_killed
}

/// The kernel ends a namespace a moment after its last user.
#[track_caller]
fn settles(what: &str, expected: &str, look: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    let mut now = look();
    while now != expected && Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(20));
        now = look();
    }
    same(what, expected, &now);
}

/// What a plugin may leave in a pod, in few words: starting processes is what takes the guest its time. The rule of
/// VRFs is the kernel's, and stays.
fn inside(pod: &Pod) -> String {
    let text = pod.sh("ip -o link; ip -o addr; ip route show table all; ip rule; ip -6 rule");
    let lines = text.lines().filter(|line| !line.contains("l3mdev-table") && !line.contains("fe80:"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Everything of a host that is a namespace, and the files of plugins.
fn look(bed: &Bed) -> String {
    let files =
        format!("find {} -type f ! -name 'last_reserved_ip.*' ! -name '*lock'", bed.leases.path().display());
    format!(
        "{}{}\n{}",
        bed.state(),
        bed.sh("tc qdisc; iptables-save -t nat | grep -v '^[#:]'"),
        bed.sh(&files)
    )
}

fn host_with_links() -> Bed {
    let bed = Bed::new();
    bed.sh("for n in 0 1 2; do ip link add up$n type veth peer name wire$n; ip link set wire$n up; done
         ip link set up0 up");
    bed
}

/// Of both families, with a gateway.
fn ipam(bed: &Bed) -> Value {
    json!({"type": "host-local", "dataDir": bed.leases.path(), "routes": [{"dst": "0.0.0.0/0"}],
        "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]]})
}

fn interface(bed: &Bed, kind: &str, further: Value) -> Value {
    let conf =
        json!({"cniVersion": "1.1.0", "name": "blue", "type": kind, "master": "up0", "ipam": ipam(bed)});
    with(&conf, further)
}

fn bridge(bed: &Bed) -> Value {
    interface(bed, "bridge", json!({"bridge": "br0", "isGateway": true}))
}

fn meta(kind: &str, further: Value) -> Value {
    with(&json!({"cniVersion": "1.1.0", "name": "blue", "type": kind}), further)
}

// Proves: PLG-COM-16, PLG-COM-17, P-DEL-2, P-DEL-7
#[test]
fn after_an_interface_plugin_was_killed_at_any_step_two_dels_leave_nothing() {
    let bed = host_with_links();
    let all =
        json!({"bridge": "br0", "isGateway": true, "ipMasq": true, "macspoofchk": true, "hairpinMode": true});
    for (conf, steps) in [
        (interface(&bed, "bridge", all.clone()), 11),
        (interface(&bed, "bridge", with(&all, json!({"ipMasqBackend": "iptables"}))), 11),
        (interface(&bed, "ptp", json!({"ipMasq": true})), 8),
        (interface(&bed, "macvlan", json!({})), 5),
        (interface(&bed, "tap", json!({})), 5),
    ] {
        for netns in [Netns::Stays, Netns::Goes] {
            sweep(&bed, std::slice::from_ref(&conf), netns, steps, || look(&bed));
        }
    }
    // A pair, unlike hardware, ends with its namespace.
    let conf = interface(&bed, "host-device", json!({"device": "up1"}));
    sweep(&bed, &[conf], Netns::Stays, 5, || look(&bed));
}

// Proves: PLG-COM-17, PLG-TUNING-8, PLG-SBR-8, PLG-BW-8, PLG-PORTMAP-13, P-DEL-2, P-DEL-7
#[test]
fn after_a_chained_plugin_was_killed_at_any_step_two_dels_leave_nothing() {
    let bed = Bed::new();
    let ports = json!([{"hostPort": 8080, "containerPort": 80}, {"hostPort": 8081, "containerPort": 81, "protocol": "udp"}]);
    let ports = |backend: &str| json!({"backend": backend, "runtimeConfig": {"portMappings": ports}});
    let tuning = json!({"dataDir": bed.leases.path().join("tuning"), "mtu": 1400, "mac": "02:00:00:00:00:77",
        "promisc": true, "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}});
    let limits = json!({"ingressRate": 16_000_000, "ingressBurst": 1_600_000, "egressRate": 8_000_000, "egressBurst": 800_000});
    for (conf, steps) in [
        (meta("tuning", tuning), 4),
        (meta("sbr", json!({})), 2),
        (meta("bandwidth", limits), 4),
        (meta("portmap", ports("nftables")), 1),
        (meta("portmap", ports("iptables")), 1),
        (meta("firewall", json!({"backend": "nftables"})), 1),
        (meta("firewall", json!({"backend": "iptables"})), 1),
        (meta("firewall", json!({"ingressPolicy": "same-bridge", "backend": "iptables"})), 1),
    ] {
        for netns in [Netns::Stays, Netns::Goes] {
            sweep(&bed, &[bridge(&bed), conf.clone()], netns, steps, || look(&bed));
        }
    }
}

// Proves: PLG-COM-16, PLG-COM-17, PLG-BOND-6, PLG-BOND-7, PLG-VRF-5, P-DEL-2
#[test]
#[ignore = "needs a kernel with VLAN, ipvlan, dummy, bond and VRF links: run it in the guest kernel"]
fn after_a_plugin_of_a_rare_type_was_killed_at_any_step_two_dels_leave_nothing() {
    let bed = host_with_links();
    let look = || {
        format!(
            "{}{:?}",
            bed.sh("ip -o link | sed 's/ state [A-Z]*//; s/NO-CARRIER,//; s/,LOWER_UP//'"),
            bed.lease_files()
        )
    };
    let members = json!({"mode": "active-backup", "links": [{"name": "up1"}, {"name": "up2"}]});
    for (conf, steps) in [
        (interface(&bed, "vlan", json!({"vlanId": 5})), 5),
        (interface(&bed, "ipvlan", json!({})), 5),
        (interface(&bed, "dummy", json!({})), 5),
        (interface(&bed, "bond", members), 8),
    ] {
        sweep(&bed, &[conf], Netns::Stays, steps, look);
    }
    sweep(&bed, &[bridge(&bed), meta("vrf", json!({"vrfname": "red"}))], Netns::Stays, 2, look);
}
