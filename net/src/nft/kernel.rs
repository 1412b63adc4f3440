//! The rules of a table as the kernel itself tells them, without the tool.

use nftables::types::NfFamily;

use super::ListedRule;
use crate::net::Family;
use crate::netfilter;

/// `None` where the kernel does not answer, or with what is not understood.
pub(super) fn rules(family: NfFamily, table: &str) -> Option<Vec<ListedRule>> {
    // `NFPROTO_*`
    let protocol = match family {
        NfFamily::INet => 1,
        NfFamily::IP => netfilter::protocol(Family::V4),
        NfFamily::IP6 => netfilter::protocol(Family::V6),
        NfFamily::ARP => 3,
        NfFamily::NetDev => 5,
        NfFamily::Bridge => 7,
    };
    let found = netfilter::rules(protocol, table).ok()?.into_iter();
    let rules = found.map(|rule| {
        Some(ListedRule { handle: rule.handle.try_into().ok()?, chain: rule.chain, comment: rule.comment })
    });
    rules.collect()
}
