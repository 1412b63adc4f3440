//! An ADD that fails, at whichever step, leaves nothing behind.

use std::time::Duration;

use manifold_cni::Plugin;
use manifold_plugins::interface::{Bridge, Dummy, HostDevice, Ipvlan, Macvlan, Ptp, Tap, Vlan};
use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, fail_at, failing, input, same, with};

/// Fails each step of the ADD in turn; the number of steps it has.
fn every_step(plugin: &dyn Plugin, bed: &Bed, conf: &Value) -> usize {
    let warm = bed.pod("warm");
    bed.add(conf, &warm).unwrap();
    bed.del(conf, &warm).unwrap();
    let before = bed.state();
    for step in 0.. {
        let pod = bed.pod("a");
        pod.sh("echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6");
        let inside = pod.state();
        let at = pod.at("eth0", "");
        let outcome = bed.host.run(|| {
            fail_at(step);
            plugin.add(&input(conf), &at)
        });
        match outcome.unwrap() {
            Ok(_) => {
                bed.del(conf, &pod).unwrap();
                return step;
            }
            Err(error) => {
                assert!(error.msg.starts_with("injected after `"), "{error}");
                assert_eq!(error.details, "", "every step was undone");
                same(&format!("host: {error}"), &before, &bed.state());
                same(&format!("pod: {error}"), &inside, &pod.state());
            }
        }
    }
    unreachable!("an ADD has an end")
}

fn dual_stack(bed: &Bed) -> Value {
    json!({"type": "host-local", "dataDir": bed.leases.path(),
        "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]], "routes": [{"dst": "0.0.0.0/0"}]})
}

// Proves: PLG-COM-16
#[test]
fn a_bridge_attachment_that_fails_at_any_step_leaves_nothing() {
    let bed = Bed::new();
    let conf = json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0", "isGateway": true,
        "ipMasq": true, "macspoofchk": true, "hairpinMode": true, "ipam": dual_stack(&bed)});
    assert!(every_step(&Bridge { after_step: failing }, &bed, &conf) >= 11);
    let l2 = with(&conf, json!({"ipam": {}, "ipMasq": false}));
    assert!(every_step(&Bridge { after_step: failing }, &bed, &l2) >= 5);
}

// Proves: PLG-COM-16
#[test]
fn a_ptp_attachment_that_fails_at_any_step_leaves_nothing() {
    let bed = Bed::new();
    let conf = json!({"cniVersion": "1.1.0", "name": "red", "type": "ptp", "ipMasq": true,
        "ipam": {"type": "host-local", "dataDir": bed.leases.path(), "ranges": [[{"subnet": "10.1.0.0/24"}]]}});
    assert!(every_step(&Ptp { after_step: failing }, &bed, &conf) >= 8);
}

// Proves: PLG-COM-16
#[test]
fn a_macvlan_attachment_that_fails_at_any_step_leaves_nothing() {
    let bed = Bed::new();
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
    let ipam =
        json!({"type": "host-local", "dataDir": bed.leases.path(), "ranges": [[{"subnet": "10.1.0.0/24"}]]});
    let conf =
        json!({"cniVersion": "1.1.0", "name": "green", "type": "macvlan", "master": "up0", "ipam": ipam});
    assert!(every_step(&Macvlan { after_step: failing }, &bed, &conf) >= 5);
}

// Proves: PLG-COM-16
#[test]
fn a_tap_attachment_that_fails_at_any_step_leaves_nothing() {
    let bed = Bed::new();
    let conf =
        json!({"cniVersion": "1.1.0", "name": "grey", "type": "tap", "mtu": 1400, "ipam": dual_stack(&bed)});
    assert!(every_step(&Tap { after_step: failing }, &bed, &conf) >= 5);
    assert!(every_step(&Tap { after_step: failing }, &bed, &with(&conf, json!({"ipam": {}}))) >= 2);
}

// Proves: PLG-COM-16, PLG-HOSTDEV-5
#[test]
fn a_host_device_attachment_that_fails_at_any_step_leaves_the_device_as_it_was() {
    let bed = Bed::new();
    bed.sh("ip link add dev0 type veth peer name wire; ip link set wire up");
    let conf = json!({"cniVersion": "1.1.0", "name": "steel", "type": "host-device", "device": "dev0", "ipam": dual_stack(&bed)});
    assert!(every_step(&HostDevice { after_step: failing }, &bed, &conf) >= 5);
}

// Proves: PLG-COM-16, PLG-VLAN-6
#[test]
#[ignore = "needs a kernel with VLAN, ipvlan and dummy links: run it in the guest kernel"]
fn a_vlan_ipvlan_or_dummy_attachment_that_fails_at_any_step_leaves_nothing() {
    let bed = Bed::new();
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
    let conf = |kind: &str| json!({"cniVersion": "1.1.0", "name": "rare", "type": kind, "master": "up0", "vlanId": 5, "ipam": dual_stack(&bed)});
    assert!(every_step(&Vlan { after_step: failing }, &bed, &conf("vlan")) >= 5);
    assert!(every_step(&Ipvlan { after_step: failing }, &bed, &conf("ipvlan")) >= 5);
    assert!(every_step(&Dummy { after_step: failing }, &bed, &conf("dummy")) >= 5);
    let by_ipam =
        with(&conf("ipvlan"), json!({"ipam": {"type": "static", "addresses": [{"address": "10.1.0.2/24"}]}}));
    assert!(every_step(&Ipvlan { after_step: failing }, &bed, &by_ipam) >= 5);
}

// Proves: PLG-COM-16
#[test]
fn the_first_attachment_of_all_leaves_only_the_bridge() {
    let bed = Bed::new();
    let conf = json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0",
        "ipam": {"type": "static", "addresses": [{"address": "10.1.0.5/24"}], "routes": [{"dst": "10.9.0.0/16", "gw": "10.77.0.1"}]}});
    let pod = bed.pod("a");
    let (host, inside) = (bed.state(), pod.state());
    let error = bed.add(&conf, &pod).unwrap_err();
    assert!(error.msg.contains("`10.9.0.0/16` via `10.77.0.1`"), "{error}");
    bed.sh("ip link del br0");
    same("host", &host, &bed.state());
    same("pod", &inside, &pod.state());
}

// Proves: PLG-BRIDGE-19
#[test]
fn a_port_that_is_kept_down_fails_the_add_in_time_and_leaves_nothing() {
    let bed = Bed::new();
    let conf = json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0", "ipam": bed.host_local("10.1.0.0/24")});
    let warm = bed.pod("warm");
    bed.add(&conf, &warm).unwrap();
    bed.del(&conf, &warm).unwrap();
    let before = bed.state();
    let keeps_down = Bridge {
        after_step: |step| {
            if step == "bridge port" {
                let script = "for p in $(ip -o link show master br0 | sed -E 's/^[0-9]+: ([^@]+)@.*/\\1/'); do ip link set $p down; done";
                assert!(std::process::Command::new("sh").arg("-c").arg(script).status().unwrap().success());
            }
            Ok(())
        },
    };
    let pod = bed.pod("a");
    let began = std::time::Instant::now();
    let error = bed.add_with(&keeps_down, &conf, &pod, "eth0", "").unwrap_err();
    let took = began.elapsed();
    // Of its own accord, long before the call's deadline; a busy machine adds its part.
    assert!(took >= Duration::from_millis(2500) && took < PATIENCE / 2, "{took:?}");
    assert!(error.msg.contains("was set down"), "{error}");
    same("host", &before, &bed.state());
}
