//! Port mappings with nftables: one table for each family, whose frame is refilled with every ADD and so heals
//! (PLG-PORTMAP-7).
//!
//! Table and chains are those of the reference, which finds its own rules by another comment, so both can serve one
//! node. Only traffic to an address of the host is looked at, and only what was mapped is masqueraded.

mod held;

use std::fmt::Write;
use std::time::Instant;

use manifold_cni::{AttachmentId, CniError, NetworkName};
use manifold_net::Family;
use manifold_net::nft::types::NfFamily;
use manifold_net::nft::{ListedRule, NftError};
use manifold_plugin_conf::PortmapConf;
use manifold_plugin_conf::portmap::PortMapping;

pub(super) use self::held::held;
use super::wish::{Wish, host_address};
use crate::interface::failure::Told;
use crate::interface::masquerade::{Key, stale};
use crate::interface::ruleset::{self, tool};

const TABLE: &str = "cni_hostport";
/// Mappings with an address come before those without.
const BY_ADDRESS: &str = "hostip_hostports";
const BY_PORT: &str = "hostports";
const ALL_PORTS: &str = "hostports_all";
/// Not the reference's `masquerading`: that has another place among the chains, and the kernel refuses whoever asks for
/// a chain in a place where it is not.
const MASQUERADING: &str = "mapped_masquerading";
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

pub(super) fn set_up(
    conf: &PortmapConf,
    key: &Key<'_>,
    wishes: &[Wish],
    deadline: Instant,
) -> Result<(), NftError> {
    let nft = tool(deadline)?;
    let mut attempts = 3;
    loop {
        let mut script = String::new();
        for wish in wishes {
            frame(&mut script, wish.family());
            // An ADD that was cut short may have left rules with other addresses.
            remove(&mut script, wish.family(), &listed(wish.family(), deadline)?, |comment| {
                is_of(comment, key)
            });
            for (chain, rule) in rules(conf, wish) {
                let (family, comment) = (word(wish.family()), key.comment());
                // The newest comes first: what a pod left that is gone is in nobody's way.
                put(
                    &mut script,
                    &format!("insert rule {family} {TABLE} {chain} {rule} comment \"{comment}\""),
                );
            }
        }
        match nft.apply_script("map the pod's ports", &script) {
            // Another call removed one of the same leftovers meanwhile.
            Err(error) if error.is_not_found() && attempts > 0 => attempts -= 1,
            done => return done,
        }
    }
}

pub(super) fn check(
    conf: &PortmapConf,
    key: &Key<'_>,
    wishes: &[Wish],
    deadline: Instant,
) -> Result<(), CniError> {
    for wish in wishes {
        let found = listed(wish.family(), deadline).told()?;
        let wanted = rules(conf, wish);
        for chain in [BY_ADDRESS, BY_PORT, MASQUERADING] {
            let expected = wanted.iter().filter(|(of, _)| *of == chain).count();
            let in_chain = found.iter().filter(|rule| rule.chain == chain);
            let there = in_chain.clone().filter(|rule| is_of(&rule.comment, key)).count();
            // The reference writes the container alone, and masquerades in a chain of another name.
            let by_reference = in_chain.filter(|rule| rule.comment == key.container).count();
            let is_by_reference = found.iter().any(|rule| rule.comment == key.container);
            let enough = if chain == MASQUERADING { is_by_reference } else { by_reference >= expected };
            if there < expected && !enough {
                let family = word(wish.family());
                let text = format!(
                    "chain `{chain}` of table `{family} {TABLE}` has {there} rules for this pod's ports, not {expected}"
                );
                return Err(CniError::check(text));
            }
        }
        for chain in ["prerouting", "output"] {
            if !found.iter().any(|rule| rule.chain == chain) {
                return Err(CniError::check(format!(
                    "chain `{chain}` of table `{TABLE}` leads nowhere any more"
                )));
            }
        }
    }
    Ok(())
}

/// Whether there was anything to remove.
pub(super) fn tear_down(key: &Key<'_>, deadline: Instant) -> Result<bool, NftError> {
    remove_listed(deadline, |comment| is_of(comment, key) || comment == key.container)
}

pub(super) fn collect(
    network: &NetworkName,
    keep: &[AttachmentId],
    deadline: Instant,
) -> Result<(), NftError> {
    remove_listed(deadline, stale(network, keep)).map(drop)
}

fn is_of(comment: &str, key: &Key<'_>) -> bool {
    comment.starts_with(&key.instance())
}

