//! Which source gives which of the addresses that are asked for by name (IPAM-48).

use std::net::IpAddr;

use manifold_addresses::pool::{NeverGiven, Pool};

use super::{AddressSource, ClusterLocalConf};

impl ClusterLocalConf {
    /// Whether the addresses that are asked for can ever be given, as far as the definition alone tells: pools by name may say
    /// anything.
    ///
    /// # Errors
    /// As [`assign`].
    pub fn check_requested(&self) -> Result<(), String> {
        let pools = |source: &AddressSource| match source {
            AddressSource::Pool(_) => None,
            AddressSource::Inline(set) => {
                Some(set.pools.iter().map(|inline| inline.pool.clone()).collect::<Vec<_>>())
            }
        };
        let Some(all) = self.sources.iter().map(pools).collect::<Option<Vec<_>>>() else { return Ok(()) };
        let sources: Vec<Vec<&Pool>> = all.iter().map(|pools| pools.iter().collect()).collect();
        assign(&self.requested, &sources).map(drop)
    }
}

/// For each source, given as its pools, the address that it must give, if it must give a certain one.
///
/// # Errors
/// Where no source can ever give an address that is asked for: with the reason and what to do. This is code 7.
pub fn assign(requested: &[IpAddr], sources: &[Vec<&Pool>]) -> Result<Vec<Option<IpAddr>>, String> {
    let mut left = requested.to_vec();
    let can_give = |source: &[&Pool], ip: IpAddr| source.iter().any(|pool| pool.check_requested(ip).is_ok());
    let mut take = |source: &Vec<&Pool>| {
        let at = left.iter().position(|ip| can_give(source, *ip))?;
        Some(left.remove(at))
    };
    let assigned = sources.iter().map(&mut take).collect();
    match left.first() {
        None => Ok(assigned),
        Some(ip) => Err(why_not(*ip, sources)),
    }
}

fn why_not(ip: IpAddr, sources: &[Vec<&Pool>]) -> String {
    let all = || sources.iter().flatten();
    let why = |pool: &&Pool| pool.check_requested(ip).err();
    if all().any(|pool| why(pool).is_none()) {
        return format!(
            "the requested address `{ip}` is of a pool that gives another one already; ask for one of each pool"
        );
    }
    let inside = all().filter(|pool| pool.subnet.contains(&ip)).find_map(why);
    match inside.filter(|why| *why != NeverGiven::Outside) {
        Some(why) => format!("the requested address `{ip}` {why}"),
        None => {
            let subnets: Vec<String> = all().map(|pool| format!("`{}`", pool.subnet)).collect();
            format!(
                "the requested address `{ip}` is no pod's address in {}; ask for one that is",
                subnets.join(", ")
            )
        }
    }
}
