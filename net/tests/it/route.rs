use manifold_net::{AddressOptions, Family, Net, NextHop, Route, RouteAdd, RouteFilter, RouteKind};

use crate::bed::{cable, empty, ip, net as parse};

/// A link with an address of each family: its index.
fn station(net: &Net) -> u32 {
    let (left, _) = cable(net);
    let no_dad = AddressOptions { no_dad: true, ..AddressOptions::default() };
    net.add_address(left.index, parse("10.1.0.2/24"), no_dad).unwrap();
    net.add_address(left.index, parse("fd00::2/64"), no_dad).unwrap();
    left.index
}

fn via(dst: &str, gateway: &str) -> Route {
    Route { gateway: Some(ip(gateway)), ..Route::new(parse(dst)) }
}

fn to(net: &Net, dst: &str) -> Vec<Route> {
    let routes = net.routes(RouteFilter::default()).unwrap();
    routes.into_iter().filter(|r| r.dst == parse(dst) && r.kind == RouteKind::Unicast).collect()
}

// Proves: PLG-COM-9
#[test]
fn a_second_gateway_for_the_same_destination_is_another_route_in_ipv4() {
    // Behind the first, which stays the one that is used; or in front of it.
    for (how, order) in
        [(RouteAdd::Append, ["10.1.0.1", "10.1.0.254"]), (RouteAdd::First, ["10.1.0.254", "10.1.0.1"])]
    {
        let net = empty();
        station(&net);
        for gateway in ["10.1.0.1", "10.1.0.254"] {
            net.add_route(&via("192.0.2.0/24", gateway), how).unwrap();
        }
        let gateways: Vec<_> = to(&net, "192.0.2.0/24").into_iter().map(|r| r.gateway).collect();
        assert_eq!(gateways, order.map(|gateway| Some(ip(gateway))));
        let chosen = net.route_to(ip("192.0.2.9")).unwrap().unwrap();
        assert_eq!((chosen.gateway, chosen.src), (Some(ip(order[0])), Some(ip("10.1.0.2"))));
        assert!(net.add_route(&via("192.0.2.0/24", "10.1.0.1"), how).unwrap_err().is_exists());
    }
}

// Proves: PLG-COM-9
#[test]
fn a_second_gateway_for_the_same_destination_is_another_hop_in_ipv6() {
    for how in [RouteAdd::Append, RouteAdd::First] {
        let net = empty();
        let index = station(&net);
        for gateway in ["fd00::1", "fd00::fe"] {
            net.add_route(&via("2001:db8::/32", gateway), how).unwrap();
        }
        let routes = to(&net, "2001:db8::/32");
        assert_eq!(routes.len(), 1, "{routes:?}");
        let mut hops = routes[0].multipath.clone();
        hops.sort_by_key(|hop| hop.gateway);
        let hop = |gateway| NextHop { gateway: Some(ip(gateway)), oif: index, weight: 1, onlink: false };
        assert_eq!(hops, [hop("fd00::1"), hop("fd00::fe")]);
        assert!(routes[0].leaves_by(index));
    }
}

#[test]
fn several_hops_can_be_given_at_once() {
    let net = empty();
    let index = station(&net);
    let hop =
        |gateway: &str, weight| NextHop { gateway: Some(ip(gateway)), oif: index, weight, onlink: false };
    for (dst, a, b) in [("192.0.2.0/24", "10.1.0.1", "10.1.0.9"), ("2001:db8::/32", "fd00::1", "fd00::9")] {
        let hops = vec![hop(a, 1), hop(b, 3)];
        let route = Route { multipath: hops.clone(), ..Route::new(parse(dst)) };
        net.add_route(&route, RouteAdd::Create).unwrap();
        assert_eq!(to(&net, dst)[0].multipath, hops);
        net.del_route(&route).unwrap();
        assert!(to(&net, dst).is_empty());
    }
}

// Proves: PLG-COM-9
#[test]
fn table_priority_scope_mtu_and_advmss_are_applied() {
    let net = empty();
    let index = station(&net);
    for (dst, gateway, scope) in [("192.0.2.0/24", "10.1.0.1", 0), ("2001:db8::/32", "fd00::1", 0)] {
        let route = Route {
            oif: Some(index),
            table: Some(4096),
            priority: Some(77),
            scope: Some(scope),
            mtu: Some(1300),
            advmss: Some(1240),
            protocol: Some(4),
            ..via(dst, gateway)
        };
        net.add_route(&route, RouteAdd::Create).unwrap();
        assert_eq!(to(&net, dst), [route]);
    }
    let link_scope = Route { oif: Some(index), scope: Some(253), ..Route::new(parse("198.51.100.0/24")) };
    net.add_route(&link_scope, RouteAdd::Append).unwrap();
    assert_eq!(to(&net, "198.51.100.0/24")[0].scope, Some(253));
}

// Proves: PLG-COM-9
#[test]
fn a_route_without_gateway_is_on_the_link() {
    let net = empty();
    let index = station(&net);
    for dst in ["192.0.2.0/24", "2001:db8::/32"] {
        net.add_route(&Route { oif: Some(index), ..Route::new(parse(dst)) }, RouteAdd::Append).unwrap();
        let found = to(&net, dst);
        assert_eq!((found[0].gateway, found[0].oif, found[0].table), (None, Some(index), Some(254)));
    }
    assert_eq!(to(&net, "192.0.2.0/24")[0].scope, Some(253));
}

