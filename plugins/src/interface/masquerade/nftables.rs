//! Masquerading with nftables: one table for all, one rule per address, every change a single transaction
//! (PLG-COM-21, -23).

use std::time::Instant;

use ipnet::IpNet;
use manifold_cni::{AttachmentId, CniError, NetworkName};
use manifold_net::nft::schema::{Chain, FlushObject, NfCmd, NfListObject};
use manifold_net::nft::stmt::Statement;
use manifold_net::nft::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};
use manifold_net::nft::{Batch, ListedRule, Nft, NftError};

use super::key::{Key, stale};
use crate::interface::failure::Told;
use crate::interface::ruleset::{Home, equal, field, goto, prefix, protocol, rules, text, tool, unequal};

const HOME: Home = Home { family: NfFamily::INet, table: "cni_plugins_masquerade" };
const ENTRY: &str = "postrouting";
const CHECKS: &str = "masq_checks";
const SOURCE_NAT: i32 = 100;
/// What is sent there keeps its source.
const MULTICAST: [&str; 2] = ["224.0.0.0/4", "ff00::/8"];

pub(super) fn set_up(nft: &Nft, key: &Key<'_>, addresses: &[IpNet]) -> Result<(), NftError> {
    let mut batch = Batch::new();
    frame(&mut batch);
    // An ADD that was cut short may have left rules with other addresses.
    remove(&mut batch, about_addresses(nft.list_rules(HOME.family, HOME.table)?), |comment| {
        comment.starts_with(&key.instance())
    });
    for address in addresses {
        batch.add(masquerade(*address, &key.comment()));
    }
    nft.apply("masquerade the pod's addresses", batch)
}

pub(super) fn check(key: &Key<'_>, addresses: &[IpNet], deadline: Instant) -> Result<(), CniError> {
    let there = rules(HOME.family, HOME.table, deadline).told()?;
    let instance = key.instance();
    let own = there.iter().filter(|rule| rule.chain == CHECKS && rule.comment.starts_with(&instance)).count();
    // The last rule of the entry leads to those of the addresses.
    let entry = there.iter().filter(|rule| rule.chain == ENTRY).count();
    if own >= addresses.len() && entry > MULTICAST.len() {
        return Ok(());
    }
    let text = format!(
        "the rules of table `inet {}` that masquerade this pod are not there any more: {own} of {}, and {entry} at its entry",
        HOME.table,
        addresses.len()
    );
    Err(CniError::check(text))
}

pub(super) fn tear_down(key: &Key<'_>, deadline: Instant) -> Result<(), NftError> {
    let instance = key.instance();
    remove_listed(deadline, |comment| comment.starts_with(&instance))
}

pub(super) fn collect(
    network: &NetworkName,
    keep: &[AttachmentId],
    deadline: Instant,
) -> Result<(), NftError> {
    remove_listed(deadline, stale(network, keep))
}

/// What is there for everyone. The entry chain is refilled each time, so it heals.
fn frame(batch: &mut Batch<'static>) {
    batch.add(HOME.table());
    batch.add(NfListObject::Chain(HOME.chain(CHECKS)));
    batch.add(NfListObject::Chain(Chain {
        _type: Some(NfChainType::NAT),
        hook: Some(NfHook::Postrouting),
        prio: Some(SOURCE_NAT),
        policy: Some(NfChainPolicy::Accept),
        ..HOME.chain(ENTRY)
    }));
    batch.add_cmd(NfCmd::Flush(FlushObject::Chain(HOME.chain(ENTRY))));
    for multicast in MULTICAST {
        let multicast: IpNet = multicast.parse().expect("it is a prefix");
        let to = equal(field(protocol(multicast.addr()), "daddr"), prefix(multicast));
        batch.add(HOME.rule(ENTRY, vec![to, Statement::Return(None)], None));
    }
    batch.add(HOME.rule(ENTRY, vec![goto(CHECKS)], None));
}

fn masquerade(address: IpNet, comment: &str) -> NfListObject<'static> {
    let ip = protocol(address.addr());
    let statements = vec![
        equal(field(ip, "saddr"), text(address.addr())),
        unequal(field(ip, "daddr"), prefix(address.trunc())),
        Statement::Masquerade(None),
    ];
    HOME.rule(CHECKS, statements, Some(comment))
}

/// Handle and comment of every rule about an address.
fn about_addresses(rules: Vec<ListedRule>) -> Vec<(u32, String)> {
    let own = rules.into_iter().filter(|rule| rule.chain == CHECKS);
    own.map(|rule| (rule.handle, rule.comment)).collect()
}

fn remove(batch: &mut Batch<'static>, rules: Vec<(u32, String)>, condemned: impl Fn(&str) -> bool) -> bool {
    let mut any = false;
    for (handle, comment) in rules {
        if condemned(&comment) {
            batch.delete(HOME.rule_by_handle(CHECKS, handle));
            any = true;
        }
    }
    any
}

/// Another call may remove the same rules between the listing and the change; then the next listing has fewer.
fn remove_listed(deadline: Instant, condemned: impl Fn(&str) -> bool) -> Result<(), NftError> {
    let mut attempts = 3;
    loop {
        let mut batch = Batch::new();
        let there = about_addresses(rules(HOME.family, HOME.table, deadline)?);
        if !remove(&mut batch, there, &condemned) {
            return Ok(());
        }
        match tool(deadline)?.apply("remove masquerading rules", batch) {
            Err(error) if error.is_not_found() && attempts > 0 => attempts -= 1,
            done => return done,
        }
    }
}
