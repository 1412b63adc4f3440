use manifold_net::{BridgeSpec, LinkChange, Mac, Netns, VethSpec};

use crate::bed::{bed, cable, empty, names};

#[test]
fn loopback_is_seen_as_it_is() {
    let net = empty();
    let lo = net.link("lo").unwrap().unwrap();
    assert_eq!((lo.index, lo.name.as_str(), lo.kind.as_deref()), (1, "lo", None));
    assert!(lo.loopback && !lo.up && lo.mac.unwrap().is_zero() && lo.mtu == 65536);
    net.set_up(1).unwrap();
    assert!(net.link_by_index(1).unwrap().unwrap().up);
}

#[test]
fn a_link_that_is_not_there_is_none_and_an_impossible_name_an_error() {
    let net = empty();
    assert_eq!(net.link("absent").unwrap(), None);
    assert_eq!(net.link_by_index(4711).unwrap(), None);
    assert_eq!(net.link_by_index(0).unwrap(), None);
    for name in ["", "sixteen-bytes-xx", "nul\0byte"] {
        let error = net.link(name).unwrap_err().to_string();
        assert!(error.contains("1 to 15 bytes"), "{error}");
    }
}

#[test]
fn every_change_shows_in_the_link() {
    let net = empty();
    let (left, _) = cable(&net);
    // The kernel tells of the carrier a moment later.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    assert!(net.wait_link_oper_up(left.index, deadline).unwrap());
    let mac: Mac = "02:00:00:00:00:07".parse().unwrap();
    net.set_mac(left.index, mac).unwrap();
    let change = LinkChange {
        mtu: Some(1400),
        promisc: Some(true),
        allmulti: Some(true),
        tx_queue_len: Some(77),
        ..LinkChange::default()
    };
    net.change(left.index, &change).unwrap();
    net.set_alias(left.index, "was: eth7").unwrap();
    let link = net.link("left").unwrap().unwrap();
    assert_eq!((link.mac, link.mtu, link.tx_queue_len), (Some(mac), 1400, 77));
    assert!(link.promisc && link.allmulti && link.up && link.oper_up);
    assert_eq!(link.alias.as_deref(), Some("was: eth7"));
    let change = LinkChange { promisc: Some(false), allmulti: Some(false), ..LinkChange::default() };
    net.change(left.index, &change).unwrap();
    net.set_alias(left.index, "").unwrap();
    net.set_down(left.index).unwrap();
    let link = net.link("left").unwrap().unwrap();
    assert!(!link.promisc && !link.allmulti && !link.up && !link.oper_up && link.alias.is_none());
}

#[test]
fn address_mtu_and_up_go_in_one_message() {
    let net = empty();
    let spec = VethSpec { name: "left", peer_name: Some("right"), ..VethSpec::default() };
    let (left, _) = net.add_veth(&spec).unwrap();
    assert!(!left.up);
    let mac: Mac = "02:00:00:00:00:08".parse().unwrap();
    let change = LinkChange { mac: Some(mac), mtu: Some(1300), up: Some(true), ..LinkChange::default() };
    net.change(left.index, &change).unwrap();
    let link = net.link_by_index(left.index).unwrap().unwrap();
    assert_eq!((link.mac, link.mtu, link.up), (Some(mac), 1300, true));
    let change = LinkChange { mtu: Some(1200), up: Some(false), alias: Some("x"), ..LinkChange::default() };
    net.change(left.index, &change).unwrap();
    let link = net.link_by_index(left.index).unwrap().unwrap();
    assert_eq!((link.mtu, link.up, link.alias.as_deref()), (1200, false, Some("x")));
}

#[test]
fn a_link_moves_under_a_new_name() {
    let bed = bed();
    let (left, _) = cable(&bed.host);
    let taken = VethSpec { name: "left", peer_name: Some("other"), ..VethSpec::default() };
    bed.pod.add_veth(&taken).unwrap();
    let change = LinkChange { name: Some("net1"), ..LinkChange::default() };
    bed.host.move_changed(left.index, bed.pod.netns(), &change).unwrap();
    assert_eq!(bed.host.link("left").unwrap(), None);
    let moved = bed.pod.link("net1").unwrap().unwrap();
    assert_eq!(moved.mac, left.mac);
    assert!(!moved.up);
    // The peer stayed behind, and says so.
    assert!(moved.link_netnsid.is_some());
}

#[test]
fn a_move_to_a_taken_name_changes_nothing() {
    let bed = bed();
    let (left, _) = cable(&bed.host);
    cable(&bed.pod);
    let error = bed.host.move_changed(left.index, bed.pod.netns(), &LinkChange::default()).unwrap_err();
    assert!(error.is_exists(), "{error}");
    assert_eq!(names(&bed.host), ["right", "left"]);
}

#[test]
fn refusals_have_their_kind_and_name_the_link() {
    let net = empty();
    let error = net.delete(4711).unwrap_err();
    assert!(error.is_not_found() && error.is_no_device(), "{error}");
    assert!(error.to_string().contains("link 4711"), "{error}");
    net.add_bridge(&BridgeSpec { name: "br0", ..BridgeSpec::default() }).unwrap();
    let error = net.add_bridge(&BridgeSpec { name: "br0", ..BridgeSpec::default() }).unwrap_err();
    assert!(error.is_exists() && error.to_string().contains("`br0`"), "{error}");
    let (left, right) = cable(&net);
    let error = net.set_master(left.index, right.index).unwrap_err();
    assert!(!error.is_exists() && error.errno().is_some(), "{error}");
    let error = net.rename(left.index, "right").unwrap_err();
    assert!(error.is_exists(), "{error}");
}

#[test]
fn deleting_one_end_of_a_pair_takes_both() {
    let net = empty();
    let (left, _) = cable(&net);
    net.delete(left.index).unwrap();
    assert!(names(&net).is_empty());
    assert!(net.delete(left.index).unwrap_err().is_not_found());
}

#[test]
fn links_end_with_their_namespace() {
    let netns = Netns::create().unwrap();
    let outside = empty();
    let inside = manifold_net::Net::inside(&netns).unwrap();
    let spec =
        VethSpec { name: "eth0", peer_name: Some("port"), peer_net: Some(&outside), ..VethSpec::default() };
    inside.add_veth(&spec).unwrap();
    assert_eq!(names(&outside), ["port"]);
    drop(inside);
    drop(netns);
    // The kernel clears namespaces in the background; its notification ends the wait.
    let gone = outside.link("port").unwrap().is_none_or(|port| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
        !outside.wait_link_oper_up(port.index, deadline).unwrap()
    });
    assert!(gone && names(&outside).is_empty());
}
