//! `sriov`, and `host-device` by PCI address: on the virtual functions of the guest's network card.

use std::sync::{Mutex, MutexGuard, PoisonError};

use manifold_plugins::interface::Sriov;
use serde_json::{Value, json};

use crate::bed::{Bed, Pod, fail_at, failing, input, runs, same, with, with_result};
use crate::killed;

/// There is one card.
static CARD: Mutex<()> = Mutex::new(());

struct Card {
    bed: Bed,
    physical: String,
    functions: Vec<String>,
    _only: MutexGuard<'static, ()>,
}

impl Card {
    fn new() -> Self {
        let only = CARD.lock().unwrap_or_else(PoisonError::into_inner);
        let bed = Bed::of_this_machine();
        let physical = bed.sh(
            "modprobe igb; modprobe igbvf; d=$(ls -d /sys/bus/pci/drivers/igb/0*); ip link set $(ls $d/net) up
             [ $(cat $d/sriov_numvfs) != 0 ] || echo 3 > $d/sriov_numvfs; ls $d/net",
        );
        let list = format!(
            "for n in 0 1 2; do basename $(readlink /sys/class/net/{physical}/device/virtfn$n); done"
        );
        let functions = bed.sh(&list).lines().map(str::to_owned).collect();
        Self { bed, physical, functions, _only: only }
    }

    fn conf(&self, number: usize, further: Value) -> Value {
        let conf = json!({"cniVersion": "1.1.0", "name": "fast", "type": "sriov", "deviceID": self.functions[number],
            "ipam": self.bed.host_local("10.1.0.0/24")});
        with(&conf, further)
    }

    /// All of the card that an attachment changes, as the physical function and the host tell it.
    fn state(&self) -> String {
        let flags = r"s/^[0-9]+: //; s/<[^>]*>//; s/ (qdisc|state|mode|group|qlen|permaddr) [^ ]+//g";
        self.bed.sh(&format!("ip -o link | grep -v lo: | sed -E '{flags}' | sort; find /var/lib/cni/sriov -type f ! -name '*.lock' 2>/dev/null || true"))
    }

    fn function(&self, number: usize) -> String {
        self.bed.sh(&format!("ip link show {} | grep 'vf {number} '", self.physical))
    }
}

/// The emulated card takes some seconds to have a link.
#[track_caller]
fn pings_soon(pod: &Pod, address: &str) {
    assert!((0..4).any(|_| pod.pings(address)), "{}", pod.state());
}

