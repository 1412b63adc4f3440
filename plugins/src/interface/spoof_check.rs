//! Drops what a pod sends from a MAC address that is not its own (PLG-BRIDGE-14).
//!
//! Two chains per attachment in the bridge family's table `nat`, which the reference uses too; every rule's comment
//! begins with the attachment, so that removal needs neither the link nor its name. In the attachment's own chains the
//! network follows, by which GC tells its own.

use std::time::Instant;

use manifold_cni::{AttachmentId, CniError, NetworkName};
use manifold_net::Mac;
use manifold_net::nft::schema::{Chain, FlushObject, NfCmd, NfListObject};
use manifold_net::nft::stmt::Statement;
use manifold_net::nft::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};
use manifold_net::nft::{Batch, ListedRule, Nft, NftError, kernel};

use super::failure::Told;
use super::masquerade::{Key, network_hash};
use super::ruleset::{COMMENT_MOST, Home, equal, field, incoming_interface, jump, rules, text, tool};

const HOME: Home = Home { family: NfFamily::Bridge, table: "nat" };
const ENTRY: &str = "PREROUTING";
const PRIORITY: i32 = -300;
/// With what is added to it, well below what nft takes; ids of the known runtimes are far shorter.
const CHAIN_MOST: usize = 120;

pub(crate) fn set_up(key: &Key<'_>, port: &str, mac: Mac, deadline: Instant) -> Result<(), CniError> {
    let names = Names::of(key);
    let mut batch = Batch::new();
    batch.add(HOME.table());
    batch.add(NfListObject::Chain(Chain {
        _type: Some(NfChainType::Filter),
        hook: Some(NfHook::Prerouting),
        prio: Some(PRIORITY),
        policy: Some(NfChainPolicy::Accept),
        ..HOME.chain(ENTRY)
    }));
    for chain in [&names.port_chain, &names.mac_chain] {
        batch.add(NfListObject::Chain(HOME.chain(chain)));
        batch.add_cmd(NfCmd::Flush(FlushObject::Chain(HOME.chain(chain))));
    }
    let comment = Some(names.comment.as_str());
    let from_port = equal(incoming_interface(), text(port));
    let_only(&mut batch, &names, mac);
    batch.add(HOME.rule(&names.port_chain, vec![jump(&names.mac_chain)], comment));
    let of_entry = Some(names.entry_comment.as_str());
    batch.add(HOME.rule(ENTRY, vec![from_port, jump(&names.port_chain)], of_entry));
    tool(deadline).and_then(|nft| nft.apply("check the pod's MAC address", batch)).told()
}

/// What fills the second chain: frames from this address return, all others end.
fn let_only(batch: &mut Batch<'static>, names: &Names, mac: Mac) {
    let comment = Some(names.comment.as_str());
    let own_mac = equal(field("ether", "saddr"), text(mac));
    batch.add(HOME.rule(&names.mac_chain, vec![own_mac, Statement::Return(None)], comment));
    batch.add(HOME.rule(&names.mac_chain, vec![Statement::Drop(None)], comment));
}

/// The list's own plugin gave the interface another MAC address: from now on that one counts, where there is a check.
pub(crate) fn follow(key: &Key<'_>, mac: Mac, deadline: Instant) -> Result<(), CniError> {
    let names = Names::of(key);
    let there = kernel::chains(HOME.family, HOME.table).unwrap_or_default();
    if !there.contains(&names.mac_chain) {
        return Ok(());
    }
    let mut batch = Batch::new();
    batch.add_cmd(NfCmd::Flush(FlushObject::Chain(HOME.chain(&names.mac_chain))));
    let_only(&mut batch, &names, mac);
    tool(deadline).and_then(|nft| nft.apply("check the pod's new MAC address", batch)).told()
}

/// CHECK: frames of the port still come to the two chains, and these have their rules.
pub(crate) fn check(key: &Key<'_>, deadline: Instant) -> Result<(), CniError> {
    let names = Names::of(key);
    let there = rules(HOME.family, HOME.table, deadline).told()?;
    let count = |chain: &str| {
        let own = |rule: &&ListedRule| names.comments().contains(&rule.comment.as_str());
        there.iter().filter(|rule| rule.chain == chain).filter(own).count()
    };
    for (chain, wanted) in [(ENTRY, 1), (&names.port_chain, 1), (&names.mac_chain, 2)] {
        let found = count(chain);
        if found < wanted {
            let text = format!(
                "the check of the pod's MAC address is not whole any more: chain `{chain}` of table `bridge {}` has \
                 {found} of its rules, not {wanted}",
                HOME.table
            );
            return Err(CniError::check(text));
        }
    }
    Ok(())
}

/// Removes the attachment's rules and chains, as far as they are there.
pub(crate) fn tear_down(key: &Key<'_>, deadline: Instant) -> Result<(), CniError> {
    let names = Names::of(key);
    let chains = kernel::chains(HOME.family, HOME.table);
    let are_there = chains.map(|there| there.iter().any(|chain| names.has(chain)));
    if are_there == Some(false) {
        return Ok(());
    }
    remove(deadline, are_there == Some(true), |objects| {
        objects.chains().filter(|chain| names.has(chain)).map(str::to_owned).collect()
    })
}

