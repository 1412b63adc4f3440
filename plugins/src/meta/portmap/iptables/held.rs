//! Which host ports lead to which sandbox, as the lines of the table say: ours and the reference's rules alike.

use std::collections::BTreeMap;
use std::time::Instant;

use manifold_cni::CniError;
use manifold_plugin_conf::portmap::Protocol;

use super::{ENTRY, TABLE, Wish, family_of};
use crate::iptables::Tool;
use crate::meta::portmap::taken::Held;

/// Where the kernel has no such chain, the tool is not started; without the tool nobody can tell.
pub(in crate::meta::portmap) fn held(wish: &Wish, deadline: Instant) -> Result<Vec<Held>, CniError> {
    let family = family_of(wish);
    match Tool::find(family, deadline) {
        Some(tool) if family.may_have_chain(TABLE, &[ENTRY.to_owned()]) => Ok(of_lines(&tool.rules(TABLE)?)),
        _ => Ok(Vec::new()),
    }
}

/// The sandbox that a chain leads to.
struct Leads<'a> {
    id: &'a str,
    conditional: bool,
}

pub(super) fn of_lines(lines: &[String]) -> Vec<Held> {
    let chains: BTreeMap<&str, Leads<'_>> = lines.iter().filter_map(|line| entry(line)).collect();
    let mapping = |line: &String| {
        let (chain, rule) = line.strip_prefix("-A ")?.split_once(' ')?;
        let Leads { id, conditional } = chains.get(chain)?;
        let (port, protocol, host) = destination(rule)?;
        Some(Held { port, protocol, host, conditional: *conditional, id: (*id).to_owned() })
    };
    lines.iter().filter_map(mapping).collect()
}

/// A rule that leads from the common chain to that of a sandbox; whatever stands between the ports and the target, or
/// before the protocol, narrows the mapping.
fn entry(line: &str) -> Option<(&str, Leads<'_>)> {
    let rule = line.strip_prefix("-A ")?.strip_prefix(ENTRY)?.strip_prefix(' ')?;
    let (matches, chain) = rule.rsplit_once("-j ")?;
    let (_, comment) = matches.split_once(r#"id: \""#)?;
    let id = comment.split(['\\', '"']).next()?;
    let behind = matches.rsplit_once("--dports ").map_or("", |(_, behind)| behind.trim_end());
    let conditional = !rule.starts_with("-p ") || behind.contains(' ');
    Some((chain, Leads { id, conditional }))
}

/// `[-d ADDRESS/32] -p tcp -m tcp --dport N -j DNAT …`
fn destination(rule: &str) -> Option<(u16, Protocol, Option<std::net::IpAddr>)> {
    let (matches, _) = rule.split_once(" -j DNAT ")?;
    let words: Vec<&str> = matches.split(' ').collect();
    let after = |option: &str| {
        let at = words.iter().position(|word| *word == option)?;
        words.get(at + 1).copied()
    };
    let protocol = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let protocol = protocol.into_iter().find(|known| after("-p") == Some(known.as_str()))?;
    let host = after("-d").and_then(|net| net.split('/').next()?.parse().ok());
    Some((after("--dport")?.parse().ok()?, protocol, host))
}
