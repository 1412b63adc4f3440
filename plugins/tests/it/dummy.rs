//! `dummy`: an interface for its addresses alone.

use serde_json::{Value, json};

use crate::bed::{Bed, runs, same, with};

fn conf(ipam: Value) -> Value {
    json!({"cniVersion": "1.1.0", "name": "pink", "type": "dummy", "ipam": ipam})
}

// Proves: PLG-DUMMY-1
#[test]
fn without_ipam_neither_add_nor_check_is_done() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let before = pod.state();
    let error = bed.add(&conf(json!({})), &pod).unwrap_err();
    assert!(error.code == 7 && error.msg.contains("needs an `ipam`"), "{error}");
    assert_eq!(bed.check(&conf(json!({})), &pod, &Default::default()).unwrap_err().code, 7);
    same("pod", &before, &pod.state());
    bed.del(&conf(json!({})), &pod).unwrap();
}

// Proves: PLG-DUMMY-2, PLG-COM-13, PLG-COM-14
#[test]
#[ignore = "needs a kernel with dummy links: run it in the guest kernel"]
fn the_link_has_its_name_at_once_and_check_notices_when_it_is_down() {
    let bed = Bed::new();
    bed.sh("ip link add eth0 type dummy");
    let pod = bed.pod("a");
    let resolver = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(resolver.path(), "nameserver 10.0.0.53\n").unwrap();
    let ipam = with(
        &bed.host_local("10.1.0.0/24"),
        json!({"resolvConf": resolver.path(), "routes": [{"dst": "10.9.0.0/16"}]}),
    );
    let conf = conf(ipam);
    let before = pod.state();
    let result = bed.add(&conf, &pod).unwrap();
    assert_eq!((result.interfaces.len(), result.ips[0].interface), (1, Some(0)));
    assert_eq!(result.dns.nameservers, ["10.0.0.53"], "IPAM's stands");
    assert!(pod.sh("ip -d -o link show eth0").contains("dummy"));
    assert!(
        pod.sh("ip -4 -o addr show eth0").contains("10.1.0.2/24")
            && pod.sh("ip route").contains("10.9.0.0/16")
    );
    assert!(pod.pings("10.1.0.2"));
    bed.check(&conf, &pod, &result).unwrap();
    pod.sh("ip link set eth0 down");
    assert!(bed.check(&conf, &pod, &result).unwrap_err().msg.contains("not up"));
    pod.sh("ip link set eth0 up; ip link set eth0 address 02:00:00:00:00:09");
    assert!(bed.check(&conf, &pod, &result).unwrap_err().msg.contains("MAC address"));
    pod.sh(&format!("ip link set eth0 address {}; ip addr flush dev eth0", result.interfaces[0].mac));
    assert!(bed.check(&conf, &pod, &result).unwrap_err().msg.contains("lost address"));
    for _ in 0..2 {
        bed.del(&conf, &pod).unwrap();
        same("pod", &before, &pod.state());
    }
    pod.sh("ip link add eth0 type veth peer name other");
    assert!(bed.add(&conf, &pod).unwrap_err().msg.contains("has an interface `eth0` already"));
    bed.del(&conf, &pod).unwrap();
    assert!(runs(&pod.netns, "ip link show eth0"), "a link of another kind is not ours");
    assert_eq!(bed.lease_files(), [""; 0]);
}