/// Chain and text of every rule, in the order in which they are to be inserted.
fn rules(conf: &PortmapConf, wish: &Wish) -> Vec<(&'static str, String)> {
    let mut rules = Vec::new();
    let ip = word(wish.family());
    let (address, network) = (wish.address.addr(), wish.address.trunc());
    let (conditions, target) = match wish.family() {
        Family::V4 => (&conf.conditions_v4, address.to_string()),
        Family::V6 => (&conf.conditions_v6, format!("[{address}]")),
    };
    let conditions = conditions.join(" ");
    for PortMapping { host_port, container_port, protocol, .. } in &wish.mappings {
        let protocol = protocol.as_str();
        let mapped = format!(
            "{ip} daddr {address} {protocol} dport {container_port} ct status dnat ct original proto-dst {host_port}"
        );
        match (conf.snat, conf.masq_all, wish.family()) {
            (false, ..) => {}
            (true, true, _) => rules.push((MASQUERADING, format!("{mapped} masquerade"))),
            (true, false, family) => {
                rules.push((MASQUERADING, format!("{ip} saddr {network} {mapped} masquerade")));
                if family == Family::V4 {
                    rules.push((MASQUERADING, format!("ip saddr 127.0.0.1 {mapped} masquerade")));
                }
            }
        }
    }
    for mapping in &wish.mappings {
        let PortMapping { host_port, container_port, protocol, .. } = mapping;
        let port =
            format!("{conditions} {} dport {host_port} dnat to {target}:{container_port}", protocol.as_str());
        rules.push(match host_address(mapping) {
            Some(host) => (BY_ADDRESS, format!("{ip} daddr {host} {port}")),
            None => (BY_PORT, port),
        });
    }
    rules
}

/// What is there for everyone.
fn frame(script: &mut String, family: Family) {
    let at = format!("{} {TABLE}", word(family));
    put(script, &format!("add table {at}"));
    for chain in [BY_ADDRESS, BY_PORT, ALL_PORTS] {
        put(script, &format!("add chain {at} {chain}"));
    }
    for chain in ["prerouting", "output"] {
        put(script, &format!("add chain {at} {chain} {{ type nat hook {chain} priority -100; }}"));
        put(script, &format!("flush chain {at} {chain}"));
        for to in [BY_ADDRESS, BY_PORT, ALL_PORTS] {
            put(script, &format!("add rule {at} {chain} {}fib daddr type local jump {to}", spared(family)));
        }
    }
    // Before all others: their rules may masquerade otherwise, or not at all.
    put(script, &format!("add chain {at} {MASQUERADING} {{ type nat hook postrouting priority 90; }}"));
}

/// The kernel delivers nothing beyond the host that was sent to `::1`. A connection there is refused at once rather than
/// left without an answer, so that a client which tries `localhost` goes on to 127.0.0.1.
fn spared(family: Family) -> &'static str {
    match family {
        Family::V4 => "",
        Family::V6 => "ip6 daddr != ::1 ",
    }
}

fn put(script: &mut String, line: &str) {
    writeln!(script, "{line}").expect("writing to a String cannot fail");
}

fn word(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

fn listed(family: Family, deadline: Instant) -> Result<Vec<ListedRule>, NftError> {
    ruleset::rules(nf_family(family), TABLE, deadline)
}

fn nf_family(family: Family) -> NfFamily {
    match family {
        Family::V4 => NfFamily::IP,
        Family::V6 => NfFamily::IP6,
    }
}

fn remove(script: &mut String, family: Family, rules: &[ListedRule], condemned: impl Fn(&str) -> bool) {
    for ListedRule { chain, handle, .. } in rules.iter().filter(|rule| condemned(&rule.comment)) {
        put(script, &format!("delete rule {} {TABLE} {chain} handle {handle}", word(family)));
    }
}

/// Another call may remove the same rules between the listing and the change; then the next listing has fewer.
fn remove_listed(deadline: Instant, condemned: impl Fn(&str) -> bool) -> Result<bool, NftError> {
    let mut attempts = 3;
    loop {
        let mut script = String::new();
        for family in FAMILIES {
            remove(&mut script, family, &listed(family, deadline)?, &condemned);
        }
        if script.is_empty() {
            return Ok(false);
        }
        match tool(deadline)?.apply_script("remove the mapping of ports", &script) {
            Err(error) if error.is_not_found() && attempts > 0 => attempts -= 1,
            done => return done.map(|()| true),
        }
    }
}
