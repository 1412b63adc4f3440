//! Notes on addresses, routes and gateways that fit together only at first sight: the definition can be read, and its pods
//! come out otherwise than it looks.

use std::net::IpAddr;

use ipnet::IpNet;
use manifold_cni::{RawObject, Route};

use crate::ip_range::IpRange;
use crate::problem::Note;
use crate::{BridgeConf, HostLocalConf, StaticConf, ipam, whereabouts};

/// Routes of a family of which the definition has no address, without a gateway: no packet can take them (COMPAT-12).
pub(crate) fn idle_routes(routes: &[Route], has_v4: bool, has_v6: bool) -> Vec<Note> {
    let idle = |route: &&Route| {
        let has_address = if route.dst.addr().is_ipv4() { has_v4 } else { has_v6 };
        route.gw.is_none() && !has_address
    };
    let note = |route: &Route| {
        let family = if route.dst.addr().is_ipv4() { "IPv4" } else { "IPv6" };
        Note {
            pointer: "/ipam/routes".into(),
            sentence: format!(
                "the route to `{}` names no gateway, and the network has no {family} addresses, so pods do not get \
                 it; add {family} addresses, or remove the route",
                route.dst
            ),
        }
    };
    routes.iter().filter(idle).map(note).collect()
}

pub(crate) fn host_local(conf: &HostLocalConf) -> Vec<Note> {
    let has = |v4: bool| conf.sets.iter().any(|set| set.is_ipv4() == v4);
    let mut notes = idle_routes(&conf.routes, has(true), has(false));
    let ranges = conf.sets.iter().flat_map(|set| set.ranges());
    notes
        .extend(ranges.flat_map(|range| [range.start, range.end].map(|ip| never_given(range, ip))).flatten());
    notes
}

pub(crate) fn never_given(range: &IpRange, ip: IpAddr) -> Option<Note> {
    // That the range holds the gateway is usual.
    let what = range.reserved_as(ip).filter(|_| ip != range.gateway)?;
    Some(Note {
        pointer: "/ipam".into(),
        sentence: format!("the range `{}`-`{}` holds {what}, which no pod gets", range.start, range.end),
    })
}

pub(crate) fn static_ipam(conf: &StaticConf) -> Vec<Note> {
    if conf.addresses.is_empty() {
        return Vec::new();
    }
    let has = |v4: bool| conf.addresses.iter().any(|a| a.address.addr().is_ipv4() == v4);
    let mut notes = idle_routes(&conf.routes, has(true), has(false));
    notes.extend(conf.addresses.iter().filter_map(|given| broadcast(given.address)));
    notes
}

/// Such a pod cannot be spoken to from its own subnet: neighbours with the same mask send a broadcast (COMPAT-36).
fn broadcast(address: IpNet) -> Option<Note> {
    let is_one = matches!(address, IpNet::V4(v4) if v4.prefix_len() < 31 && v4.addr() == v4.broadcast());
    is_one.then(|| Note {
        pointer: "/ipam/addresses".into(),
        sentence: format!(
            "`{address}` is the broadcast address of its subnet, so its neighbours do not reach it; use another address, or \
             the mask `/32` with a gateway"
        ),
    })
}

