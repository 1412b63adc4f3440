use manifold_net::{BridgeSpec, sysctl};

use crate::bed::{bed, empty};

// Proves: PLG-COM-26
#[test]
fn settings_of_an_interface_with_a_dot_in_its_name_are_read_and_written() {
    let net = empty();
    net.add_bridge(&BridgeSpec { name: "net.1", ..BridgeSpec::default() }).unwrap();
    let path = ["net", "ipv6", "conf", "net.1", "accept_ra"];
    assert_ne!(sysctl::get_in(net.netns(), &path).unwrap(), "0");
    sysctl::set_in(net.netns(), &path, "0").unwrap();
    assert_eq!(sysctl::get_in(net.netns(), &path).unwrap(), "0");
}

#[test]
fn several_settings_are_written_in_one_visit_and_only_there() {
    let bed = bed();
    let (dad, arp) =
        (["net", "ipv6", "conf", "default", "accept_dad"], ["net", "ipv4", "conf", "default", "arp_notify"]);
    sysctl::set_all_in(bed.pod.netns(), &[(&dad, "0"), (&arp, "1")]).unwrap();
    assert_eq!(sysctl::get_in(bed.pod.netns(), &dad).unwrap(), "0");
    assert_eq!(sysctl::get_in(bed.pod.netns(), &arp).unwrap(), "1");
    assert_eq!(sysctl::get_in(bed.host.netns(), &dad).unwrap(), "1");
    assert_eq!(sysctl::get_in(bed.host.netns(), &arp).unwrap(), "0");
}

#[test]
fn a_setting_that_is_not_there_is_told_from_one_that_refuses() {
    let net = empty();
    let missing = ["net", "ipv6", "conf", "absent", "accept_ra"];
    assert!(sysctl::get_in(net.netns(), &missing).unwrap_err().is_not_found());
    assert!(sysctl::set_in(net.netns(), &missing, "0").unwrap_err().is_not_found());
    let error = sysctl::set_in(net.netns(), &["net", "ipv4", "ip_forward"], "not a number").unwrap_err();
    assert!(!error.is_not_found() && error.to_string().contains("`net/ipv4/ip_forward`"), "{error}");
}
