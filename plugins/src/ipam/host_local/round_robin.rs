//! Which address comes next: one after the last given, through all ranges of the set, until back at the start
//! (PLG-HL-8). Pure.

use std::net::IpAddr;

use manifold_plugin_conf::ip_range::{RangeSet, after};

/// Every address of a set once, beginning after `last`; what is never given out is left out.
#[derive(Clone, Debug)]
pub(super) struct RoundRobin<'a> {
    set: &'a RangeSet,
    range: usize,
    next: Option<IpAddr>,
    /// The address that is looked at last: where the walk has come round.
    stop: Option<IpAddr>,
}

impl<'a> RoundRobin<'a> {
    /// A `last` outside the set (the ranges were edited) counts as none.
    pub(super) fn new(set: &'a RangeSet, last: Option<IpAddr>) -> Self {
        let found = last.and_then(|ip| set.ranges().iter().position(|r| r.contains(ip)).map(|n| (n, ip)));
        let mut walk = Self { set, range: 0, next: None, stop: None };
        match found {
            Some((range, ip)) => {
                walk.range = range;
                walk.next = walk.step(ip);
                walk.stop = Some(ip);
            }
            None => {
                walk.next = set.ranges().first().map(|r| r.start);
                walk.stop = set.ranges().last().map(|r| r.end);
            }
        }
        walk
    }

    fn step(&mut self, ip: IpAddr) -> Option<IpAddr> {
        let ranges = self.set.ranges();
        if ip != ranges.get(self.range)?.end {
            return Some(after(ip));
        }
        self.range = (self.range + 1) % ranges.len();
        ranges.get(self.range).map(|r| r.start)
    }
}

impl Iterator for RoundRobin<'_> {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        loop {
            let ip = self.next.take()?;
            let reserved = self.set.ranges().get(self.range)?.reserved_as(ip).is_some();
            if Some(ip) != self.stop {
                self.next = self.step(ip);
            }
            if !reserved {
                return Some(ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use manifold_cni::{CniArgs, RawObject, Version};
    use manifold_plugin_conf::HostLocalConf;
    use proptest::prelude::*;

    use super::*;

    fn set(ranges: &str) -> RangeSet {
        let raw = format!(r#"{{"ipam":{{"type":"host-local","ranges":[{ranges}]}}}}"#);
        let config = RawObject::parse(raw.as_bytes()).unwrap();
        HostLocalConf::read(&config, &CniArgs::default(), Version::NEWEST).unwrap().sets.remove(0)
    }

    #[track_caller]
    fn check(ranges: &str, last: Option<&str>, expected: &[&str]) {
        let set = set(ranges);
        let got: Vec<String> =
            RoundRobin::new(&set, last.map(|l| l.parse().unwrap())).map(|ip| ip.to_string()).collect();
        assert_eq!(got, expected);
    }

    // Proves: PLG-HL-4, PLG-HL-8
    #[test]
    fn the_walk_goes_once_around_all_ranges_and_leaves_gateways_out() {
        let two = r#"[{"subnet":"10.0.0.0/29","gateway":"10.0.0.6"},{"subnet":"10.1.0.0/29"}]"#;
        let a = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"];
        let b = ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6"];
        check(two, None, &[a, b].concat());
        check(two, Some("10.0.0.5"), &[b, a].concat());
        check(two, Some("10.0.0.6"), &[b, a].concat());
        check(two, Some("10.1.0.6"), &[a, b].concat());
        check(two, Some("10.0.0.3"), &[&a[3..], &b, &a[..3]].concat());
        // A stale last address counts as none.
        check(two, Some("192.168.0.1"), &[a, b].concat());
        check(two, Some("fd00::1"), &[a, b].concat());
    }

    // Proves: PLG-HL-4
    #[test]
    fn the_smallest_pools_have_one_or_two_addresses_beside_the_gateway() {
        check(r#"[{"subnet":"10.0.0.0/30"}]"#, None, &["10.0.0.2"]);
        check(r#"[{"subnet":"10.0.0.0/30"}]"#, Some("10.0.0.2"), &["10.0.0.2"]);
        check(r#"[{"subnet":"fd00::/126"}]"#, None, &["fd00::2", "fd00::3"]);
        // A range that is nothing but the gateway has none.
        check(r#"[{"subnet":"10.0.0.0/24","rangeStart":"10.0.0.1","rangeEnd":"10.0.0.1"}]"#, None, &[]);
        check(
            r#"[{"subnet":"10.0.0.0/24","rangeStart":"10.0.0.1","rangeEnd":"10.0.0.1"}]"#,
            Some("10.0.0.1"),
            &[],
        );
    }

    // Shows part of: PLG-HL-4
    #[test]
    fn network_and_broadcast_addresses_are_left_out_where_a_range_names_them() {
        let whole = r#"[{"subnet":"10.0.0.0/29","rangeStart":"10.0.0.0","rangeEnd":"10.0.0.7"}]"#;
        let all = ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"];
        check(whole, None, &all);
        check(whole, Some("10.0.0.6"), &all);
        let v6 = r#"[{"subnet":"fd00::/126","rangeStart":"fd00::","rangeEnd":"fd00::3"}]"#;
        check(v6, None, &["fd00::2", "fd00::3"]);
        // The gateway may be one of them.
        let odd = r#"[{"subnet":"10.0.0.0/30","rangeStart":"10.0.0.0","rangeEnd":"10.0.0.3","gateway":"10.0.0.3"}]"#;
        check(odd, None, &["10.0.0.1", "10.0.0.2"]);
        assert_eq!((set(whole).capacity(), set(v6).capacity(), set(odd).capacity()), (5, 2, 2));
    }

    #[test]
    fn the_ends_of_the_address_space_do_not_wrap() {
        check(r#"[{"subnet":"255.255.255.252/30"}]"#, None, &["255.255.255.254"]);
        let top = r#"[{"subnet":"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126"}]"#;
        assert_eq!(RoundRobin::new(&set(top), None).count(), 2);
    }

    proptest! {
        // Proves: PLG-HL-8
        #[test]
        fn every_address_of_the_set_comes_exactly_once_wherever_the_walk_begins(
            bits in 24u8..=30, other in 24u8..=30, last in 0u32..512, gateway in 1u32..4,
        ) {
            let set = set(&format!(
                r#"[{{"subnet":"10.0.0.0/{bits}","gateway":"10.0.0.{gateway}"}},{{"subnet":"10.0.1.0/{other}"}}]"#
            ));
            let last = std::net::Ipv4Addr::from_bits(0x0a00_0000 + last);
            let mut seen: Vec<IpAddr> = RoundRobin::new(&set, Some(last.into())).collect();
            let count = seen.len();
            seen.sort();
            seen.dedup();
            prop_assert_eq!(seen.len(), count);
            prop_assert_eq!(count as u128, set.capacity());
            prop_assert!(seen.iter().all(|ip| set.contains(*ip)));
        }
    }
}
