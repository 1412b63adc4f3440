//! Keeps the pods of different bridges apart, or all pods (PLG-FW-5). Always with iptables, in the chains of the
//! reference.
//!
//! Traffic that comes from one such bridge and goes to another is dropped. The rules are about bridges, not pods, so they
//! stay when a pod goes.

use std::time::Instant;

use ipnet::IpNet;
use manifold_cni::{CniError, CniResult, IfName};
use manifold_plugin_conf::FirewallConf;
use manifold_plugin_conf::firewall::IngressPolicy;

use super::iptables::{TABLE, WHAT, families, find, missing};

const FIRST: &str = "CNI-ISOLATION-STAGE-1";
const SECOND: &str = "CNI-ISOLATION-STAGE-2";
const COMMENT: &str = "-m comment --comment \"CNI firewall plugin rules (ingressPolicy: same-bridge)\"";
pub(super) const JUMP: &str = "FORWARD -m comment --comment \"CNI firewall plugin rules (ingressPolicy: same-bridge)\" -j CNI-ISOLATION-STAGE-1";

/// The bridge that a policy is about: the first interface of the result. `None` where there is no policy.
pub(super) fn bridge(conf: &FirewallConf, prev: &CniResult) -> Result<Option<IfName>, CniError> {
    if conf.ingress == IngressPolicy::Open {
        return Ok(None);
    }
    let first = prev.interfaces.first().filter(|told| told.sandbox.is_empty());
    match first.and_then(|told| told.name.parse::<IfName>().ok()).filter(is_plain) {
        Some(bridge) => Ok(Some(bridge)),
        None => Err(CniError::config(
            "`ingressPolicy` is about the pods of a bridge, and the first interface of `prevResult` is not on the host; use it after `bridge`, or remove it",
        )),
    }
}

/// It stands in a rule as it is; `+` at its end would mean every name that begins so.
fn is_plain(name: &IfName) -> bool {
    let name = name.as_str();
    !name.ends_with('+') && !name.starts_with(['-', '!']) && !name.contains(['"', '\'', '\\'])
}

pub(super) fn set_up(
    conf: &FirewallConf,
    bridge: Option<IfName>,
    addresses: &[IpNet],
    deadline: Instant,
) -> Result<(), CniError> {
    let Some(bridge) = bridge else { return Ok(()) };
    for (family, _) in families(addresses) {
        let tool = find(family, deadline)?;
        tool.settle(TABLE, WHAT, tool.rules(TABLE)?, |there| {
            let mut lines = rules(conf, &bridge);
            lines.retain(|line| !there.contains(&line.replacen("-I ", "-A ", 1)));
            lines
        })?;
    }
    Ok(())
}

pub(super) fn check(
    conf: &FirewallConf,
    bridge: Option<IfName>,
    addresses: &[IpNet],
    deadline: Instant,
) -> Result<(), CniError> {
    let Some(bridge) = bridge else { return Ok(()) };
    for (family, _) in families(addresses) {
        missing(&find(family, deadline)?.rules(TABLE)?, &rules(conf, &bridge))?;
    }
    Ok(())
}

fn rules(conf: &FirewallConf, bridge: &IfName) -> Vec<String> {
    let mut rules = vec![
        format!("-N {FIRST}"),
        format!("-N {SECOND}"),
        format!("-I {JUMP}"),
        format!("-A {FIRST} {COMMENT} -j RETURN"),
        format!("-A {SECOND} {COMMENT} -j RETURN"),
        format!("-I {FIRST} -i {bridge} ! -o {bridge} {COMMENT} -j {SECOND}"),
        format!("-I {SECOND} -o {bridge} {COMMENT} -j DROP"),
    ];
    if conf.ingress == IngressPolicy::Isolated {
        rules.push(format!("-I {FIRST} -i {bridge} -o {bridge} {COMMENT} -j DROP"));
    }
    rules
}
