//! Masquerading with iptables: a chain per container and network in table `nat` (PLG-COM-20).
//!
//! The present rules are read once, what has to change is decided, and `iptables-restore` makes the change at one go.

use std::time::Instant;

use ipnet::IpNet;
use manifold_cni::{AttachmentId, CniError, NetworkName};

use super::key::{Key, iptables_comment};
use crate::interface::teardown::Teardown;
use crate::iptables::{BOTH, Family, Tool, nothing_stays_without_tool, quoted};

const TABLE: &str = "nat";
const WHAT: &str = "change masquerading";

pub(super) fn set_up(key: &Key<'_>, addresses: &[IpNet], deadline: Instant) -> Result<(), CniError> {
    for family in BOTH {
        let own: Vec<_> = addresses.iter().filter(|ip| family.has(ip.addr())).copied().collect();
        if own.is_empty() {
            continue;
        }
        let tool = Tool::find(family, deadline).ok_or_else(|| missing(family))?;
        tool.settle(TABLE, WHAT, tool.rules(TABLE)?, |there| additions(there, key, &own))?;
    }
    Ok(())
}

pub(super) fn check(key: &Key<'_>, addresses: &[IpNet], deadline: Instant) -> Result<(), CniError> {
    for family in BOTH {
        let own: Vec<_> = addresses.iter().filter(|ip| family.has(ip.addr())).copied().collect();
        if own.is_empty() {
            continue;
        }
        let tool = Tool::find(family, deadline).ok_or_else(|| missing(family))?;
        if let Some(line) = additions(&tool.rules(TABLE)?, key, &own).first() {
            return Err(CniError::check(format!(
                "the iptables rules that masquerade this pod lack `{line}`"
            )));
        }
    }
    Ok(())
}

pub(super) fn tear_down(
    key: &Key<'_>,
    addresses: Option<&[IpNet]>,
    deadline: Instant,
) -> Result<(), CniError> {
    let concerned =
        |family: &Family| addresses.is_none_or(|known| known.iter().any(|ip| family.has(ip.addr())));
    let families: Vec<Family> = BOTH.into_iter().filter(concerned).collect();
    let chains = [key.chain()];
    let mut teardown = Teardown::default();
    teardown.part(nothing_stays_without_tool(&families, TABLE, &chains, deadline));
    teardown.part(on_usable(families, &chains, deadline, |rules| removals(rules, key, addresses)));
    teardown.finish()
}

pub(super) fn collect(
    network: &NetworkName,
    keep: &[AttachmentId],
    deadline: Instant,
) -> Result<(), CniError> {
    on_usable(BOTH, &[], deadline, |rules| {
        let stale = stale_containers(rules, network, keep);
        let all = stale.iter().map(|container| Key { network, container, ifname: "" });
        all.flat_map(|key| removals(rules, &key, None)).collect()
    })
}

/// Changes the rules where the host has the tool and the tool works; a host without has no rules either.
fn on_usable(
    families: impl IntoIterator<Item = Family>,
    chains: &[String],
    deadline: Instant,
    decide: impl Fn(&[String]) -> Vec<String>,
) -> Result<(), CniError> {
    let mut teardown = Teardown::default();
    for tool in families.into_iter().filter_map(|family| Tool::find(family, deadline)) {
        if let Some(done) = tool.remove(TABLE, WHAT, chains, &decide) {
            teardown.part(done);
        }
    }
    teardown.finish()
}

/// Decides what is missing: the chain, its two rules per address, the jump to it.
fn additions(rules: &[String], key: &Key<'_>, addresses: &[IpNet]) -> Vec<String> {
    let chain = key.chain();
    let comment = format!("-m comment --comment {}", quoted(&key.iptables_comment()));
    let mut lines = Vec::new();
    if !rules.iter().any(|rule| *rule == format!("-N {chain}")) {
        lines.push(format!("-N {chain}"));
    }
    for address in addresses {
        let multicast = if address.addr().is_ipv4() { "224.0.0.0/4" } else { "ff00::/8" };
        lines.push(format!("-A {chain} -d {} {comment} -j ACCEPT", address.trunc()));
        lines.push(format!("-A {chain} ! -d {multicast} {comment} -j MASQUERADE"));
        lines.push(format!("-A POSTROUTING -s {} {comment} -j {chain}", IpNet::from(address.addr())));
    }
    lines.retain(|line| !rules.contains(line));
    let mut once = Vec::new();
    for line in lines {
        if !once.contains(&line) {
            once.push(line);
        }
    }
    once
}

