//! A pool, read strictly: which addresses may be given, which only by name, and which never.

use std::net::IpAddr;

use ipnet::IpNet;
use manifold_cni::name::printable;
use manifold_crds::ipam::{BlockCidr, Domain, Mode, PoolSpec, RangeSpec};

use crate::set::AddressSet;

/// The longest that a freed address may rest, and a lost node's addresses stay with it.
const A_DAY_SECONDS: u32 = 86_400;
/// The shortest that a lost node's addresses stay with it.
const LEAST_RECLAIM_AFTER_SECONDS: u32 = 60;

/// What may be given of one subnet of one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// In which its addresses are given once.
    pub domain: Domain,
    /// Gives the prefix length.
    pub subnet: IpNet,
    /// In every result; never given.
    pub gateway: Option<IpAddr>,
    /// Given to anybody.
    pub ordinary: AddressSet,
    /// Given only to who asks by name.
    pub fixed: AddressSet,
    /// As the administrator wishes it.
    pub mode: Mode,
    /// The most addresses that a node may have; 0: no limit.
    pub max_per_node: u32,
    /// How long a freed address rests.
    pub reuse_after_seconds: u32,
    /// How long a lost node's addresses stay with it.
    pub reclaim_after_seconds: u32,
    /// No new addresses.
    pub paused: bool,
}

/// What is wrong with a pool, in one sentence, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}, at spec.{field}")]
pub struct PoolProblem {
    /// Such as `ranges[1].start`.
    pub field: String,
    /// With the remedy.
    pub sentence: String,
}

/// Why an address that was asked for by name can never be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NeverGiven {
    /// Of another subnet, or the subnet's own address, or its broadcast address.
    #[error("is not an address of an interface in the pool's subnet; ask for another one")]
    Outside,
    /// It is the gateway.
    #[error("is the pool's gateway; ask for another one")]
    Gateway,
    /// It is in no range, or excluded.
    #[error("is not in the pool's ranges or is excluded from them; ask for another one or change the pool")]
    Excluded,
}

impl Pool {
    /// Reads what an administrator wrote.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn read(spec: &PoolSpec) -> Result<Self, PoolProblem> {
        let subnet = subnet(&spec.subnet)?;
        let gateway = spec.gateway.as_deref().map(|raw| inside(raw, &subnet, "gateway")).transpose()?;
        let usable = usable(&subnet);
        let mut ordinary =
            if spec.ranges.is_empty() { usable.clone() } else { set(&spec.ranges, &subnet, "ranges")? };
        let mut fixed = set(&spec.fixed, &subnet, "fixed")?;
        let mut never = complement(&usable, &subnet);
        if let Some(gateway) = gateway {
            never.add(gateway, gateway);
        }
        for (n, raw) in spec.exclude.iter().enumerate() {
            let (first, last) = exclusion(raw, &format!("exclude[{n}]"), &subnet)?;
            never.add(first, last);
        }
        fixed.remove_all(&never);
        ordinary.remove_all(&never);
        ordinary.remove_all(&fixed);
        if ordinary.is_empty() && fixed.is_empty() {
            return Err(problem("ranges", "nothing is left to give; widen `ranges` or shorten `exclude`"));
        }
        limits(spec)?;
        Ok(Self {
            domain: spec.domain.clone(),
            subnet,
            gateway,
            ordinary,
            fixed,
            mode: spec.mode,
            max_per_node: spec.max_per_node,
            reuse_after_seconds: spec.reuse_after_seconds,
            reclaim_after_seconds: spec.reclaim_after_seconds,
            paused: spec.paused,
        })
    }

    /// Whether an address may be given to who asks for it by name.
    ///
    /// # Errors
    /// Why not, ever.
    pub fn check_requested(&self, ip: IpAddr) -> Result<(), NeverGiven> {
        if self.ordinary.contains(ip) || self.fixed.contains(ip) {
            Ok(())
        } else if Some(ip) == self.gateway {
            Err(NeverGiven::Gateway)
        } else if usable(&self.subnet).contains(ip) {
            Err(NeverGiven::Excluded)
        } else {
            Err(NeverGiven::Outside)
        }
    }

    /// The first and the last block of its subnet.
    pub fn blocks(&self) -> (BlockCidr, BlockCidr) {
        (BlockCidr::of(self.subnet.network()), BlockCidr::of(self.subnet.broadcast()))
    }

    /// Whether a node may hold all of a block. Where fixed addresses lie, each is for itself, so that nobody has to be
    /// asked for one.
    pub fn may_be_held(&self, block: BlockCidr) -> bool {
        self.fixed.is_empty() || self.fixed.mask(block) == 0
    }
}

fn problem(field: impl Into<String>, sentence: impl Into<String>) -> PoolProblem {
    PoolProblem { field: field.into(), sentence: sentence.into() }
}

