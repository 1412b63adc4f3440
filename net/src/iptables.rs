//! Whether there is anything for `iptables` to remove: a glance, where the tool is a process for each kind of address.

use std::{fs, io};

use crate::net::Family;
use crate::netfilter;

/// Whether an `iptables` of any make may hold one of these chains in the table, in the namespace of the calling thread.
/// Yes where the kernel does not say: then only the tool itself knows.
pub fn may_have_chain(family: Family, table: &str, names: &[String]) -> bool {
    let by_nft = match netfilter::chains(netfilter::protocol(family), table) {
        Ok(there) => names.iter().any(|name| there.contains(name)),
        Err(_) => true,
    };
    by_nft || has_legacy_table(family, table)
}

/// Whether one of these chains is there for sure, made by an `iptables` that is built on nftables.
pub fn has_chain(family: Family, table: &str, names: &[String]) -> bool {
    let there = netfilter::chains(netfilter::protocol(family), table);
    there.is_ok_and(|there| names.iter().any(|name| there.contains(name)))
}

/// The older `iptables` has tables of its own, each only once somebody used it.
fn has_legacy_table(family: Family, table: &str) -> bool {
    let version = if family == Family::V4 { "" } else { "6" };
    // Of the thread: the process may be in another namespace.
    match fs::read_to_string(format!("/proc/thread-self/net/ip{version}_tables_names")) {
        Ok(tables) => tables.lines().any(|line| line == table),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}
