//! CHECK: every line that a chain's ports need is there, in our chain or in that of the reference.

use std::time::Instant;

use manifold_cni::CniError;
use manifold_plugin_conf::PortmapConf;
use manifold_plugin_conf::portmap::Protocol;

use super::{ENTRY, SPARED, TABLE, Wish, entry_ports, find, frame, mapping_rules, names};
use crate::interface::masquerade::Key;

pub(in crate::meta::portmap) fn check(
    conf: &PortmapConf,
    key: &Key<'_>,
    wishes: &[Wish],
    deadline: Instant,
) -> Result<(), CniError> {
    for wish in wishes {
        let there = find(wish, deadline)?.rules(TABLE)?;
        let [own, by_reference, _] = names(key);
        let chain = if there.contains(&format!("-N {own}")) { own } else { by_reference };
        if let Some(line) = lacking(&there, conf, &chain, wish) {
            return Err(CniError::check(format!("the iptables rules for this pod's ports lack `{line}`")));
        }
    }
    Ok(())
}

/// The first line that is not there of those that make a chain's ports work.
fn lacking(there: &[String], conf: &PortmapConf, chain: &str, wish: &Wish) -> Option<String> {
    let mut wanted = frame(conf);
    wanted.push(format!("-N {chain}"));
    // The reference spares nothing.
    wanted.extend(mapping_rules(conf, chain, wish).into_iter().filter(|line| !line.ends_with(SPARED)));
    let lacking = wanted.into_iter().find(|line| !there.contains(&line.replacen("-I ", "-A ", 1)));
    lacking.or_else(|| {
        let has = |(protocol, ports): &(Protocol, String)| {
            there.iter().any(|rule| {
                rule.starts_with(&format!("-A {ENTRY} "))
                    && rule.contains(&format!("-p {} ", protocol.as_str()))
                    && rule.contains(&format!("--dports {ports} "))
                    && rule.ends_with(&format!(" -j {chain}"))
            })
        };
        let (protocol, ports) = entry_ports(wish).into_iter().find(|ports| !has(ports))?;
        Some(format!("the entry of {} ports {ports}", protocol.as_str()))
    })
}
