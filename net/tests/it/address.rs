use manifold_net::{AddressOptions, RouteFilter};

use crate::bed::{cable, empty, net as parse};

#[test]
fn addresses_of_both_families_are_added_listed_and_removed() {
    let net = empty();
    let (left, right) = cable(&net);
    let (v4, v6) = (parse("10.1.2.3/24"), parse("fd00::3/64"));
    net.add_address(left.index, v4, AddressOptions::default()).unwrap();
    net.add_address(left.index, v6, AddressOptions { no_dad: true, ..AddressOptions::default() }).unwrap();
    net.add_address(right.index, parse("10.9.9.9/32"), AddressOptions::default()).unwrap();
    let global = || {
        let all = net.addresses(left.index).unwrap();
        all.into_iter().filter(|a| a.scope == 0).map(|a| (a.ip, a.tentative, a.permanent)).collect::<Vec<_>>()
    };
    assert_eq!(global(), [(v4, false, true), (v6, false, true)]);
    net.del_address(left.index, v4).unwrap();
    assert_eq!(global(), [(v6, false, true)]);
    let error = net.del_address(left.index, v4).unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("`10.1.2.3/24`"), "{error}");
    assert!(net.all_addresses().unwrap().iter().any(|a| a.ip == parse("10.9.9.9/32")));
}

#[test]
fn the_same_address_twice_is_an_error_unless_it_may_replace() {
    let net = empty();
    let (left, _) = cable(&net);
    let ip = parse("10.1.2.3/24");
    net.add_address(left.index, ip, AddressOptions::default()).unwrap();
    let error = net.add_address(left.index, ip, AddressOptions::default()).unwrap_err();
    assert!(error.is_exists(), "{error}");
    let replace = AddressOptions { replace: true, ..AddressOptions::default() };
    net.add_address(left.index, ip, replace).unwrap();
    assert_eq!(net.addresses(left.index).unwrap().iter().filter(|a| a.ip == ip).count(), 1);
}

#[test]
fn the_prefix_route_comes_unless_refused() {
    let net = empty();
    let (left, _) = cable(&net);
    let options = AddressOptions { no_prefix_route: true, ..AddressOptions::default() };
    net.add_address(left.index, parse("10.1.0.1/24"), AddressOptions::default()).unwrap();
    net.add_address(left.index, parse("10.2.0.1/24"), options).unwrap();
    let filter = RouteFilter { table: Some(254), ..RouteFilter::default() };
    let routes = net.routes(filter).unwrap();
    assert!(routes.iter().any(|r| r.dst == parse("10.1.0.0/24")));
    assert!(!routes.iter().any(|r| r.dst == parse("10.2.0.0/24")));
}

#[test]
fn a_link_that_is_gone_has_no_addresses_and_takes_none() {
    let net = empty();
    assert!(net.addresses(4711).unwrap().is_empty());
    let error = net.add_address(4711, parse("10.1.2.3/24"), AddressOptions::default()).unwrap_err();
    assert!(error.is_no_device(), "{error}");
}