/// Removes the chains of this network's attachments that are not in `keep`.
pub(crate) fn collect(
    network: &NetworkName,
    keep: &[AttachmentId],
    deadline: Instant,
) -> Result<(), CniError> {
    let of_network = format!(", net {}", network_hash(network));
    let kept: Vec<Names> = keep
        .iter()
        .map(|id| Names::of(&Key { network, container: &id.container, ifname: &id.ifname }))
        .collect();
    remove(deadline, false, |objects| {
        let ours =
            objects.rules().filter(|rule| rule.comment.as_ref().is_some_and(|c| c.ends_with(&of_network)));
        let mut stale: Vec<String> = ours
            .map(|rule| rule.chain.clone().into_owned())
            .filter(|chain| chain != ENTRY)
            .filter(|chain| !kept.iter().any(|names| names.has(chain)))
            .collect();
        stale.sort();
        stale.dedup();
        stale
    })
}

/// What the attachment's chains are called and its rules commented.
struct Names {
    port_chain: String,
    mac_chain: String,
    comment: String,
    /// The same as the reference writes, whose DEL finds the rule by it.
    entry_comment: String,
    /// What the reference calls the first chain, and what we called it, whatever the interface's name.
    plain_chain: String,
}

impl Names {
    fn of(key: &Key<'_>) -> Self {
        let plain_chain = format!("cni-br-iface-{}-{}", key.container, key.ifname);
        let port_chain = if plain_chain.len() <= CHAIN_MOST && loads_back(&plain_chain) {
            plain_chain.clone()
        } else {
            format!("cni-br-iface-{}", key.instance())
        };
        let network = format!(", net {}", network_hash(key.network));
        let mut comment = format!("macspoofchk-{}-{}", key.container, key.ifname);
        comment.retain(|c| c != '"' && c != '\\');
        while comment.len() + network.len() > COMMENT_MOST {
            comment.pop();
        }
        Self {
            mac_chain: format!("{port_chain}-mac"),
            port_chain,
            entry_comment: comment.clone(),
            comment: comment + &network,
            plain_chain,
        }
    }

    fn has(&self, chain: &str) -> bool {
        let mac_chain_of = |port_chain: &str| chain.strip_suffix("-mac") == Some(port_chain);
        chain == self.port_chain
            || chain == self.mac_chain
            || chain == self.plain_chain
            || mac_chain_of(&self.plain_chain)
    }

    fn comments(&self) -> [&str; 2] {
        [&self.comment, &self.entry_comment]
    }
}

/// Whether `nft` reads the name as it prints it: it knows no quotes for the name of a chain, and an interface's name,
/// which the pod chooses, may hold any character. One odd name would keep a saved ruleset from being loaded.
fn loads_back(chain: &str) -> bool {
    chain.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// The table as listed.
struct Listed(Vec<NfListObject<'static>>);

impl Listed {
    fn chains(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|object| match object {
            NfListObject::Chain(chain) => Some(chain.name.as_ref()),
            _ => None,
        })
    }

    fn rules(&self) -> impl Iterator<Item = &manifold_net::nft::schema::Rule<'static>> {
        self.0.iter().filter_map(|object| match object {
            NfListObject::Rule(rule) => Some(rule),
            _ => None,
        })
    }

    /// The handles and chains of the rules that jump to one of these chains.
    fn jumps_to(&self, chains: &[String]) -> Vec<(String, u32)> {
        let leads = |statement: &Statement<'_>| matches!(statement, Statement::Jump(to) if chains.iter().any(|chain| *chain == to.target));
        let rules = self.rules().filter(|rule| rule.expr.iter().any(leads));
        rules.filter_map(|rule| Some((rule.chain.clone().into_owned(), rule.handle?))).collect()
    }
}

/// Removes chains and the jumps to them in one transaction. Without the tool that is an error where chains are there. Another call may remove the same ones between the listing
/// and the change; then the next listing has fewer.
fn remove(
    deadline: Instant,
    are_there: bool,
    condemned: impl Fn(&Listed) -> Vec<String>,
) -> Result<(), CniError> {
    let nft = match tool(deadline) {
        Err(NftError::NotInstalled { .. }) if !are_there => return Ok(()),
        found => found.told()?,
    };
    let mut attempts = 3;
    loop {
        let listed = Listed(nft.list_table(HOME.family, HOME.table).told()?.unwrap_or_default());
        let chains = condemned(&listed);
        if chains.is_empty() {
            return Ok(());
        }
        match remove_listed(&nft, &listed, &chains) {
            Err(error) if error.is_not_found() && attempts > 0 => attempts -= 1,
            done => return done.told(),
        }
    }
}

fn remove_listed(nft: &Nft, listed: &Listed, chains: &[String]) -> Result<(), NftError> {
    let mut batch = Batch::new();
    for (chain, handle) in listed.jumps_to(chains) {
        batch.delete(HOME.rule_by_handle(&chain, handle));
    }
    // Emptied first: a chain that is still jumped to, by a rule of another, cannot go.
    for chain in chains {
        batch.add_cmd(NfCmd::Flush(FlushObject::Chain(HOME.chain(chain))));
    }
    for chain in chains {
        batch.delete(NfListObject::Chain(HOME.chain(chain)));
    }
    nft.apply("remove the MAC address check", batch)
}
