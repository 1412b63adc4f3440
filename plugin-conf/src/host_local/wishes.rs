//! Which set gives which of the requested addresses (PLG-HL-6).

use std::net::IpAddr;

use super::HostLocalConf;
use crate::requested::INSTEAD_OF_GATEWAY;

/// What each set must give: one of its addresses by name, or any (`None`).
pub type Wishes = Vec<Option<IpAddr>>;

impl HostLocalConf {
    /// Spreads the requested addresses over the sets: each to the set that contains it, one to a set.
    ///
    /// # Errors
    /// If no set can give an address that is asked for; with the reason and what to do.
    pub fn wishes(&self) -> Result<Wishes, String> {
        let mut left = self.requested.clone();
        let mut wishes = Vec::with_capacity(self.sets.len());
        for set in &self.sets {
            let at = left.iter().position(|ip| set.contains(*ip));
            let wish = at.map(|at| left.remove(at));
            if let Some(ip) = wish
                && let Some(range) = set.range_of(ip)
                && let Some(what) = range.reserved_as(ip)
            {
                let instead = if range.gateway == ip { INSTEAD_OF_GATEWAY } else { "ask for another" };
                return Err(format!("the requested address `{ip}` is {what}; {instead}"));
            }
            wishes.push(wish);
        }
        match left.first() {
            None => Ok(wishes),
            Some(ip) => Err(self.why_not(*ip)),
        }
    }

    fn why_not(&self, ip: IpAddr) -> String {
        if self.sets.iter().any(|set| set.contains(ip)) {
            return format!(
                "the requested address `{ip}` is in a range set that gives another one already; ask for one per set"
            );
        }
        let sets: Vec<String> = self.sets.iter().map(|set| format!("`{set}`")).collect();
        let sets = sets.join(", ");
        format!("the requested address `{ip}` is in none of the ranges {sets}; ask for one that is")
    }
}
