//! Which address a pod gets next, out of what the node holds. Asks nobody.

use std::net::IpAddr;

use manifold_crds::ipam::BlockCidr;

use crate::holdings::{Holdings, offsets};
use crate::lease::Leases;
use crate::moment::Moment;
use crate::pool::{NeverGiven, Pool};
use crate::set::number;

/// Why nothing can be given out of what is held. Says what to do: confirm first, wait, or claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortage {
    /// Free addresses of the pool that rest still.
    pub cooling: u32,
    /// Free addresses of the pool in blocks that must be confirmed before use.
    pub unconfirmed: u32,
    /// The pool takes no new pods.
    pub paused: bool,
}

/// The next free address of a pool: never freed before any that was, the longest free first, else in a circle after the
/// last one given.
///
/// # Errors
/// What stands in the way.
pub fn next_address(
    pool: &Pool,
    holdings: &Holdings,
    leases: &Leases,
    now: &Moment,
) -> Result<IpAddr, Shortage> {
    if pool.paused {
        return Err(Shortage { paused: true, ..Shortage::default() });
    }
    let ipv4 = pool.ordinary.is_ipv4();
    let last = leases.last(ipv4).map_or(u128::MAX, number);
    let order = |ip: &IpAddr| {
        let n = number(*ip);
        (leases.freed_at(*ip).map_or(0, |at| at + 1), n <= last, n)
    };
    let free = holdings.iter().filter(|(block, _)| block.is_ipv4() == ipv4).flat_map(|(block, _)| {
        offsets(holdings.givable(block, pool, leases, now)).map(move |offset| block.address(offset))
    });
    free.min_by_key(order).ok_or_else(|| shortage(pool, holdings, leases, now))
}

fn shortage(pool: &Pool, holdings: &Holdings, leases: &Leases, now: &Moment) -> Shortage {
    let mut shortage = Shortage::default();
    for (block, holding) in holdings.iter() {
        let free = holding.part.mask() & !holding.withheld & pool.ordinary.mask(block) & !leases.mask(block);
        if holding.is_confirmed(now) {
            let rests = leases.cooling_mask(block, pool.reuse_after_seconds, now.seconds);
            shortage.cooling += (free & rests & !holding.closing).count_ones();
        } else {
            shortage.unconfirmed += free.count_ones();
        }
    }
    shortage
}

/// What becomes of an address that was asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requested {
    /// It is held and free: make its lease.
    Give,
    /// Another attachment of this node has it.
    Taken,
    /// It is not held, or not confirmed, or leaves: ask the API server for exactly this one.
    Claim(BlockCidr),
    /// It can never be given.
    Refuse(NeverGiven),
}

/// Whether an address that was asked for by name can be given. It need not rest.
pub fn requested(pool: &Pool, ip: IpAddr, holdings: &Holdings, leases: &Leases, now: &Moment) -> Requested {
    if let Err(never) = pool.check_requested(ip) {
        return Requested::Refuse(never);
    }
    if leases.has(ip) {
        return Requested::Taken;
    }
    let block = BlockCidr::of(ip);
    let open = holdings.get(block).map_or(0, |h| h.open_mask(now));
    if open & BlockCidr::offset_of(ip).bit() != 0 { Requested::Give } else { Requested::Claim(block) }
}

#[cfg(test)]
mod tests;
