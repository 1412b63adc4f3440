//! Port mappings with iptables, in the chains of the reference (PLG-PORTMAP-6).
//!
//! The present rules are read once, what has to change is decided, and `iptables-restore` makes the change at one go.
//! Lines are written as iptables itself prints them, so that those that are there can be told.

mod check;
mod held;

use std::cell::Cell;
use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;
use manifold_cni::{AttachmentId, CniError, NetworkName};
use manifold_plugin_conf::PortmapConf;
use manifold_plugin_conf::portmap::{MarkBit, PortMapping, Protocol};

use super::wish::{Wish, host_address};
use crate::interface::masquerade::{Key, hash};
use crate::interface::teardown::Teardown;
use crate::iptables::{BOTH, Family, Tool, nothing_stays_without_tool, quoted};

pub(super) use self::check::check;
pub(super) use self::held::held;

const TABLE: &str = "nat";
const WHAT: &str = "change the mapping of ports";
const ENTRY: &str = "CNI-HOSTPORT-DNAT";
const SET_MARK: &str = "CNI-HOSTPORT-SETMARK";
const MASQUERADE: &str = "CNI-HOSTPORT-MASQ";
/// The kernel delivers nothing beyond the host that was sent to `::1`; so it is refused, not left without an answer.
const SPARED: &str = "-d ::1/128 -j RETURN";
/// A rule takes no more ports.
const PORTS_MOST: usize = 15;
/// Longer comments are refused.
const COMMENT_MOST: usize = 255;

pub(super) fn set_up(
    conf: &PortmapConf,
    key: &Key<'_>,
    wishes: &[Wish],
    deadline: Instant,
) -> Result<(), CniError> {
    for wish in wishes {
        let tool = find(wish, deadline)?;
        tool.settle(TABLE, WHAT, tool.rules(TABLE)?, |there| additions(there, conf, key, wish))?;
    }
    Ok(())
}

/// Removes the attachment's rules where the host has the tool and the tool works; whether it does anywhere, and whether
/// there were any.
pub(super) fn tear_down(key: &Key<'_>, deadline: Instant, teardown: &mut Teardown) -> (bool, bool) {
    let names = names(key);
    teardown.part(nothing_stays_without_tool(&BOTH, TABLE, &names, deadline));
    let had_rules = Cell::new(false);
    let usable = on_usable(&names, deadline, teardown, |rules| {
        let lines = removals(rules, &names);
        had_rules.set(had_rules.get() || !lines.is_empty());
        lines
    });
    (usable, had_rules.get())
}

pub(super) fn collect(
    network: &NetworkName,
    keep: &[AttachmentId],
    deadline: Instant,
) -> Result<(), CniError> {
    let kept: Vec<String> = keep
        .iter()
        .flat_map(|id| names(&Key { network, container: &id.container, ifname: &id.ifname }))
        .collect();
    let mut teardown = Teardown::default();
    on_usable(&[ENTRY.to_owned()], deadline, &mut teardown, |rules| {
        let mut stale = chains_of(rules, network);
        stale.retain(|chain| !kept.contains(chain));
        removals(rules, &stale)
    });
    teardown.finish()
}

fn find(wish: &Wish, deadline: Instant) -> Result<Tool, CniError> {
    let family = family_of(wish);
    Tool::find(family, deadline).ok_or_else(|| {
        let text =
            format!("`{}` is not installed; install it, or set `backend` to `nftables`", family.tool());
        CniError::failed(text)
    })
}

fn family_of(wish: &Wish) -> Family {
    if wish.address.addr().is_ipv4() { Family::V4 } else { Family::V6 }
}

fn on_usable(
    chains: &[String],
    deadline: Instant,
    teardown: &mut Teardown,
    decide: impl Fn(&[String]) -> Vec<String>,
) -> bool {
    let mut any = false;
    for tool in BOTH.into_iter().filter_map(|family| Tool::find(family, deadline)) {
        if let Some(done) = tool.remove(TABLE, WHAT, chains, &decide) {
            any = true;
            teardown.part(done);
        }
    }
    any
}

/// The reference leaves the interface out, so that two attachments of one pod to one network share a chain.
fn chain(key: &Key<'_>) -> String {
    format!("CNI-DN-{}", hash(21, &[key.network.as_str(), key.container, "/", key.ifname]))
}

/// Every name a chain of this attachment may have: ours, the reference's, and one that it had long ago.
fn names(key: &Key<'_>) -> [String; 3] {
    let old = hash(21, &[key.network.as_str(), key.container]);
    [chain(key), format!("CNI-DN-{old}"), format!("CNI-SN-{old}")]
}

fn comment(key: &Key<'_>) -> String {
    let mut text = comment_of(key.network, key.container);
    while text.len() > COMMENT_MOST {
        text.pop();
    }
    text
}

fn comment_of(network: &NetworkName, container: &str) -> String {
    format!("dnat name: \"{network}\" id: \"{container}\"")
}

