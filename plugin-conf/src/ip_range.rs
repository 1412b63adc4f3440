//! Ranges and range sets of host-local: what can be given out, what never is (PLG-HL-1, -3, -4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use manifold_cni::RawObject;

use crate::problem::{Problem, step};
use crate::{address, fit};

/// Addresses `start` to `end`, both included, of one subnet. Some of them are never given out: see [`Self::reserved_as`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpRange {
    pub subnet: IpNet,
    pub start: IpAddr,
    pub end: IpAddr,
    pub gateway: IpAddr,
}

/// Ranges of one family without overlap, from which one address is taken. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeSet(Vec<IpRange>);

pub const KEYS: &[&str] = &["subnet", "rangeStart", "rangeEnd", "gateway"];

impl IpRange {
    pub fn is_ipv4(&self) -> bool {
        self.subnet.addr().is_ipv4()
    }

    pub fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.is_ipv4() && self.start <= ip && ip <= self.end
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.is_ipv4() == other.is_ipv4() && self.start <= other.end && other.start <= self.end
    }

    /// Why an address of the range is never given out, if it is not: as what it serves already.
    pub fn reserved_as(&self, ip: IpAddr) -> Option<&'static str> {
        self.reserved().into_iter().find_map(|(reserved, what)| (reserved == ip).then_some(what))
    }

    /// How many addresses can be given out.
    pub fn capacity(&self) -> u128 {
        let all = (number(self.end) - number(self.start)).saturating_add(1);
        let mut inside: Vec<IpAddr> =
            self.reserved().map(|(ip, _)| ip).into_iter().filter(|ip| self.contains(*ip)).collect();
        inside.sort_unstable();
        inside.dedup();
        all - inside.len() as u128
    }

    /// A range may begin or end with the subnet's own address or its broadcast address. A pod that has one of these
    /// cannot be reached: its neighbours, or routers, take packets to it for something else. IPv6 has no broadcast.
    fn reserved(&self) -> [(IpAddr, &'static str); 3] {
        let network = (self.subnet.network(), "the address of the subnet itself");
        let last = if self.is_ipv4() {
            (self.subnet.broadcast(), "the subnet's broadcast address")
        } else {
            network
        };
        [(self.gateway, "the subnet's gateway"), network, last]
    }

    /// Reads one range object; `place` is its pointer.
    pub(crate) fn read(raw: &RawObject, place: &str) -> Result<Self, Problem> {
        Self::build(raw).map_err(|p| p.under(place))
    }

    fn build(raw: &RawObject) -> Result<Self, Problem> {
        let subnet = subnet(raw)?;
        let addr = |key: &str, default: IpAddr| -> Result<IpAddr, Problem> {
            let Some(ip) = text(raw, key)?
                .map(|t| address::ip(&t))
                .transpose()
                .map_err(|why| Problem::new(step(key), format!("`{key}`: {why}")))?
            else {
                return Ok(default);
            };
            if ip.is_ipv4() != subnet.addr().is_ipv4() {
                let why =
                    format!("`{key}` `{ip}` and `subnet` `{subnet}` are of different families; use one");
                return Err(Problem::new(step(key), why));
            }
            Ok(ip)
        };
        let (first, last) = (after(subnet.network()), last_usable(&subnet));
        let gateway = addr("gateway", first)?;
        let (start, end) = (addr("rangeStart", first)?, addr("rangeEnd", last)?);
        for (key, ip) in [("rangeStart", start), ("rangeEnd", end)] {
            if !subnet.contains(&ip) {
                let why = format!("`{key}` `{ip}` is outside `subnet` `{subnet}`; choose one inside");
                return Err(Problem::new(step(key), why));
            }
        }
        if start > end {
            let why = format!("`rangeStart` `{start}` is above `rangeEnd` `{end}`; swap them");
            return Err(Problem::new("/rangeStart", why));
        }
        Ok(Self { subnet, start, end, gateway })
    }
}

impl RangeSet {
    pub fn ranges(&self) -> &[IpRange] {
        &self.0
    }

