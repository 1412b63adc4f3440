use manifold_net::{Mac, VethSpec};

use crate::bed::{bed, cable, empty, names};

// Proves: PLG-COM-6
#[test]
fn a_pair_is_made_inside_with_its_peer_directly_in_the_host() {
    let bed = bed();
    let spec = VethSpec { name: "eth0", peer_up: true, peer_net: Some(&bed.host), ..VethSpec::default() };
    let (link, peer) = bed.pod.add_veth(&spec).unwrap();
    assert_eq!(bed.pod.link("eth0").unwrap().as_ref(), Some(&link));
    assert_eq!(bed.host.link(&peer.name).unwrap().as_ref(), Some(&peer));
    assert!(link.is_kind("veth") && peer.is_kind("veth") && peer.up && !link.up);
    assert_eq!((link.peer_or_parent, peer.peer_or_parent), (Some(peer.index), Some(link.index)));
    assert!(peer.link_netnsid.is_some());
    let digits = peer.name.strip_prefix("veth").unwrap();
    assert!(digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{}", peer.name);
    assert_eq!((names(&bed.pod), names(&bed.host)), (vec!["eth0".to_owned()], vec![peer.name]));
}

// Proves: PLG-COM-6
#[test]
fn a_name_taken_in_the_container_is_an_error_without_a_leftover_peer() {
    let bed = bed();
    cable(&bed.pod);
    let spec = VethSpec { name: "left", peer_net: Some(&bed.host), ..VethSpec::default() };
    let error = bed.pod.add_veth(&spec).unwrap_err();
    assert!(error.is_exists() && error.to_string().contains("`left`"), "{error}");
    assert!(names(&bed.host).is_empty());
}

// Proves: PLG-COM-6
#[test]
fn a_name_taken_in_the_host_is_an_error_without_a_leftover_link() {
    let bed = bed();
    cable(&bed.host);
    let spec =
        VethSpec { name: "eth0", peer_name: Some("left"), peer_net: Some(&bed.host), ..VethSpec::default() };
    assert!(bed.pod.add_veth(&spec).unwrap_err().is_exists());
    assert!(names(&bed.pod).is_empty());
}

// Proves: PLG-COM-6
#[test]
fn a_link_of_the_containers_name_in_the_host_is_not_in_the_way() {
    let bed = bed();
    cable(&bed.host);
    let spec = VethSpec { name: "left", peer_net: Some(&bed.host), ..VethSpec::default() };
    bed.pod.add_veth(&spec).unwrap();
    assert_eq!(names(&bed.pod), ["left"]);
}

#[test]
fn both_ends_take_their_own_address_and_mtu() {
    let net = empty();
    let (mac, peer_mac): (Mac, Mac) =
        ("02:00:00:00:00:01".parse().unwrap(), "02:00:00:00:00:02".parse().unwrap());
    let spec = VethSpec {
        name: "a",
        mac: Some(mac),
        mtu: Some(1400),
        up: true,
        peer_name: Some("b"),
        peer_mac: Some(peer_mac),
        peer_mtu: Some(1300),
        ..VethSpec::default()
    };
    let (link, peer) = net.add_veth(&spec).unwrap();
    assert_eq!((link.mac, link.mtu, link.up), (Some(mac), 1400, true));
    assert_eq!((peer.mac, peer.mtu, peer.up), (Some(peer_mac), 1300, false));
}

#[test]
fn a_multicast_address_is_refused_with_the_kernels_words() {
    let spec = VethSpec {
        name: "a",
        peer_name: Some("b"),
        mac: Some(Mac([1, 0, 0, 0, 0, 1])),
        ..VethSpec::default()
    };
    let net = empty();
    let error = net.add_veth(&spec).unwrap_err();
    assert!(error.errno().is_some() && names(&net).is_empty(), "{error}");
}