/// Decides what is missing of the frame, and makes the attachment's chain anew.
fn additions(rules: &[String], conf: &PortmapConf, key: &Key<'_>, wish: &Wish) -> Vec<String> {
    let chain = chain(key);
    let mut lines = frame(conf);
    lines.retain(|line| !rules.contains(&line.replacen("-I ", "-A ", 1)));
    lines.extend(removals(rules, std::slice::from_ref(&chain)));
    lines.push(format!("-N {chain}"));
    lines.extend(mapping_rules(conf, &chain, wish));
    let comment = quoted(&comment(key));
    let conditions = match wish.address {
        IpNet::V4(_) => &conf.conditions_v4,
        IpNet::V6(_) => &conf.conditions_v6,
    };
    let conditions: String = conditions.iter().map(|word| format!(" {}", quoted(word))).collect();
    // The newest comes first: what a pod left that is gone is in nobody's way.
    lines.extend(entry_ports(wish).iter().map(|(protocol, ports)| {
        let protocol = protocol.as_str();
        format!(
            "-I {ENTRY} -p {protocol} -m comment --comment {comment} -m multiport --dports {ports}{conditions} -j {chain}"
        )
    }));
    lines
}

/// The chains that all mappings share. They are never removed.
fn frame(conf: &PortmapConf) -> Vec<String> {
    let mut lines = vec![format!("-N {ENTRY}")];
    for from in ["PREROUTING", "OUTPUT"] {
        lines.push(format!("-A {from} -m addrtype --dst-type LOCAL -j {ENTRY}"));
    }
    if conf.snat && conf.external_set_mark_chain.is_none() {
        let mask = conf.mark_masq_bit.unwrap_or(MarkBit::USUAL).mask();
        let mark = format!("{mask:#x}/{mask:#x}");
        lines.extend([
            format!("-N {SET_MARK}"),
            format!("-A {SET_MARK} -m comment --comment \"CNI portfwd masquerade mark\" -j MARK --set-xmark {mark}"),
            format!("-N {MASQUERADE}"),
            format!("-A {MASQUERADE} -m mark --mark {mark} -j MASQUERADE"),
            // First, as the masquerading of other plugins would spare what stays within the container's network.
            format!("-I POSTROUTING -m comment --comment \"CNI portfwd requiring masquerade\" -j {MASQUERADE}"),
        ]);
    }
    lines
}

/// Hairpin and loopback traffic is marked first, then each port is led on.
fn mapping_rules(conf: &PortmapConf, chain: &str, wish: &Wish) -> Vec<String> {
    let set_mark = conf.external_set_mark_chain.as_ref().map_or(SET_MARK, |chain| chain.as_str());
    let v4 = wish.address.addr().is_ipv4();
    let mut lines = if v4 { Vec::new() } else { vec![format!("-A {chain} {SPARED}")] };
    for mapping in &wish.mappings {
        let PortMapping { host_port, container_port, protocol, .. } = mapping;
        let protocol = protocol.as_str();
        let to = host_address(mapping).map(|ip| format!("-d {} ", IpNet::from(ip))).unwrap_or_default();
        let base = format!("{to}-p {protocol} -m {protocol} --dport {host_port}");
        if conf.snat {
            let source = if conf.masq_all { String::new() } else { format!("-s {} ", wish.address.trunc()) };
            lines.push(format!("-A {chain} {source}{base} -j {set_mark}"));
            if v4 && !conf.masq_all {
                lines.push(format!("-A {chain} -s 127.0.0.1/32 {base} -j {set_mark}"));
            }
        }
        let target = match wish.address.addr() {
            IpAddr::V4(ip) => format!("{ip}:{container_port}"),
            IpAddr::V6(ip) => format!("[{ip}]:{container_port}"),
        };
        lines.push(format!("-A {chain} {base} -j DNAT --to-destination {target}"));
    }
    lines
}

/// The ports of each protocol, as many together as one rule takes.
fn entry_ports(wish: &Wish) -> Vec<(Protocol, String)> {
    let mut all = Vec::new();
    for protocol in [Protocol::Sctp, Protocol::Tcp, Protocol::Udp] {
        let of_protocol = wish.mappings.iter().filter(|mapping| mapping.protocol == protocol);
        let mut ports: Vec<String> = of_protocol.map(|mapping| mapping.host_port.to_string()).collect();
        ports.dedup();
        all.extend(ports.chunks(PORTS_MOST).map(|chunk| (protocol, chunk.join(","))));
    }
    all
}

/// Decides what goes: every rule that leads to one of the chains, then the chains.
fn removals(rules: &[String], chains: &[String]) -> Vec<String> {
    let there: Vec<&String> = chains.iter().filter(|chain| rules.contains(&format!("-N {chain}"))).collect();
    let leads = |rule: &&String| there.iter().any(|chain| rule.ends_with(&format!(" -j {chain}")));
    let mut lines: Vec<String> = rules
        .iter()
        .filter(|rule| rule.starts_with("-A "))
        .filter(leads)
        .map(|rule| rule.replacen("-A ", "-D ", 1))
        .collect();
    lines.extend(there.iter().map(|chain| format!("-F {chain}")));
    lines.extend(there.iter().map(|chain| format!("-X {chain}")));
    lines
}

/// The chains of every attachment to the network, told by the comments of their entries.
fn chains_of(rules: &[String], network: &NetworkName) -> Vec<String> {
    let whole = quoted(&comment_of(network, "\u{1}"));
    let Some((before, _)) = whole.split_once('\u{1}') else { return Vec::new() };
    let entries = rules.iter().filter(|rule| rule.starts_with(&format!("-A {ENTRY} ")));
    let ours = entries.filter(|rule| rule.contains(before));
    let mut chains: Vec<String> =
        ours.filter_map(|rule| rule.rsplit_once(" -j ").map(|(_, chain)| chain.to_owned())).collect();
    chains.sort();
    chains.dedup();
    chains
}

#[cfg(test)]
mod tests;
