//! Decides which tables, rules and routes an interface gets; touches nothing (PLG-SBR-4 to -6).

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use manifold_cni::IpConfig;
use manifold_net::{Family, Link, Route, RouteKind, Rule, route};
use manifold_plugin_conf::SbrConf;

use crate::meta::chained;

/// Lower numbers are those that people choose.
const FIRST_TABLE: u32 = 100;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) ways: Vec<Way>,
    /// Routes of the main table that get a source address: as they are, as they will be.
    pub(super) hinted: Vec<(Route, Route)>,
    /// Routes that leave the main table, in the order in which they can.
    pub(super) moved: Vec<Route>,
}

/// What holds for packets from one address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) source: IpNet,
    pub(super) table: u32,
    pub(super) routes: Vec<Route>,
}

impl Plan {
    /// The table is somebody else's.
    pub(super) fn rules_only(ips: &[IpConfig], table: u32) -> Self {
        let way = |ip: &IpConfig| Way { source: chained::alone(ip), table, routes: Vec::new() };
        Self { ways: ips.iter().map(way).collect(), ..Self::default() }
    }

    pub(super) fn new(
        link: &Link,
        ips: &[IpConfig],
        conf: &SbrConf,
        rules: &[Rule],
        routes: &[Route],
    ) -> Self {
        let mut used: BTreeSet<u32> = rules.iter().map(|rule| rule.table).collect();
        used.extend(routes.iter().map(Route::table_or_main));
        let own: Vec<&Route> = routes.iter().filter(|route| is_own(route, link)).collect();
        let mut plan = Self::default();
        for ip in ips {
            let table = (FIRST_TABLE..).find(|table| used.insert(*table)).unwrap_or(FIRST_TABLE);
            plan.ways.push(way(link, ip, conf, table, &own));
        }
        for route in own {
            match conf.add_source_hints && is_direct(route) {
                true => plan.hinted.extend(hinted(route, ips).map(|hinted| (route.clone(), hinted))),
                false => plan.moved.push(route.clone()),
            }
        }
        plan.moved.sort_by_key(is_direct);
        plan
    }
}

/// Routes of the main table over this link alone. Link-local ones stay: packets from such addresses name their link
/// themselves, and neighbours could not be found without.
fn is_own(route: &Route, link: &Link) -> bool {
    let link_local = matches!(route.dst.addr(), IpAddr::V6(ip) if ip.is_unicast_link_local());
    route.table_or_main() == route::MAIN_TABLE
        && route.oif == Some(link.index)
        && route.kind == RouteKind::Unicast
        && !link_local
}

/// Its destination is on the link itself.
fn is_direct(route: &Route) -> bool {
    route.gateway.is_none() && route.dst.prefix_len() > 0
}

/// The way out for an address: the configured one of its family, else its own.
pub(super) fn gateway(ip: &IpConfig, conf: &SbrConf) -> Option<IpAddr> {
    conf.gateways.of(ip.address.addr()).or(ip.gateway)
}

fn way(link: &Link, ip: &IpConfig, conf: &SbrConf, table: u32, own: &[&Route]) -> Way {
    // An earlier plugin may have removed it.
    let by_default = gateway(ip, conf).map(|gateway| Route {
        gateway: Some(gateway),
        oif: Some(link.index),
        table: Some(table),
        ..Route::default_of(Family::of(ip.address.addr()))
    });
    let copied = own.iter().filter(|route| fits(route, ip.address));
    let copied = copied.map(|route| Route { table: Some(table), onlink: false, ..(*route).clone() });
    Way { source: chained::alone(ip), table, routes: by_default.into_iter().chain(copied).collect() }
}

/// Its source or gateway is in the address's network, or it has neither.
fn fits(route: &Route, address: IpNet) -> bool {
    let within = |ip: Option<IpAddr>| ip.is_some_and(|ip| address.contains(&ip));
    Family::of(route.dst.addr()) == Family::of(address.addr())
        && (within(route.src) || within(route.gateway) || (route.src.is_none() && route.gateway.is_none()))
}

