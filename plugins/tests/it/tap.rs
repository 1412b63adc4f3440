//! `tap`: a device that a virtual machine in the pod opens.

use serde_json::{Value, json};

use crate::bed::{Bed, same, with};

fn conf(ipam: Value) -> Value {
    json!({"cniVersion": "1.1.0", "name": "grey", "type": "tap", "ipam": ipam})
}

// Proves: PLG-TAP-1, PLG-TAP-2
#[test]
fn the_device_has_the_queues_owner_group_mac_and_mtu_that_are_asked_for() {
    let bed = Bed::new();
    let (a, b) = (bed.pod("a"), bed.pod("b"));
    bed.add(&conf(json!({})), &a).unwrap();
    let plain = a.sh("ip -d link show eth0");
    assert!(plain.contains("tun type tap pi off vnet_hdr on persist on"), "{plain}");
    assert!(
        !plain.contains(" user ") && !plain.contains("persist on group") && !plain.contains("multi_queue"),
        "{plain}"
    );
    let asked =
        json!({"multiQueue": true, "owner": 107, "group": 108, "mtu": 1400, "mac": "02:00:00:00:00:07"});
    let result = bed.add(&with(&conf(json!({})), asked), &b).unwrap();
    let full = b.sh("ip -d link show eth0");
    assert!(
        full.contains("multi_queue") && full.contains("user 107") && full.contains("group 108"),
        "{full}"
    );
    let link = b.sh("ip -o link show eth0");
    assert!(
        link.contains("mtu 1400") && link.contains("02:00:00:00:00:07") && link.contains(",UP"),
        "{link}"
    );
    assert_eq!(
        (result.interfaces[0].mac.as_str(), result.interfaces[0].mtu),
        ("02:00:00:00:00:07", Some(1400))
    );
    assert_eq!(bed.sh("ip -o link | wc -l"), "1", "none of it was ever in the host");
    // Without SELinux in force a context is without effect.
    let labelled = with(&conf(json!({})), json!({"selinuxContext": "system_u:system_r:container_t:s0"}));
    if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        bed.add(&labelled, &bed.pod("c")).unwrap();
    }
}

// Proves: PLG-TAP-1, PLG-COM-24
#[test]
fn the_mac_address_of_the_highest_source_counts() {
    let bed = Bed::new();
    let own = with(&conf(json!({})), json!({"mac": "02:00:00:00:00:01"}));
    let runtime = with(&own, json!({"runtimeConfig": {"mac": "02:00:00:00:00:03"}}));
    for (conf, args, expected) in [
        (&own, "", "02:00:00:00:00:01"),
        (&own, "MAC=02:00:00:00:00:02", "02:00:00:00:00:02"),
        (&runtime, "MAC=02:00:00:00:00:02", "02:00:00:00:00:03"),
    ] {
        let pod = bed.pod("a");
        let result = bed.add_as(conf, &pod, "eth0", args).unwrap();
        assert_eq!(result.interfaces[0].mac, expected);
        assert!(pod.sh("ip link show eth0").contains(expected));
    }
    let pod = bed.pod("a");
    let before = pod.state();
    assert!(bed.add(&with(&own, json!({"mac": "01:00:00:00:00:00"})), &pod).is_err());
    same("pod", &before, &pod.state());
}

// Proves: PLG-TAP-1
#[test]
fn a_bridge_of_the_container_takes_it_as_a_port_and_one_that_is_missing_is_refused() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let conf = with(&conf(json!({})), json!({"bridge": "br0"}));
    for prepare in ["true", "ip link add br0 type veth peer name other"] {
        pod.sh(prepare);
        let before = pod.state();
        let error = bed.add(&conf, &pod).unwrap_err();
        assert!(error.msg.contains("no bridge `br0` in the container"), "{error}");
        same("pod", &before, &pod.state());
    }
    pod.sh("ip link del br0; ip link add br0 type bridge; ip link set br0 up");
    let result = bed.add(&conf, &pod).unwrap();
    assert!(pod.sh("ip -o link show eth0").contains("master br0"));
    bed.check(&conf, &pod, &result).unwrap();
    pod.sh("ip link set eth0 nomaster");
    assert!(bed.check(&conf, &pod, &result).unwrap_err().msg.contains("not a port of bridge `br0`"));
}

// Proves: PLG-TAP-3, PLG-COM-11, PLG-COM-13
#[test]
fn addresses_are_optional_and_check_notices_what_has_changed() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let before = pod.state();
    let ipam = with(&bed.host_local("10.1.0.0/24"), json!({"routes": [{"dst": "10.9.0.0/16"}]}));
    for (conf, ips) in [(conf(json!({})), 0), (conf(ipam), 1)] {
        let result = bed.add(&conf, &pod).unwrap();
        assert_eq!((result.interfaces.len(), result.ips.len()), (1, ips));
        assert!(result.ips.iter().all(|ip| ip.interface == Some(0)));
        assert_eq!(pod.sh("cat /proc/sys/net/ipv4/conf/eth0/arp_notify"), "1");
        bed.check(&conf, &pod, &result).unwrap();
        assert!(bed.add(&conf, &pod).is_err(), "the name is taken");
        bed.check(&conf, &pod, &result).unwrap();
        if ips == 1 {
            pod.sh("ip route del 10.9.0.0/16");
            assert!(bed.check(&conf, &pod, &result).unwrap_err().msg.contains("no route to `10.9.0.0/16`"));
            pod.sh("ip addr flush dev eth0");
            assert!(bed.check(&conf, &pod, &result).unwrap_err().msg.contains("lost address"));
        }
        pod.sh("ip link set eth0 address 02:00:00:00:00:09");
        assert!(bed.check(&conf, &pod, &result).unwrap_err().msg.contains("MAC address"));
        for _ in 0..2 {
            bed.del(&conf, &pod).unwrap();
            same("pod", &before, &pod.state());
        }
        if ips == 0 {
            pod.sh("ip link add eth0 type veth peer name other");
            assert!(bed.check(&conf, &pod, &result).unwrap_err().msg.contains("not a tun link"));
            pod.sh("ip link del eth0");
        }
    }
    assert_eq!(bed.lease_files(), [""; 0]);
}

// Proves: PLG-TAP-2
#[test]
fn frames_written_to_the_device_arrive_in_the_pod() {
    use std::io::Write as _;
    let bed = Bed::new();
    let pod = bed.pod("a");
    bed.add(&conf(bed.host_local("10.1.0.0/24")), &pod).unwrap();
    // A virtual machine's side of the device: an ARP request for the pod's address makes it answer.
    // It asks again until it hears one: a link that has just got its carrier may still drop what it is to send.
    let script = "import fcntl,struct,os,select\n\
        f=os.open('/dev/net/tun',os.O_RDWR)\n\
        fcntl.ioctl(f,0x400454ca,struct.pack('16sH14x',b'eth0',0x0002|0x1000|0x4000))\n\
        m=bytes.fromhex('020000000099')\n\
        q=bytes(10)+b'\\xff'*6+m+bytes.fromhex('0806000108000604')+b'\\0\\1'+m+bytes([10,1,0,9])+bytes(6)+bytes([10,1,0,2])\n\
        while True:\n\
        \x20 if not select.select([f],[],[],0.5)[0]: os.write(f,q); continue\n\
        \x20 p=os.read(f,2048)[10:]\n\
        \x20 if p[12:14]==b'\\x08\\x06' and p[20:22]==b'\\0\\2' and p[28:32]==bytes([10,1,0,2]): break\n";
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(script.as_bytes()).unwrap();
    pod.sh(&format!("timeout 90 python3 {}", file.path().display()));
}