#[test]
fn default_routes_have_source_metric_and_can_be_replaced() {
    let net = empty();
    let index = station(&net);
    for (family, first, second, src) in
        [(Family::V4, "10.1.0.1", "10.1.0.254", "10.1.0.2"), (Family::V6, "fd00::1", "fd00::fe", "fd00::2")]
    {
        let route = |gateway| Route {
            gateway: Some(ip(gateway)),
            oif: Some(index),
            src: Some(ip(src)),
            priority: Some(5),
            ..Route::default_of(family)
        };
        net.add_route(&route(first), RouteAdd::Create).unwrap();
        let error = net.add_route(&route(first), RouteAdd::Create).unwrap_err();
        assert!(error.is_exists(), "{error}");
        assert!(net.add_route(&route(first), RouteAdd::Append).unwrap_err().is_exists());
        net.add_route(&route(second), RouteAdd::Replace).unwrap();
        let filter = RouteFilter { family: Some(family), oif: Some(index), table: Some(254) };
        let defaults: Vec<_> = net.routes(filter).unwrap().into_iter().filter(Route::is_default).collect();
        assert_eq!(defaults.len(), 1, "{defaults:?}");
        assert_eq!((defaults[0].gateway, defaults[0].src), (Some(ip(second)), Some(ip(src))));
        assert_eq!(defaults[0].priority, Some(5));
        net.del_route(&defaults[0]).unwrap();
        assert!(net.del_route(&defaults[0]).unwrap_err().is_not_found());
    }
}

#[test]
fn a_gateway_off_the_link_is_unreachable_unless_declared_on_it() {
    let net = empty();
    let index = station(&net);
    for (dst, gateway) in [("192.0.2.0/24", "172.16.0.1"), ("2001:db8::/32", "fd77::1")] {
        let route = Route { oif: Some(index), ..via(dst, gateway) };
        let error = net.add_route(&route, RouteAdd::Create).unwrap_err();
        assert!(error.is_unreachable() && error.to_string().contains(gateway), "{error}");
        net.add_route(&Route { onlink: true, ..route }, RouteAdd::Create).unwrap();
        assert!(to(&net, dst)[0].onlink);
    }
}

#[test]
fn an_ipv4_route_can_go_by_an_ipv6_gateway() {
    let net = empty();
    let index = station(&net);
    let route = Route { oif: Some(index), ..via("192.0.2.0/24", "fd00::1") };
    net.add_route(&route, RouteAdd::Create).unwrap();
    assert_eq!(to(&net, "192.0.2.0/24")[0].gateway, Some(ip("fd00::1")));
}

#[test]
fn refusals_say_which_kind_they_are() {
    let net = empty();
    station(&net);
    let gone = Route { oif: Some(4711), ..Route::new(parse("192.0.2.0/24")) };
    let error = net.add_route(&gone, RouteAdd::Create).unwrap_err();
    assert!(error.is_no_device() && error.to_string().contains("`192.0.2.0/24`"), "{error}");
    assert!(net.del_route(&via("192.0.2.0/24", "10.1.0.1")).unwrap_err().is_not_found());
    assert_eq!(net.route_to(ip("203.0.113.1")).unwrap(), None);
    assert_eq!(net.route_to(ip("2001:db8::1")).unwrap(), None);
}

#[test]
fn the_tables_of_the_kernel_are_listed_with_the_others() {
    let net = empty();
    let index = station(&net);
    let local = net.routes(RouteFilter { table: Some(255), ..RouteFilter::default() }).unwrap();
    let own = local.iter().find(|r| r.dst == parse("10.1.0.2/32")).unwrap();
    assert_eq!((own.kind, own.scope, own.leaves_by(index)), (RouteKind::Local, Some(254), true));
    // IPv6 puts its own a moment later; that of the link as a whole is there at once.
    let all = net.routes(RouteFilter { family: Some(Family::V6), ..RouteFilter::default() }).unwrap();
    assert!(all.iter().any(|r| r.kind == RouteKind::Multicast && r.leaves_by(index)), "{all:?}");
}

#[test]
fn what_is_read_can_be_removed_and_added_again() {
    let net = empty();
    let index = station(&net);
    net.add_route(&via("192.0.2.0/24", "10.1.0.1"), RouteAdd::Create).unwrap();
    net.add_route(&via("2001:db8::/32", "fd00::1"), RouteAdd::Create).unwrap();
    let filter = RouteFilter { table: Some(254), oif: Some(index), ..RouteFilter::default() };
    // The kernel adds its link-local routes again on its own.
    let ours = || {
        let routes = net.routes(filter).unwrap();
        routes.into_iter().filter(|r| r.dst != parse("fe80::/64")).collect::<Vec<_>>()
    };
    let before = ours();
    // Gatewayed ones first: their gateways are reached over the others.
    let order = |r: &Route| r.gateway.is_none();
    let mut routes = before.clone();
    routes.sort_by_key(order);
    for route in &routes {
        net.del_route(route).unwrap();
    }
    assert!(ours().is_empty());
    for route in routes.iter().rev() {
        net.add_route(route, RouteAdd::Create).unwrap();
    }
    let key = |r: &Route| format!("{r:?}");
    let (mut before, mut after) = (before, ours());
    before.sort_by_key(key);
    after.sort_by_key(key);
    assert_eq!(before, after);
}