fn subnet(raw: &str) -> Result<IpNet, PoolProblem> {
    let at = |sentence: String| problem("subnet", sentence);
    if raw.is_empty() {
        return Err(at("a pool needs a `subnet`; use one such as `10.1.0.0/24`".to_owned()));
    }
    let net: IpNet = raw
        .parse()
        .map_err(|_| at(format!("`{}` is not a subnet; write one such as `10.1.0.0/24`", printable(raw))))?;
    unmapped(net.addr()).map_err(|why| at(format!("`{net}` {why}")))?;
    if net.addr() != net.network() {
        return Err(at(format!("`{net}` has host bits set; write `{}`", net.trunc())));
    }
    let most = net.max_prefix_len() - 2;
    if net.prefix_len() > most {
        return Err(at(format!("`{net}` is too small to give out addresses; use /{most} or shorter")));
    }
    if net.network().is_multicast() {
        return Err(at(format!(
            "`{net}` is a multicast range; use one of which interfaces can have addresses"
        )));
    }
    Ok(net)
}

fn unmapped(ip: IpAddr) -> Result<(), String> {
    let mapped = |v4| Err(format!("is an IPv4 address in IPv6 form; write it as `{v4}`"));
    if let IpAddr::V6(v6) = ip { v6.to_ipv4_mapped().map_or(Ok(()), mapped) } else { Ok(()) }
}

/// What an interface can have: not the subnet's own address, nor IPv4's broadcast address.
fn usable(subnet: &IpNet) -> AddressSet {
    let ipv4 = subnet.addr().is_ipv4();
    let mut set = AddressSet::empty(ipv4);
    set.add(subnet.network(), subnet.broadcast());
    set.remove(subnet.network(), subnet.network());
    if ipv4 {
        set.remove(subnet.broadcast(), subnet.broadcast());
    }
    set
}

fn complement(set: &AddressSet, subnet: &IpNet) -> AddressSet {
    let mut rest = AddressSet::empty(set.is_ipv4());
    rest.add(subnet.network(), subnet.broadcast());
    rest.remove_all(set);
    rest
}

fn inside(raw: &str, subnet: &IpNet, field: &str) -> Result<IpAddr, PoolProblem> {
    let ip: IpAddr = raw.parse().map_err(|_| {
        problem(field, format!("`{}` is not an IP address; write one of `{subnet}`", printable(raw)))
    })?;
    if subnet.contains(&ip) {
        Ok(ip)
    } else {
        Err(problem(field, format!("`{ip}` is outside `{subnet}`; choose one inside")))
    }
}

fn set(ranges: &[RangeSpec], subnet: &IpNet, field: &str) -> Result<AddressSet, PoolProblem> {
    let mut set = AddressSet::empty(subnet.addr().is_ipv4());
    for (n, range) in ranges.iter().enumerate() {
        let start = inside(&range.start, subnet, &format!("{field}[{n}].start"))?;
        let end = inside(&range.end, subnet, &format!("{field}[{n}].end"))?;
        if start > end {
            let why = format!("`start` `{start}` is above `end` `{end}`; swap them");
            return Err(problem(format!("{field}[{n}]"), why));
        }
        if set.touches(start, end) {
            let why = format!("`{start}` to `{end}` overlaps a range before it; keep them apart");
            return Err(problem(format!("{field}[{n}]"), why));
        }
        set.add(start, end);
    }
    Ok(set)
}

/// Host bits are read as the network they lie in. One of the other family can exclude nothing, so it is a slip.
fn exclusion(raw: &str, field: &str, subnet: &IpNet) -> Result<(IpAddr, IpAddr), PoolProblem> {
    let net = raw.parse::<IpNet>().or_else(|_| raw.parse::<IpAddr>().map(IpNet::from));
    let bad = |why: &str| problem(field, format!("`{}` {why}", printable(raw)));
    let net = net.map_err(|_| bad("is neither a CIDR nor an address; write `10.1.5.0/24` or `10.1.5.7`"))?;
    if net.addr().is_ipv4() != subnet.addr().is_ipv4() {
        return Err(bad(&format!(
            "is of another family than `{subnet}`; remove it or put it in the other pool"
        )));
    }
    Ok((net.network(), net.broadcast()))
}

fn limits(spec: &PoolSpec) -> Result<(), PoolProblem> {
    if spec.reuse_after_seconds > A_DAY_SECONDS {
        let why = format!("`{}` is more than a day; use at most {A_DAY_SECONDS}", spec.reuse_after_seconds);
        return Err(problem("reuseAfterSeconds", why));
    }
    if !(LEAST_RECLAIM_AFTER_SECONDS..=A_DAY_SECONDS).contains(&spec.reclaim_after_seconds) {
        let why = format!(
            "`{}` is not from {LEAST_RECLAIM_AFTER_SECONDS} to {A_DAY_SECONDS}; use 300 if you have no reason for another",
            spec.reclaim_after_seconds
        );
        return Err(problem("reclaimAfterSeconds", why));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
