//! The pod's addresses in a table of nftables, for hosts that have no iptables (PLG-FW-7).

use std::fmt::Write;
use std::time::Instant;

use ipnet::IpNet;
use manifold_cni::{AttachmentId, CniError, NetworkName};
use manifold_net::nft::NftError;
use manifold_net::nft::types::NfFamily;

use crate::interface::failure::Told;
use crate::interface::masquerade::{Key, stale};
use crate::interface::ruleset::{rules, tool};

const TABLE: &str = "cni_firewall";
const CHAIN: &str = "pods";

pub(super) fn set_up(key: &Key<'_>, addresses: &[IpNet], deadline: Instant) -> Result<(), NftError> {
    tear_down(key, deadline)?;
    let mut script = format!(
        "add table inet {TABLE}\nadd chain inet {TABLE} admin\nadd chain inet {TABLE} {CHAIN}\n\
         add chain inet {TABLE} forward {{ type filter hook forward priority 0; }}\nflush chain inet {TABLE} forward\n\
         add rule inet {TABLE} forward jump admin\nadd rule inet {TABLE} forward jump {CHAIN}\n"
    );
    for address in addresses.iter().map(|ip| ip.addr()) {
        let (ip, comment) = (if address.is_ipv4() { "ip" } else { "ip6" }, key.comment());
        for rule in
            [format!("{ip} daddr {address} ct state established,related"), format!("{ip} saddr {address}")]
        {
            writeln!(script, "add rule inet {TABLE} {CHAIN} {rule} accept comment \"{comment}\"")
                .expect("writing to a String cannot fail");
        }
    }
    tool(deadline)?.apply_script("let the pod's addresses through", &script)
}

pub(super) fn check(key: &Key<'_>, addresses: &[IpNet], deadline: Instant) -> Result<(), CniError> {
    let there = rules(NfFamily::INet, TABLE, deadline).told()?;
    let own = there.iter().filter(|rule| rule.comment.starts_with(&key.instance())).count();
    let jumps = there.iter().filter(|rule| rule.chain == "forward").count();
    if own < addresses.len() * 2 || jumps < 2 {
        let text = format!(
            "table `inet {TABLE}` lacks rules of this pod's addresses: {own} of {}",
            addresses.len() * 2
        );
        return Err(CniError::check(text));
    }
    Ok(())
}

pub(super) fn tear_down(key: &Key<'_>, deadline: Instant) -> Result<(), NftError> {
    let instance = key.instance();
    remove(deadline, |comment| comment.starts_with(&instance))
}

pub(super) fn collect(
    network: &NetworkName,
    keep: &[AttachmentId],
    deadline: Instant,
) -> Result<(), NftError> {
    remove(deadline, stale(network, keep))
}

/// Another call may remove the same rules between the listing and the change; then the next listing has fewer.
fn remove(deadline: Instant, condemned: impl Fn(&str) -> bool) -> Result<(), NftError> {
    let mut attempts = 3;
    loop {
        let there = rules(NfFamily::INet, TABLE, deadline)?;
        let own = there.iter().filter(|rule| condemned(&rule.comment));
        let script: String = own
            .map(|rule| format!("delete rule inet {TABLE} {} handle {}\n", rule.chain, rule.handle))
            .collect();
        if script.is_empty() {
            return Ok(());
        }
        match tool(deadline)?.apply_script("remove rules of the pod's addresses", &script) {
            Err(error) if error.is_not_found() && attempts > 0 => attempts -= 1,
            done => return done,
        }
    }
}