    pub fn is_ipv4(&self) -> bool {
        self.0.first().is_some_and(IpRange::is_ipv4)
    }

    pub fn range_of(&self, ip: IpAddr) -> Option<&IpRange> {
        self.0.iter().find(|r| r.contains(ip))
    }

    pub fn contains(&self, ip: IpAddr) -> bool {
        self.range_of(ip).is_some()
    }

    pub fn capacity(&self) -> u128 {
        self.0.iter().fold(0, |sum, r| sum.saturating_add(r.capacity()))
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().any(|a| other.0.iter().any(|b| a.overlaps(b)))
    }

    pub(crate) fn of_one(range: IpRange) -> Self {
        Self(vec![range])
    }

    /// Reads a list of range objects; `place` is its pointer.
    pub(crate) fn read(raw: &[RawObject], place: &str) -> Result<Self, Problem> {
        let mut ranges: Vec<IpRange> = Vec::with_capacity(raw.len());
        for (n, one) in raw.iter().enumerate() {
            let here = format!("{place}/{n}");
            let range = IpRange::read(one, &here)?;
            if let Some(other) = ranges.iter().find(|r| r.is_ipv4() != range.is_ipv4()) {
                let why = format!(
                    "`{}` and `{}` are of different families, but a set gives one address; put them in sets of their own",
                    other.subnet, range.subnet
                );
                return Err(Problem::new(here, why));
            }
            if let Some(other) = ranges.iter().find(|r| r.overlaps(&range)) {
                return Err(Problem::new(here, overlap(&range, other)));
            }
            ranges.push(range);
        }
        if ranges.is_empty() {
            return Err(Problem::new(
                place,
                "this range set is empty; give it a range with a `subnet`, or remove it",
            ));
        }
        Ok(Self(ranges))
    }
}

impl std::fmt::Display for RangeSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, range) in self.0.iter().enumerate() {
            write!(f, "{}{}-{}", if n == 0 { "" } else { "," }, range.start, range.end)?;
        }
        Ok(())
    }
}

pub(crate) fn overlap(one: &IpRange, other: &IpRange) -> String {
    format!(
        "`{}`-`{}` overlaps `{}`-`{}`, so an address could be given twice; keep the ranges apart",
        one.start, one.end, other.start, other.end
    )
}

fn subnet(raw: &RawObject) -> Result<IpNet, Problem> {
    let at = |why: String| Problem::new("/subnet", why);
    let text = text(raw, "subnet")?
        .ok_or_else(|| at("a range needs a `subnet`; use one such as `10.1.0.0/24`".into()))?;
    if text == "usePodCidr" || text == "usePodCidrIPv6" {
        return Err(at(format!(
            "`subnet` is `{text}`, a placeholder that only the calico plugin fills in; write the node's pod CIDR"
        )));
    }
    let net = address::network(&text).map_err(|why| at(format!("`subnet`: {why}")))?;
    if net.prefix_len() + 2 > net.max_prefix_len() {
        let most = net.max_prefix_len() - 2;
        return Err(at(format!(
            "`subnet` `{net}` is too small to give out addresses; use /{most} or shorter"
        )));
    }
    if net.addr() != net.network() {
        return Err(at(format!("`subnet` `{net}` has host bits set; write `{}`", net.trunc())));
    }
    Ok(net)
}

fn text(raw: &RawObject, key: &str) -> Result<Option<String>, Problem> {
    Ok(fit::key::<String>(raw, key)?.filter(|t| !t.is_empty()))
}

/// v4: the address before broadcast; v6, which has no broadcast: the last.
fn last_usable(net: &IpNet) -> IpAddr {
    match net.broadcast() {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits().saturating_sub(1)).into(),
        v6 => v6,
    }
}

/// The address as a number: for counting, and for stepping through a range.
pub fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The next address; the last one is its own successor, and no range reaches past it.
pub fn after(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits().saturating_add(1)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits().saturating_add(1)).into(),
    }
}
