//! A set of addresses of one family, as intervals. No step counts depend on how many addresses there are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use manifold_crds::ipam::{BlockCidr, Offset};

/// Addresses of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressSet {
    ipv4: bool,
    /// First and last, sorted, apart from each other.
    intervals: Vec<(u128, u128)>,
}

/// An address as a number.
pub fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn address(number: u128, ipv4: bool) -> IpAddr {
    if ipv4 {
        // What was made from IPv4 addresses has 32 bits.
        IpAddr::V4(Ipv4Addr::from_bits(number as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(number))
    }
}

impl AddressSet {
    /// Nothing.
    pub fn empty(ipv4: bool) -> Self {
        Self { ipv4, intervals: Vec::new() }
    }

    /// Whether its addresses are IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.ipv4
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// Adds the addresses from one to another, both included. Those of the other family are no part of this set.
    pub fn add(&mut self, first: IpAddr, last: IpAddr) {
        let Some((mut first, mut last)) = self.interval(first, last) else { return };
        self.intervals.retain(|(a, b)| {
            let apart = b.saturating_add(1) < first || last.saturating_add(1) < *a;
            if !apart {
                (first, last) = (first.min(*a), last.max(*b));
            }
            apart
        });
        self.intervals.push((first, last));
        self.intervals.sort_unstable();
    }

    /// Removes the addresses from one to another, both included.
    pub fn remove(&mut self, first: IpAddr, last: IpAddr) {
        let Some((first, last)) = self.interval(first, last) else { return };
        let cut = |(a, b): (u128, u128)| {
            let below = (a < first).then(|| (a, b.min(first.saturating_sub(1))));
            let above = (last < b).then(|| (a.max(last.saturating_add(1)), b));
            [below, above].into_iter().flatten()
        };
        self.intervals = self.intervals.iter().copied().flat_map(cut).collect();
    }

    /// Removes what is in another set.
    pub fn remove_all(&mut self, other: &Self) {
        for (first, last) in &other.intervals {
            self.remove(address(*first, other.ipv4), address(*last, other.ipv4));
        }
    }

    /// Adds what is in another set.
    pub fn add_all(&mut self, other: &Self) {
        for (first, last) in &other.intervals {
            self.add(address(*first, other.ipv4), address(*last, other.ipv4));
        }
    }

    /// Whether an address is in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let n = number(ip);
        ip.is_ipv4() == self.ipv4 && self.intervals.iter().any(|(a, b)| *a <= n && n <= *b)
    }

    /// Whether any address from one to another is in it.
    pub fn touches(&self, first: IpAddr, last: IpAddr) -> bool {
        self.interval(first, last)
            .is_some_and(|(first, last)| self.intervals.iter().any(|(a, b)| *a <= last && first <= *b))
    }

    /// Whether any address is in both.
    pub fn meets(&self, other: &Self) -> bool {
        let meets = |(a, b): &(u128, u128)| other.intervals.iter().any(|(c, d)| a <= d && c <= b);
        self.ipv4 == other.ipv4 && self.intervals.iter().any(meets)
    }

    /// How many there are.
    pub fn count(&self) -> u128 {
        self.intervals.iter().fold(0, |sum, (a, b)| sum.saturating_add((b - a).saturating_add(1)))
    }

    /// Which addresses of a block are in it, a bit for each offset.
    pub fn mask(&self, block: BlockCidr) -> u16 {
        Offset::all().filter(|o| self.contains(block.address(*o))).fold(0, |mask, o| mask | o.bit())
    }

    /// How many blocks it touches.
    pub fn blocks(&self) -> u128 {
        self.block_runs().fold(0, |sum, (a, b)| sum.saturating_add((b - a).saturating_add(1)))
    }

    /// The block of that number among those it touches, in order.
    pub fn nth_block(&self, mut n: u128) -> Option<BlockCidr> {
        for (first, last) in self.block_runs() {
            if n <= last - first {
                return Some(BlockCidr::of(address((first + n) << 4, self.ipv4)));
            }
            n -= last - first + 1;
        }
        None
    }

    /// Runs of block numbers, each block once though two intervals may lie in it.
    fn block_runs(&self) -> impl Iterator<Item = (u128, u128)> {
        let mut next = 0;
        self.intervals.iter().filter_map(move |(a, b)| {
            let run = ((a >> 4).max(next), b >> 4);
            next = run.1 + 1;
            (run.0 <= run.1).then_some(run)
        })
    }

    fn interval(&self, first: IpAddr, last: IpAddr) -> Option<(u128, u128)> {
        let fits = first.is_ipv4() == self.ipv4 && last.is_ipv4() == self.ipv4 && first <= last;
        fits.then(|| (number(first), number(last)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v4(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    // Shows part of: IPAM-14
    #[test]
    fn the_ends_of_the_ipv6_space_are_addresses_like_others() {
        let (first, last): (IpAddr, IpAddr) =
            ("::".parse().unwrap(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap());
        let mut set = AddressSet::empty(false);
        set.add(first, last);
        assert_eq!((set.count(), set.blocks()), (u128::MAX, 1 << 124));
        assert_eq!(set.nth_block((1 << 124) - 1), Some(BlockCidr::of(last)));
        assert_eq!(set.nth_block(1 << 124), None);
        set.remove(last, last);
        set.remove(first, first);
        assert_eq!(
            (set.count(), set.mask(BlockCidr::of(last)), set.mask(BlockCidr::of(first))),
            (u128::MAX - 1, 0x7fff, 0xfffe)
        );
    }

    proptest! {
        /// Against the obvious set of single addresses.
        #[test]
        fn intervals_are_sets(steps in proptest::collection::vec((any::<bool>(), any::<u8>(), any::<u8>()), 0..20)) {
            let mut set = AddressSet::empty(true);
            let mut plain = std::collections::BTreeSet::new();
            for (add, a, b) in steps {
                let (a, b) = (a.min(b), a.max(b));
                if add {
                    set.add(v4(a), v4(b));
                    plain.extend(a..=b);
                } else {
                    set.remove(v4(a), v4(b));
                    plain.retain(|n| *n < a || b < *n);
                }
            }
            prop_assert_eq!(set.count(), plain.len() as u128);
            for n in 0..=255 {
                prop_assert_eq!(set.contains(v4(n)), plain.contains(&n));
            }
            let blocks: std::collections::BTreeSet<u8> = plain.iter().map(|n| n >> 4).collect();
            prop_assert_eq!(set.blocks(), blocks.len() as u128);
            for (n, block) in blocks.iter().enumerate() {
                prop_assert_eq!(set.nth_block(n as u128), Some(BlockCidr::of(v4(block << 4))));
            }
            prop_assert_eq!(set.nth_block(blocks.len() as u128), None);
        }
    }
}
