//! Masquerading with nftables: one table for all, one rule per address, every change a single transaction
//! (PLG-COM-21, -23).

use ipnet::IpNet;
use manifold_cni::{AttachmentId, NetworkName};
use manifold_net::nft::schema::{Chain, FlushObject, NfCmd, NfListObject};
use manifold_net::nft::stmt::Statement;
use manifold_net::nft::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};
use manifold_net::nft::{Batch, Nft, NftError};

use super::key::{Key, stale};
use crate::interface::ruleset::{Home, equal, field, goto, prefix, protocol, text, unequal};

const HOME: Home = Home { family: NfFamily::INet, table: "cni_plugins_masquerade" };
const ENTRY: &str = "postrouting";
const CHECKS: &str = "masq_checks";
const SOURCE_NAT: i32 = 100;

pub(super) fn set_up(nft: &Nft, key: &Key<'_>, addresses: &[IpNet]) -> Result<(), NftError> {
    let mut batch = Batch::new();
    frame(&mut batch);
    // An ADD that was cut short may have left rules with other addresses.
    remove(&mut batch, listed(nft)?, |comment| comment.starts_with(&key.instance()));
    for address in addresses {
        batch.add(masquerade(*address, &key.comment()));
    }
    nft.apply("masquerade the pod's addresses", batch)
}

pub(super) fn tear_down(nft: &Nft, key: &Key<'_>) -> Result<(), NftError> {
    let instance = key.instance();
    remove_listed(nft, |comment| comment.starts_with(&instance))
}

pub(super) fn collect(nft: &Nft, network: &NetworkName, keep: &[AttachmentId]) -> Result<(), NftError> {
    remove_listed(nft, stale(network, keep))
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
    for multicast in ["224.0.0.0/4", "ff00::/8"] {
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
fn listed(nft: &Nft) -> Result<Vec<(u32, String)>, NftError> {
    let rules = nft.list_rules(HOME.family, HOME.table)?.into_iter();
    Ok(rules.filter(|rule| rule.chain == CHECKS).map(|rule| (rule.handle, rule.comment)).collect())
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
fn remove_listed(nft: &Nft, condemned: impl Fn(&str) -> bool) -> Result<(), NftError> {
    let mut attempts = 3;
    loop {
        let mut batch = Batch::new();
        if !remove(&mut batch, listed(nft)?, &condemned) {
            return Ok(());
        }
        match nft.apply("remove masquerading rules", batch) {
            Err(error) if error.is_not_found() && attempts > 0 => attempts -= 1,
            done => return done,
        }
    }
}
