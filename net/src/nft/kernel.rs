//! The chains and rules of a table as the kernel itself tells them, without the tool.

use nftables::types::NfFamily;

use super::ListedRule;
use crate::net::Family;
use crate::netfilter;

/// The rules of a table, none if there is no such table; `None` where the kernel does not answer, or not in a form that
/// is understood.
pub fn rules(family: NfFamily, table: &str) -> Option<Vec<ListedRule>> {
    let found = netfilter::rules(protocol(family), table).ok()?.into_iter();
    let rules = found.map(|rule| {
        Some(ListedRule { handle: rule.handle.try_into().ok()?, chain: rule.chain, comment: rule.comment })
    });
    rules.collect()
}

/// The names of a table's chains, as [`rules`] answers.
pub fn chains(family: NfFamily, table: &str) -> Option<Vec<String>> {
    netfilter::chains(protocol(family), table).ok()
}

/// `NFPROTO_*`
fn protocol(family: NfFamily) -> u8 {
    match family {
        NfFamily::INet => 1,
        NfFamily::IP => netfilter::protocol(Family::V4),
        NfFamily::IP6 => netfilter::protocol(Family::V6),
        NfFamily::ARP => 3,
        NfFamily::NetDev => 5,
        NfFamily::Bridge => 7,
    }
}