// Proves: PLG-SRIOV-2, PLG-SRIOV-4, PLG-SRIOV-6, PLG-SRIOV-7, PLG-SRIOV-9, PLG-SRIOV-10
#[test]
#[ignore = "needs a network card with virtual functions: run it in the guest kernel"]
fn functions_are_ruled_by_the_card_carry_packets_and_go_back_as_they_were() {
    let card = Card::new();
    let bed = &card.bed;
    let (a, b, c) = (bed.pod("a"), bed.pod("b"), bed.pod("c"));
    drop(bed.add(&card.conf(2, json!({})), &c).map(|_| bed.del(&card.conf(2, json!({})), &c).unwrap()));
    let before = card.state();
    let ruled = json!({"vlan": 100, "vlanQoS": 3, "spoofchk": "off", "trust": "on"});
    let first_conf = with(&card.conf(0, ruled.clone()), json!({"mac": "02:00:00:00:00:a0"}));
    let first = bed.add(&first_conf, &a).unwrap();
    let second = bed.add(&card.conf(1, ruled), &b).unwrap();
    let third = bed.add(&card.conf(2, json!({})), &c).unwrap();
    let interface = &first.interfaces[0];
    assert_eq!((interface.name.as_str(), interface.mac.as_str()), ("eth0", "02:00:00:00:00:a0"));
    assert_eq!((interface.pci_id.as_str(), interface.mtu), (card.functions[0].as_str(), Some(1500)));
    let told = card.function(0);
    for part in ["02:00:00:00:00:a0", "vlan 100, qos 3", "spoof checking off", "trust on"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(a.sh("ip link show eth0").contains("02:00:00:00:00:a0"));
    let settings = "ipv4/conf/eth0/arp_notify ipv6/conf/eth0/ndisc_notify ipv6/conf/eth0/optimistic_dad";
    assert_eq!(a.sh(&format!("cd /proc/sys/net; cat {settings}")), "1\n1\n1");
    pings_soon(&a, &second.ips[0].address.addr().to_string());
    assert!(a.pings_not(&third.ips[0].address.addr().to_string()), "VLANs isolate");
    bed.check(&first_conf, &a, &first).unwrap();
    let again = bed.add_as(&card.conf(0, json!({})), &b, "net1", "").unwrap_err();
    assert!(again.msg.contains("already allocated"), "{again}");
    bed.sh(&format!("ip link set {} vf 0 vlan 101", card.physical));
    assert!(bed.check(&first_conf, &a, &first).unwrap_err().msg.contains("`vlan`"));
    for _ in 0..2 {
        bed.del(&with_result(&first_conf, &first), &a).unwrap();
        bed.del(&card.conf(1, json!({})), &b).unwrap();
        bed.del(&card.conf(2, json!({})), &c).unwrap();
        same("card", &before, &card.state());
    }
    assert_eq!(bed.lease_files(), [""; 0]);
    assert!(!runs(&a.netns, "ip link show eth0"));
}

// Proves: PLG-SRIOV-8, PLG-SRIOV-9, P-DEL-7, P-DEL-8
#[test]
#[ignore = "needs a network card with virtual functions: run it in the guest kernel"]
fn del_restores_a_function_whose_namespace_is_gone_and_leaves_another_pods_alone() {
    let card = Card::new();
    let bed = &card.bed;
    let conf = card.conf(0, json!({"vlan": 7, "trust": "on", "mac": "02:00:00:00:00:a1"}));
    let before = card.state();
    let pod = bed.pod("a");
    bed.add(&conf, &pod).unwrap();
    let at = pod.without_netns(Some("/run/netns/gone"));
    drop(pod);
    bed.del_at(&conf, &at).unwrap();
    same("card", &before, &card.state());
    // Without its record, DEL still releases the address; the device's new pod is not disturbed by a late DEL.
    let (old, new) = (bed.pod("old"), bed.pod("new"));
    bed.add(&conf, &old).unwrap();
    let file = "/var/lib/cni/sriov/old-eth0";
    let record = std::fs::read(file).unwrap();
    bed.del(&conf, &old).unwrap();
    let result = bed.add(&conf, &new).unwrap();
    std::fs::write(file, record).unwrap();
    bed.del(&conf, &old).unwrap();
    bed.check(&conf, &new, &result).unwrap();
    std::fs::write("/var/lib/cni/sriov/x-eth0", "{").unwrap();
    bed.del_at(
        &conf,
        &manifold_cni::Detachment { container: "x".parse().unwrap(), ..old.at("eth0", "").detach() },
    )
    .unwrap();
    std::fs::remove_file("/var/lib/cni/sriov/x-eth0").unwrap();
    bed.gc(&conf, &[]).unwrap();
    same("card after GC", &before, &card.state());
    assert_eq!(bed.lease_files(), [""; 0]);
}

// Proves: PLG-SRIOV-5, PLG-SRIOV-6, PLG-COM-16
#[test]
#[ignore = "needs a network card with virtual functions: run it in the guest kernel"]
fn an_add_that_fails_at_any_step_leaves_the_function_as_it_was() {
    let card = Card::new();
    let bed = &card.bed;
    let conf = card.conf(0, json!({"vlan": 7, "trust": "on", "mac": "02:00:00:00:00:a2"}));
    let plugin = Sriov { after_step: failing, state: "/var/lib/cni/sriov" };
    let pod = bed.pod("a");
    let (before, inside) = (card.state(), pod.state());
    for step in 0.. {
        let outcome = {
            fail_at(step);
            manifold_cni::Plugin::add(&plugin, &input(&conf), &pod.at("eth0", ""))
        };
        fail_at(usize::MAX);
        let Err(error) = outcome else {
            assert!(step >= 8, "{step}");
            bed.del(&conf, &pod).unwrap();
            break;
        };
        assert!(error.msg.starts_with("injected after `") && error.details.is_empty(), "{error}");
        same(&format!("card: {error}"), &before, &card.state());
        same(&format!("pod: {error}"), &inside, &pod.state());
    }
    // What this card refuses.
    for refused in [json!({"link_state": "disable"}), json!({"min_tx_rate": 10})] {
        bed.add(&with(&conf, refused), &pod).unwrap_err();
        same("card", &before, &card.state());
    }
    let none = bed.add(&with(&conf, json!({"deviceID": "ffff:00:00.0"})), &pod).unwrap_err();
    assert!(none.msg.contains("no PCI device"), "{none}");
    assert_eq!(bed.lease_files(), [""; 0]);
}

// Proves: PLG-SRIOV-9, PLG-COM-17, P-DEL-2, P-DEL-7
#[test]
#[ignore = "needs a network card with virtual functions: run it in the guest kernel"]
fn after_an_add_was_killed_at_any_step_two_dels_leave_the_function_as_it_was() {
    let card = Card::new();
    let conf = card.conf(0, json!({"vlan": 7, "trust": "on", "mac": "02:00:00:00:00:a3"}));
    let look = || format!("{}{:?}", card.state(), card.bed.lease_files());
    for netns in [killed::Netns::Stays, killed::Netns::Goes] {
        killed::sweep(&card.bed, std::slice::from_ref(&conf), netns, 8, look);
    }
}

// Proves: PLG-SRIOV-6
#[test]
#[ignore = "needs a network card with virtual functions: run it in the guest kernel"]
fn neighbours_hear_at_once_that_an_address_has_moved_to_another_function() {
    let card = Card::new();
    let bed = &card.bed;
    let addresses = json!({"ipam": {"type": "static", "addresses": [{"address": "10.1.0.2/24"}, {"address": "fd00:1::2/64"}]}});
    let (neighbour, old, new) = (bed.pod("neighbour"), bed.pod("old"), bed.pod("new"));
    let theirs = json!({"ipam": {"type": "static", "addresses": [{"address": "10.1.0.3/24"}, {"address": "fd00:1::3/64"}]}});
    bed.add(&card.conf(2, theirs), &neighbour).unwrap();
    let first = bed.add(&card.conf(0, addresses.clone()), &old).unwrap();
    pings_soon(&neighbour, "10.1.0.2");
    pings_soon(&neighbour, "fd00:1::2");
    bed.del(&card.conf(0, json!({})), &old).unwrap();
    // What the neighbour finds out by itself is not what is asked here.
    neighbour.sh(&format!(
        "for address in 10.1.0.2 fd00:1::2; do ip neigh replace $address lladdr {} dev eth0 nud stale; done",
        first.interfaces[0].mac
    ));
    let second = bed.add(&card.conf(1, addresses), &new).unwrap();
    assert_ne!(first.interfaces[0].mac, second.interfaces[0].mac);
    for address in ["10.1.0.2", "fd00:1::2"] {
        let known = format!("ip neigh show {address} | grep -q {}", second.interfaces[0].mac);
        neighbour.sh(&format!("timeout 60 sh -c 'until {known}; do sleep 0.1; done'"));
    }
    bed.del(&card.conf(1, json!({})), &new).unwrap();
    bed.del(&card.conf(2, json!({})), &neighbour).unwrap();
}

// Proves: PLG-SRIOV-5, PLG-SRIOV-7, PLG-HOSTDEV-4
#[test]
#[ignore = "needs a network card with virtual functions: run it in the guest kernel"]
fn a_function_for_a_program_is_ruled_by_the_card_and_otherwise_left_to_the_pod() {
    let card = Card::new();
    let bed = &card.bed;
    let device = format!("/sys/bus/pci/devices/{}", card.functions[0]);
    let bind = |driver: &str| {
        let name = &card.functions[0];
        bed.sh(&format!(
            "modprobe {driver}; [ ! -e {device}/driver ] || echo {name} > {device}/driver/unbind
             echo {driver} > {device}/driver_override; echo {name} > /sys/bus/pci/drivers_probe"
        ));
        bed.sh(&format!("basename $(readlink {device}/driver)"))
    };
    assert_eq!(bind("vfio-pci"), "vfio-pci");
    let (before, pod) = (card.state(), bed.pod("a"));
    let conf = card.conf(0, json!({"vlan": 9, "trust": "on", "mac": "02:00:00:00:00:a9"}));
    let result = bed.add(&conf, &pod).unwrap();
    let told = card.function(0);
    assert!(["vlan 9", "trust on", "02:00:00:00:00:a9"].iter().all(|part| told.contains(part)), "{told}");
    let interface = &result.interfaces[0];
    assert_eq!((interface.name.as_str(), interface.mac.as_str()), ("eth0", "02:00:00:00:00:a9"));
    assert_eq!((interface.pci_id.as_str(), result.ips.len()), (card.functions[0].as_str(), 1));
    assert!(!runs(&pod.netns, "ip link show eth0"), "the program's business");
    bed.check(&conf, &pod, &result).unwrap();
    bed.sh(&format!("ip link set {} vf 0 vlan 10", card.physical));
    assert!(bed.check(&conf, &pod, &result).unwrap_err().msg.contains("`vlan`"));
    for _ in 0..2 {
        bed.del(&conf, &pod).unwrap();
        same("card", &before, &card.state());
    }
    assert_eq!(bed.sh(&format!("basename $(readlink {device}/driver)")), "vfio-pci", "as it was");
    let plain = json!({"cniVersion": "1.1.0", "name": "steel", "type": "host-device", "pciBusID": card.functions[0],
        "ipam": bed.host_local("10.1.0.0/24")});
    let result = bed.add(&plain, &pod).unwrap();
    assert_eq!((result.interfaces[0].mac.as_str(), result.ips.len()), ("", 1));
    bed.check(&plain, &pod, &result).unwrap();
    bed.del(&plain, &pod).unwrap();
    bed.sh(&format!("echo {} > {device}/driver/unbind", card.functions[0]));
    let refused = bed.add(&conf, &pod).unwrap_err();
    assert!(refused.msg.contains("has no driver"), "{refused}");
    assert_eq!(bind("igbvf"), "igbvf");
    bed.sh(&format!("echo > {device}/driver_override"));
    assert_eq!(bed.lease_files(), [""; 0]);
}

// Proves: PLG-HOSTDEV-1, PLG-HOSTDEV-2, PLG-HOSTDEV-3, PLG-HOSTDEV-9, P-DEL-7
#[test]
#[ignore = "needs a network card with virtual functions: run it in the guest kernel"]
fn host_device_takes_a_function_by_each_selector_and_finds_one_whose_pod_vanished() {
    let card = Card::new();
    let bed = &card.bed;
    let address = &card.functions[1];
    let path = bed.sh(&format!("readlink -f /sys/bus/pci/devices/{address}"));
    let before = card.state();
    let conf = json!({"cniVersion": "1.1.0", "name": "steel", "type": "host-device", "ipam": bed.host_local("10.1.0.0/24")});
    for selector in [
        json!({"pciBusID": address}),
        json!({"kernelpath": path}),
        json!({"runtimeConfig": {"deviceID": address}, "pciBusID": card.functions[2]}),
    ] {
        let conf = with(&conf, selector);
        let pod = bed.pod("a");
        let result = bed.add(&conf, &pod).unwrap();
        bed.check(&conf, &pod, &result).unwrap();
        bed.del(&conf, &pod).unwrap();
        same("card", &before, &card.state());
    }
    let conf = with(&conf, json!({"pciBusID": address}));
    let result = bed.add(&conf, &bed.pod("gone")).unwrap();
    let interface = format!("[ -n \"$(ls /sys/bus/pci/devices/{address}/net 2>/dev/null)\" ]");
    bed.sh(&format!("timeout 90 sh -c 'until {interface}; do sleep 0.1; done'"));
    let pod = bed.pod("b");
    bed.add(&conf, &pod).unwrap();
    bed.del(&conf, &pod).unwrap();
    same("card", &before, &card.state());
    // And DEL of the vanished pod gives the name back too.
    let conf = with_result(&conf, &result);
    for told in [true, false] {
        let conf = with(&conf, json!({"prevResult": null}));
        let result = bed.add(&conf, &bed.pod("lost")).unwrap();
        bed.sh(&format!("timeout 90 sh -c 'until {interface}; do sleep 0.1; done'"));
        let conf = if told { with_result(&conf, &result) } else { conf };
        bed.del_at(&conf, &bed.pod("lost").without_netns(None)).unwrap();
        same("card", &before, &card.state());
    }
    bed.gc(&conf, &[]).unwrap();
}
