use manifold_net::{BridgeSpec, LinkChange, Mac, MacvlanMode, MacvlanSpec};

use crate::bed::{Bed, bed, cable, names};

fn spec<'a>(bed: &'a Bed, name: &'a str) -> MacvlanSpec<'a> {
    let parent_index = bed.host.link("left").unwrap().unwrap().index;
    MacvlanSpec { name, parent_index, target: Some(&bed.pod), ..MacvlanSpec::default() }
}

// Proves: PLG-COM-7
#[test]
fn a_host_link_of_the_same_name_is_not_in_the_way() {
    let bed = bed();
    cable(&bed.host);
    let homonym = bed.host.add_bridge(&BridgeSpec { name: "net1", ..BridgeSpec::default() }).unwrap();
    let made = bed.host.add_macvlan(&MacvlanSpec { up: true, ..spec(&bed, "net1") }).unwrap();
    assert!(made.is_kind("macvlan") && made.up);
    assert_eq!(bed.pod.link("net1").unwrap(), Some(made));
    assert_eq!(bed.host.link("net1").unwrap(), Some(homonym));
    assert_eq!(names(&bed.pod), ["net1"]);
}

// Proves: PLG-COM-7
#[test]
fn a_name_taken_in_the_target_is_an_error_that_leaves_nothing() {
    let bed = bed();
    cable(&bed.host);
    bed.pod.add_bridge(&BridgeSpec { name: "net1", ..BridgeSpec::default() }).unwrap();
    let error = bed.host.add_macvlan(&spec(&bed, "net1")).unwrap_err();
    assert!(error.is_exists() && error.to_string().contains("`net1`"), "{error}");
    assert_eq!((names(&bed.pod), names(&bed.host).len()), (vec!["net1".to_owned()], 2));
}

#[test]
fn mode_address_mtu_and_queue_are_the_ones_asked_for() {
    let bed = bed();
    cable(&bed.host);
    for (number, mode) in
        [MacvlanMode::Bridge, MacvlanMode::Private, MacvlanMode::Vepa].into_iter().enumerate()
    {
        let name = format!("net{number}");
        let wish = MacvlanSpec {
            mode,
            mac: Some(Mac([2, 0, 0, 0, 1, number as u8])),
            mtu: Some(1400),
            bc_queue_len: Some(2000),
            ..spec(&bed, &name)
        };
        let made = bed.host.add_macvlan(&wish).unwrap();
        assert_eq!((made.macvlan_mode, made.mtu, made.macvlan_bc_queue_len), (Some(mode), 1400, Some(2000)));
        assert_eq!((made.mac, made.up), (Some(Mac([2, 0, 0, 0, 1, number as u8])), false));
        assert_eq!(made.peer_or_parent, Some(wish.parent_index));
    }
}

#[test]
fn an_address_that_a_sibling_has_leaves_no_link() {
    let bed = bed();
    cable(&bed.host);
    let wish = |name| MacvlanSpec { mac: Some(Mac([2, 0, 0, 0, 1, 1])), up: true, ..spec(&bed, name) };
    bed.host.add_macvlan(&wish("net1")).unwrap();
    let error = bed.host.add_macvlan(&wish("net2")).unwrap_err();
    assert!(error.is_address_in_use(), "{error}");
    assert_eq!(names(&bed.pod), ["net1"]);
}

#[test]
fn passthru_takes_the_parent_for_itself() {
    let bed = bed();
    cable(&bed.host);
    let wish = MacvlanSpec { mode: MacvlanMode::Passthru, ..spec(&bed, "net1") };
    assert_eq!(bed.host.add_macvlan(&wish).unwrap().macvlan_mode, Some(MacvlanMode::Passthru));
    assert!(bed.host.add_macvlan(&spec(&bed, "net2")).is_err());
}

#[test]
fn without_a_target_it_lives_beside_its_parent() {
    let bed = bed();
    cable(&bed.host);
    let made = bed.host.add_macvlan(&MacvlanSpec { target: None, ..spec(&bed, "mac0") }).unwrap();
    assert_eq!(bed.host.link("mac0").unwrap(), Some(made.clone()));
    bed.host.change(made.index, &LinkChange { up: Some(true), ..LinkChange::default() }).unwrap();
}

#[test]
fn a_parent_that_is_gone_is_no_device() {
    let bed = bed();
    let wish =
        MacvlanSpec { name: "net1", parent_index: 4711, target: Some(&bed.pod), ..MacvlanSpec::default() };
    let error = bed.host.add_macvlan(&wish).unwrap_err();
    assert!(error.is_no_device() && error.to_string().contains("link 4711"), "{error}");
}
