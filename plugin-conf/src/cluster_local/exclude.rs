//! `exclude`: addresses of the ranges that are never given.

use std::net::IpAddr;

use ipnet::IpNet;
use manifold_cni::RawObject;
use manifold_cni::name::printable;

use crate::address;
use crate::fit;
use crate::ip_range::RangeSet;
use crate::problem::Problem;

/// An entry of `exclude`, with its place in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// The place in the list.
    pub n: usize,
    /// The network; one address where the entry has no prefix length. Host bits are read as the network they lie in.
    pub net: IpNet,
}

/// Reads the list.
pub(super) fn read(section: &RawObject) -> Result<Vec<Exclusion>, Problem> {
    let raw: Vec<String> = fit::key(section, "exclude").map_err(|p| p.under("/ipam"))?.unwrap_or_default();
    raw.iter().enumerate().map(|(n, raw)| Ok(Exclusion { n, net: net(raw, n)? })).collect()
}

fn net(raw: &str, n: usize) -> Result<IpNet, Problem> {
    let at = |why: String| Problem::new(format!("/ipam/exclude/{n}"), why);
    let net = match (raw.parse::<IpNet>(), raw.parse::<IpAddr>()) {
        (Ok(net), _) => net.trunc(),
        (_, Ok(ip)) => ip.into(),
        _ => {
            let raw = printable(raw);
            return Err(at(format!(
                "`{raw}` is neither a network nor an address; write `10.1.5.0/24` or `10.1.5.7`"
            )));
        }
    };
    address::network(&net.to_string()).map_err(at)
}

impl Exclusion {
    /// Whether any address of these ranges is excluded by it.
    pub fn touches(&self, set: &RangeSet) -> bool {
        let (first, last) = (self.net.network(), self.net.broadcast());
        set.is_ipv4() == first.is_ipv4()
            && set.ranges().iter().any(|range| range.start <= last && first <= range.end)
    }
}
