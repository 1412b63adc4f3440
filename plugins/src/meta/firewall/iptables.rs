//! The pod's addresses in iptables' filter table, in the chains of the reference (PLG-FW-3).

use std::time::Instant;

use ipnet::IpNet;
use manifold_cni::{AttachmentId, CniError, NetworkName};
use manifold_plugin_conf::FirewallConf;

use crate::interface::masquerade::{Key, network_hash};
use crate::interface::teardown::Teardown;
use crate::iptables::{BOTH, Family, Tool, quoted};

pub(super) const TABLE: &str = "filter";
pub(super) const WHAT: &str = "change what is forwarded";
const CHAIN: &str = "CNI-FORWARD";
pub(super) const JUMP: &str = "FORWARD -m comment --comment \"CNI firewall plugin rules\" -j CNI-FORWARD";

pub(super) fn is_there(addresses: &[IpNet], deadline: Instant) -> bool {
    families(addresses).all(|(family, _)| Tool::find(family, deadline).is_some())
}

pub(super) fn set_up(
    conf: &FirewallConf,
    key: &Key<'_>,
    addresses: &[IpNet],
    deadline: Instant,
) -> Result<(), CniError> {
    for (family, own) in families(addresses) {
        let tool = find(family, deadline)?;
        tool.settle(TABLE, WHAT, tool.rules(TABLE)?, |there| additions(there, conf, key, &own))?;
    }
    Ok(())
}

/// Decides what is missing.
fn additions(there: &[String], conf: &FirewallConf, key: &Key<'_>, own: &[IpNet]) -> Vec<String> {
    let mut lines = frame(conf);
    lines.extend(of_addresses(key, own));
    lines.retain(|line| !there.contains(&line.replacen("-I ", "-A ", 1)));
    // What keeps networks apart has to stay in front of what lets through.
    let apart = format!("-A {}", super::isolation::JUMP);
    if lines.iter().any(|line| line.ends_with(JUMP)) && there.contains(&apart) {
        lines.insert(0, apart.replacen("-A ", "-D ", 1));
        lines.push(apart.replacen("-A ", "-I ", 1));
    }
    lines
}

pub(super) fn check(
    conf: &FirewallConf,
    key: &Key<'_>,
    addresses: &[IpNet],
    deadline: Instant,
) -> Result<(), CniError> {
    for (family, own) in families(addresses) {
        let there = find(family, deadline)?.rules(TABLE)?;
        let mut wanted = frame(conf);
        // Those of the reference say nothing of themselves, and let the same through.
        let by_reference: Vec<String> = own.iter().flat_map(|ip| [to(*ip, ""), from(*ip, "")]).collect();
        if missing(&there, &by_reference).is_err() {
            wanted.extend(of_addresses(key, &own));
        }
        missing(&there, &wanted)?;
    }
    Ok(())
}

/// CHECK's error about the first line that is not there.
pub(super) fn missing(there: &[String], wanted: &[String]) -> Result<(), CniError> {
    match wanted.iter().find(|line| !there.contains(&line.replacen("-I ", "-A ", 1))) {
        None => Ok(()),
        Some(line) => Err(CniError::check(format!("the firewall lacks the iptables rule `{line}`"))),
    }
}

/// By what the rules say of themselves; those of the reference, which say nothing, by their addresses.
pub(super) fn tear_down(key: &Key<'_>, addresses: &[IpNet], deadline: Instant) -> Result<(), CniError> {
    let plain: Vec<String> = addresses.iter().flat_map(|ip| [to(*ip, ""), from(*ip, "")]).collect();
    let instance = key.instance();
    remove(deadline, |rule| plain.iter().any(|line| line == rule) || comment(rule).starts_with(&instance))
}

pub(super) fn collect(
    network: &NetworkName,
    keep: &[AttachmentId],
    deadline: Instant,
) -> Result<(), CniError> {
    let ours = format!("{}-", network_hash(network));
    let kept: Vec<String> = keep
        .iter()
        .map(|id| Key { network, container: &id.container, ifname: &id.ifname }.instance())
        .collect();
    remove(deadline, |rule| {
        let comment = comment(rule);
        comment.starts_with(&ours) && !kept.iter().any(|instance| comment.starts_with(instance))
    })
}

fn remove(deadline: Instant, condemned: impl Fn(&str) -> bool) -> Result<(), CniError> {
    let mut teardown = Teardown::default();
    for tool in BOTH.into_iter().filter_map(|family| Tool::find(family, deadline)) {
        let done = tool.remove(TABLE, WHAT, &[CHAIN.to_owned()], |there| {
            let in_chain = there.iter().filter(|rule| rule.starts_with(&format!("-A {CHAIN} ")));
            in_chain.filter(|rule| condemned(rule)).map(|rule| rule.replacen("-A ", "-D ", 1)).collect()
        });
        if let Some(done) = done {
            teardown.part(done);
        }
    }
    teardown.finish()
}

/// Each family that the addresses are of, with those. A family without an address needs no tool (PLG-FW-7).
pub(super) fn families(addresses: &[IpNet]) -> impl Iterator<Item = (Family, Vec<IpNet>)> {
    let of = |family: Family| -> Vec<IpNet> {
        addresses.iter().filter(|ip| family.has(ip.addr())).copied().collect()
    };
    BOTH.into_iter().map(move |family| (family, of(family))).filter(|(_, own)| !own.is_empty())
}

pub(super) fn find(family: Family, deadline: Instant) -> Result<Tool, CniError> {
    Tool::find(family, deadline).ok_or_else(|| {
        let text = format!("`{}` is not installed, so nothing can be let through; install it", family.tool());
        CniError::failed(text)
    })
}

/// The chains that all pods share. The administrator's is made, and never looked into.
fn frame(conf: &FirewallConf) -> Vec<String> {
    let admin = conf.admin_chain.as_str();
    vec![
        format!("-N {CHAIN}"),
        format!("-N {admin}"),
        format!("-I {JUMP}"),
        format!("-I {CHAIN} -m comment --comment \"CNI firewall plugin admin overrides\" -j {admin}"),
    ]
}

fn of_addresses(key: &Key<'_>, addresses: &[IpNet]) -> Vec<String> {
    let comment = format!("-m comment --comment {} ", quoted(&key.comment()));
    addresses.iter().flat_map(|ip| [to(*ip, &comment), from(*ip, &comment)]).collect()
}

fn to(ip: IpNet, comment: &str) -> String {
    format!("-A {CHAIN} -d {ip} -m conntrack --ctstate RELATED,ESTABLISHED {comment}-j ACCEPT")
}

fn from(ip: IpNet, comment: &str) -> String {
    format!("-A {CHAIN} -s {ip} {comment}-j ACCEPT")
}

/// The comment of a rule, without the quotes around it.
fn comment(rule: &str) -> &str {
    rule.split_once("--comment ").map(|(_, rest)| rest.trim_start_matches('"')).unwrap_or_default()
}