/// IPAM plugins that are known to name no gateway, or only a configured one, under plugins that need one (COMPAT-19).
pub(crate) fn gateway(type_name: &str, ipam_type: &str, config: &RawObject) -> Option<Note> {
    let given = ipam::given_gateway(config).is_some();
    let sentence = match (type_name, ipam_type) {
        ("ptp", "calico-ipam") => {
            "ptp routes through a gateway, and `calico-ipam` gives none, so no pod can start; use `bridge` or `macvlan`".into()
        }
        ("ptp", "whereabouts") if !given => {
            "ptp routes through a gateway, and `whereabouts` gives none without `gateway`, so no pod can start; add it".into()
        }
        ("bridge", "whereabouts") if whereabouts::leaves_out_first_hosts(config) => return None,
        ("bridge", "calico-ipam" | "whereabouts") if !given && BridgeConf::read_leniently(config).is_gateway() => format!(
            "`isGateway` needs a gateway, and `{ipam_type}` gives none, so no pod can start; name an address that is kept \
             out of its pool in `ipam.gateway`, or turn `isGateway` off"
        ),
        _ => return None,
    };
    Some(Note { pointer: "/ipam".into(), sentence })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    #[track_caller]
    fn notes(kind: &str, raw: &str) -> Vec<String> {
        let notes = check(kind, &RawObject::parse(raw.as_bytes()).unwrap()).unwrap();
        notes.into_iter().map(|note| format!("{} {}", note.pointer, note.sentence)).collect()
    }

    // Proves: COMPAT-12
    #[test]
    fn a_route_that_no_packet_can_take_is_noted() {
        let ipam = |inside: &str| format!(r#"{{"bridge":"b","ipam":{{{inside}}}}}"#);
        let routes = r#""routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]"#;
        let v4 = ipam(&format!(r#""type":"host-local","ranges":[[{{"subnet":"10.1.0.0/16"}}]],{routes}"#));
        let [note] = &notes("bridge", &v4)[..] else { panic!("{:?}", notes("bridge", &v4)) };
        assert!(
            note.starts_with("/ipam/routes the route to `::/0`") && note.contains("no IPv6 addresses"),
            "{note}"
        );
        let v6 = ipam(&format!(r#""type":"static","addresses":[{{"address":"fd00::5/64"}}],{routes}"#));
        assert!(notes("bridge", &v6)[0].contains("`0.0.0.0/0`"));
        // With a gateway it may be meant; with the runtime's ranges or addresses it may be used.
        for good in [
            ipam(r#""type":"host-local","subnet":"10.1.0.0/16","routes":[{"dst":"::/0","gw":"fe80::1"}]"#),
            v4.replacen('{', r#"{"capabilities":{"ipRanges":true},"#, 1),
            v6.replacen('{', r#"{"capabilities":{"ips":true},"#, 1),
            ipam(&format!(
                r#""type":"host-local","ranges":[[{{"subnet":"10.1.0.0/16"}}],[{{"subnet":"fd00::/64"}}]],{routes}"#
            )),
        ] {
            assert_eq!(notes("bridge", &good), [""; 0], "{good}");
        }
    }

    // Shows part of: PLG-HL-4
    #[test]
    fn a_range_that_ends_with_an_address_of_no_pod_is_noted() {
        let of = |range: &str| notes("bridge", &format!(r#"{{"ipam":{{"type":"host-local",{range}}}}}"#));
        let whole = of(r#""subnet":"10.1.0.0/24","rangeStart":"10.1.0.0","rangeEnd":"10.1.0.255""#);
        assert!(
            whole[0].contains("the address of the subnet itself") && whole[1].contains("broadcast"),
            "{whole:?}"
        );
        assert_eq!(of(r#""subnet":"10.1.0.0/24","rangeStart":"10.1.0.1","rangeEnd":"10.1.0.254""#), [""; 0]);
    }

    // Proves: COMPAT-36
    #[test]
    fn an_address_that_is_the_broadcast_of_its_mask_is_noted() {
        let of = |address: &str| {
            let ipam = format!(r#""type":"static","addresses":[{{"address":"{address}"}}]"#);
            notes("macvlan", &format!(r#"{{"ipam":{{{ipam}}}}}"#))
        };
        let [note] = &of("10.1.0.63/26")[..] else { panic!("{:?}", of("10.1.0.63/26")) };
        assert!(note.contains("`10.1.0.63/26` is the broadcast address"), "{note}");
        for good in ["10.1.0.62/26", "10.1.0.63/32", "10.1.0.63/31", "10.1.0.63/25", "fd00::ff/120"] {
            assert_eq!(of(good), [""; 0], "{good}");
        }
    }

    // Shows part of: COMPAT-19
    #[test]
    fn a_gateway_that_ipam_will_not_name_is_noted() {
        let of = |kind: &str, keys: &str, ipam: &str| {
            notes(kind, &format!(r#"{{{keys}"ipam":{{"type":{ipam}}}}}"#))
        };
        for (kind, keys, ipam) in [
            ("ptp", "", r#""calico-ipam""#),
            ("ptp", "", r#""whereabouts","range":"10.1.0.0/24""#),
            ("bridge", r#""isGateway":true,"#, r#""calico-ipam""#),
            ("bridge", r#""isDefaultGateway":true,"#, r#""whereabouts","range":"10.1.0.0/24""#),
        ] {
            let [note] = &of(kind, keys, ipam)[..] else { panic!("one note on {kind} with {ipam}") };
            assert!(note.contains("no pod can start"), "{note}");
        }
        for (kind, keys, ipam) in [
            ("bridge", "", r#""calico-ipam""#),
            ("bridge", r#""isGateway":true,"#, r#""calico-ipam","gateway":"10.1.0.1""#),
            ("ptp", "", r#""whereabouts","gateway":"10.1.0.1""#),
            ("bridge", r#""isGateway":true,"#, r#""somebody-elses""#),
            (
                "bridge",
                r#""isGateway":true,"#,
                r#""whereabouts","range":"10.1.0.0/24","range_start":"10.1.0.10""#,
            ),
        ] {
            assert_eq!(of(kind, keys, ipam), [""; 0], "{kind} with {ipam}");
        }
    }
}