/// The route with the source address that belongs to its network; `None` where it has that already.
fn hinted(route: &Route, ips: &[IpConfig]) -> Option<Route> {
    let ip = ips.iter().find(|ip| ip.address.trunc() == route.dst)?.address.addr();
    (route.src != Some(ip)).then(|| Route { src: Some(ip), ..route.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link { index: 7, name: "net1".into(), ..Link::default() }
    }

    fn ip(raw: &str, gateway: Option<&str>) -> IpConfig {
        IpConfig::new(raw.parse().unwrap(), gateway.map(|gw| gw.parse().unwrap()))
    }

    fn direct(dst: &str, src: Option<&str>) -> Route {
        let src = src.map(|src| src.parse().unwrap());
        Route { oif: Some(7), src, table: Some(254), ..Route::new(dst.parse().unwrap()) }
    }

    // Proves: PLG-SBR-4
    #[test]
    fn tables_are_those_that_no_rule_and_no_route_uses() {
        let rules = [Rule::from_source("10.9.9.9/32".parse().unwrap(), 101)];
        let elsewhere =
            Route { table: Some(100), oif: Some(3), ..Route::new("10.8.0.0/16".parse().unwrap()) };
        let ips = [ip("10.1.0.2/24", None), ip("10.2.0.2/24", None), ip("fd00::2/64", None)];
        let plan = Plan::new(&link(), &ips, &SbrConf::default(), &rules, &[elsewhere]);
        let tables: Vec<u32> = plan.ways.iter().map(|way| way.table).collect();
        assert_eq!(tables, [102, 103, 104]);
        let sources: Vec<String> = plan.ways.iter().map(|way| way.source.to_string()).collect();
        assert_eq!(sources, ["10.1.0.2/32", "10.2.0.2/32", "fd00::2/128"]);
    }

    // Proves: PLG-SBR-4
    #[test]
    fn each_address_gets_the_routes_of_its_own_network_and_those_of_nobody() {
        let routes = [
            Route { gateway: Some("10.1.0.1".parse().unwrap()), ..direct("10.50.0.0/16", None) },
            direct("10.1.0.0/24", Some("10.1.0.2")),
            direct("10.2.0.0/24", Some("10.2.0.2")),
            direct("10.3.0.0/24", None),
            direct("fe80::/64", None),
            direct("fd00::/64", None),
            Route { oif: Some(8), ..direct("10.4.0.0/24", None) },
        ];
        let ips = [ip("10.1.0.2/24", Some("10.1.0.1")), ip("10.2.0.2/24", None)];
        let plan = Plan::new(&link(), &ips, &SbrConf::default(), &[], &routes);
        let of = |n: usize| -> Vec<String> {
            plan.ways[n].routes.iter().map(|route| route.dst.to_string()).collect()
        };
        assert_eq!(of(0), ["0.0.0.0/0", "10.50.0.0/16", "10.1.0.0/24", "10.3.0.0/24"]);
        assert_eq!(of(1), ["10.2.0.0/24", "10.3.0.0/24"]);
        let moved: Vec<String> = plan.moved.iter().map(|route| route.dst.to_string()).collect();
        assert_eq!(moved, ["10.50.0.0/16", "10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24", "fd00::/64"]);
    }

    // Proves: PLG-SBR-4, PLG-SBR-5
    #[test]
    fn a_static_gateway_wins_and_hints_keep_the_direct_routes() {
        let raw = br#"{"gateways":["10.1.0.254"],"addSourceHints":true}"#;
        let conf = SbrConf::read(&manifold_cni::RawObject::parse(raw).unwrap()).unwrap();
        let through = Route { gateway: Some("10.1.0.1".parse().unwrap()), ..Route::default_of(Family::V4) };
        let routes = [
            Route { oif: Some(7), ..through },
            direct("10.1.0.0/24", None),
            direct("10.2.0.0/24", Some("10.2.0.2")),
        ];
        let ips = [ip("10.1.0.2/24", Some("10.1.0.1")), ip("10.2.0.2/24", None)];
        let plan = Plan::new(&link(), &ips, &conf, &[], &routes);
        assert_eq!(plan.ways[0].routes[0].gateway, Some("10.1.0.254".parse().unwrap()));
        let [(old, new)] = &plan.hinted[..] else { panic!("{:?}", plan.hinted) };
        assert_eq!((old.src, new.src), (None, Some("10.1.0.2".parse().unwrap())));
        assert_eq!(plan.moved.len(), 1, "only the one through a gateway");
    }
}