/// Decides what goes: the jumps of these addresses (all, if nobody knows them), and the chain with the last jump.
/// Another interface of the container on the same network may still need it.
fn removals(rules: &[String], key: &Key<'_>, addresses: Option<&[IpNet]>) -> Vec<String> {
    let chain = key.chain();
    let to_chain = format!(" -j {chain}");
    let (mut lines, mut jumps_left) = (Vec::new(), false);
    for rule in rules.iter().filter(|rule| rule.starts_with("-A POSTROUTING ") && rule.ends_with(&to_chain)) {
        let of = |ip: &IpNet| rule.contains(&format!(" -s {} ", IpNet::from(ip.addr())));
        if addresses.is_none_or(|known| known.iter().any(of)) {
            lines.push(rule.replacen("-A ", "-D ", 1));
        } else {
            jumps_left = true;
        }
    }
    if !jumps_left && rules.iter().any(|rule| *rule == format!("-N {chain}")) {
        lines.push(format!("-F {chain}"));
        lines.push(format!("-X {chain}"));
    }
    lines
}

/// The containers that rules of this network are about and that are not kept.
fn stale_containers(rules: &[String], network: &NetworkName, keep: &[AttachmentId]) -> Vec<String> {
    let before = quoted(&iptables_comment(network, "\u{1}"));
    let Some((before, after)) = before.split_once('\u{1}') else { return Vec::new() };
    let mut found: Vec<String> = rules
        .iter()
        .filter(|rule| rule.starts_with("-A POSTROUTING "))
        .filter_map(|rule| rule.split_once(before)?.1.split_once(after).map(|(id, _)| id.to_owned()))
        .filter(|id| !keep.iter().any(|kept| kept.container == *id))
        .collect();
    found.sort();
    found.dedup();
    found
}

fn missing(family: Family) -> CniError {
    let text =
        format!("`{}` is not installed; install it, or set `ipMasqBackend` to `nftables`", family.tool());
    CniError::failed(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> NetworkName {
        "blue".parse().unwrap()
    }

    fn key(network: &NetworkName) -> Key<'_> {
        Key { network, container: "c1", ifname: "eth0" }
    }

    fn ips(raw: &[&str]) -> Vec<IpNet> {
        raw.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    /// The table after the lines were restored, as far as these tests look.
    fn restored(rules: &[String], lines: &[String]) -> Vec<String> {
        let mut rules = rules.to_vec();
        for line in lines {
            match line.split_at(3) {
                ("-N " | "-A ", _) => rules.push(line.clone()),
                ("-D ", rule) => rules.retain(|r| r[3..] != *rule || !r.starts_with("-A ")),
                ("-F ", chain) => rules.retain(|r| !r.starts_with(&format!("-A {chain} "))),
                ("-X ", chain) => rules.retain(|r| *r != format!("-N {chain}")),
                other => panic!("{other:?}"),
            }
        }
        rules
    }

    // Proves: PLG-COM-20
    #[test]
    fn each_address_gets_accept_masquerade_and_a_jump() {
        let network = network();
        let chain = key(&network).chain();
        let comment = r#"-m comment --comment "name: \"blue\" id: \"c1\"""#;
        assert_eq!(
            additions(&[], &key(&network), &ips(&["10.1.2.3/24"])),
            [
                format!("-N {chain}"),
                format!("-A {chain} -d 10.1.2.0/24 {comment} -j ACCEPT"),
                format!("-A {chain} ! -d 224.0.0.0/4 {comment} -j MASQUERADE"),
                format!("-A POSTROUTING -s 10.1.2.3/32 {comment} -j {chain}"),
            ]
        );
    }

    #[test]
    fn a_second_interface_adds_only_what_is_missing_and_keeps_the_chain_when_the_first_goes() {
        let network = network();
        let key = key(&network);
        let first = restored(&[], &additions(&[], &key, &ips(&["10.1.2.3/24"])));
        let both = restored(&first, &additions(&first, &key, &ips(&["10.1.2.4/24"])));
        assert_eq!(both.len(), first.len() + 1);
        let second = restored(&both, &removals(&both, &key, Some(&ips(&["10.1.2.3/24"]))));
        assert!(second.iter().any(|rule| rule.contains("-s 10.1.2.4/32")), "{second:?}");
        assert!(second.contains(&format!("-N {}", key.chain())));
        let none = restored(&second, &removals(&second, &key, None));
        assert!(none.is_empty(), "{none:?}");
    }

    // Proves: PLG-COM-23
    #[test]
    fn only_containers_of_this_network_that_are_not_kept_are_stale() {
        let (blue, red) = (network(), "red".parse().unwrap());
        let mut rules = Vec::new();
        for (network, container) in [(&blue, "c1"), (&blue, "c2"), (&red, "c3")] {
            let key = Key { network, container, ifname: "eth0" };
            rules = restored(&rules, &additions(&rules, &key, &ips(&["10.1.2.3/24"])));
        }
        let keep = [AttachmentId { container: "c1".into(), ifname: "eth0".into() }];
        assert_eq!(stale_containers(&rules, &blue, &keep), ["c2"]);
        assert_eq!(stale_containers(&rules, &red, &keep), ["c3"]);
    }
}
