//! `loopback`: always `lo`, whatever the runtime calls it.

use serde_json::json;

use crate::bed::{Bed, Pod, runs, with};

fn conf() -> serde_json::Value {
    json!({"cniVersion": "1.1.0", "name": "lo", "type": "loopback"})
}

fn down(bed: &Bed) -> Pod {
    let pod = bed.pod("a");
    pod.sh("ip link set lo down");
    pod
}

// Proves: PLG-LO-1, PLG-LO-2
#[test]
fn lo_comes_up_and_the_result_has_its_first_addresses() {
    let bed = Bed::new();
    let pod = down(&bed);
    let result = bed.add(&conf(), &pod).unwrap();
    assert!(pod.pings("127.0.0.1") && pod.pings("::1"));
    let json = serde_json::to_value(&result).unwrap();
    assert_eq!(
        json,
        json!({
            "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": pod.path()}],
            "ips": [{"address": "127.0.0.1/8", "interface": 0}, {"address": "::1/128", "interface": 0}]
        })
    );
}

// Proves: PLG-LO-2
#[test]
fn a_result_that_is_given_passes_through() {
    let bed = Bed::new();
    let prev = json!({"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "/x"}],
        "ips": [{"address": "10.1.0.2/24", "interface": 0}]});
    let result = bed.add(&with(&conf(), json!({"prevResult": prev})), &down(&bed)).unwrap();
    assert_eq!(result.interfaces[0].name, "eth0");
    assert_eq!(result.ips[0].address.to_string(), "10.1.0.2/24");
}

// Proves: PLG-LO-1
#[test]
fn a_foreign_address_on_lo_is_an_error() {
    let bed = Bed::new();
    let pod = down(&bed);
    pod.sh("ip addr add 10.1.0.2/32 dev lo");
    assert!(bed.add(&conf(), &pod).unwrap_err().msg.contains("`10.1.0.2/32`"));
}

// Proves: PLG-LO-3
#[test]
fn check_wants_it_up_and_del_sets_it_down() {
    let bed = Bed::new();
    let pod = down(&bed);
    let result = bed.add(&conf(), &pod).unwrap();
    bed.check(&conf(), &pod, &result).unwrap();
    bed.del(&conf(), &pod).unwrap();
    assert!(!runs(&pod.netns, "ip -o link show lo up | grep lo"));
    assert!(bed.check(&conf(), &pod, &result).is_err());
    bed.del(&conf(), &pod).unwrap();
    for path in [None, Some(""), Some("/run/netns/gone")] {
        bed.del_at(&conf(), &pod.without_netns(path)).unwrap();
    }
    bed.status(&conf()).unwrap();
    bed.gc(&conf(), &[]).unwrap();
}
