use std::time::{Duration, Instant};

use manifold_net::{AddressOptions, Dad, VethSpec};

use crate::bed::{bed, empty, ip, net as parse, wire};

fn within(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

#[test]
fn a_link_that_comes_up_later_ends_the_wait_at_once() {
    let net = empty();
    let spec = VethSpec { name: "left", peer_name: Some("right"), up: true, ..VethSpec::default() };
    let (left, right) = net.add_veth(&spec).unwrap();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| net.wait_link_oper_up(left.index, within(120_000)).unwrap());
        std::thread::sleep(Duration::from_millis(100)); // Longer than the waiter needs to begin.
        net.set_up(right.index).unwrap();
        assert!(waiter.join().unwrap());
    });
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    // And one that is up already is not waited for.
    let started = Instant::now();
    assert!(net.wait_link_oper_up(left.index, within(120_000)).unwrap());
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_link_without_carrier_is_waited_for_until_the_deadline_and_no_longer() {
    let net = empty();
    let spec = VethSpec { name: "left", peer_name: Some("right"), up: true, ..VethSpec::default() };
    let (left, _) = net.add_veth(&spec).unwrap();
    let started = Instant::now();
    assert!(!net.wait_link_oper_up(left.index, within(150)).unwrap());
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(150) && took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn a_link_that_is_gone_or_goes_is_not_waited_for() {
    let net = empty();
    assert!(!net.wait_link_oper_up(4711, within(60_000)).unwrap());
    let spec = VethSpec { name: "left", peer_name: Some("right"), up: true, ..VethSpec::default() };
    let (left, _) = net.add_veth(&spec).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| net.wait_link_oper_up(left.index, within(60_000)).unwrap());
        std::thread::sleep(Duration::from_millis(50));
        net.delete(left.index).unwrap();
        assert!(!waiter.join().unwrap());
    });
}

#[test]
fn addresses_settle() {
    let bed = bed();
    let (eth0, _) = wire(&bed);
    bed.pod.add_address(eth0.index, parse("fd00::2/64"), AddressOptions::default()).unwrap();
    let started = Instant::now();
    assert_eq!(bed.pod.wait_dad(eth0.index, within(120_000)).unwrap(), Dad::Settled);
    assert!(started.elapsed() < Duration::from_secs(60));
    assert!(bed.pod.addresses(eth0.index).unwrap().iter().all(|a| !a.tentative));
}

#[test]
fn an_address_someone_else_has_is_a_duplicate() {
    let bed = bed();
    let (eth0, port) = wire(&bed);
    // Before that it may drop what it is to answer.
    assert!(bed.host.wait_link_oper_up(port.index, within(120_000)).unwrap());
    let no_dad = AddressOptions { no_dad: true, ..AddressOptions::default() };
    bed.host.add_address(port.index, parse("fd00::2/64"), no_dad).unwrap();
    bed.pod.add_address(eth0.index, parse("fd00::2/64"), AddressOptions::default()).unwrap();
    assert_eq!(bed.pod.wait_dad(eth0.index, within(120_000)).unwrap(), Dad::Duplicate(ip("fd00::2")));
}

#[test]
fn addresses_of_a_link_without_carrier_never_settle() {
    let net = empty();
    let spec = VethSpec { name: "left", peer_name: Some("right"), up: true, ..VethSpec::default() };
    let (left, _) = net.add_veth(&spec).unwrap();
    net.add_address(left.index, parse("fd00::2/64"), AddressOptions::default()).unwrap();
    assert_eq!(net.wait_dad(left.index, within(150)).unwrap(), Dad::Timeout);
    assert_eq!(net.wait_dad(4711, within(60_000)).unwrap(), Dad::Settled);
}
