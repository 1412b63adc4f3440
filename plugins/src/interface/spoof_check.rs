//! Drops what a pod sends from a MAC address that is not its own (PLG-BRIDGE-14).
//!
//! Two chains per attachment in the bridge family's table `nat`, which the reference uses too; every rule's comment
//! begins with the attachment, so that removal needs neither the link nor its name. After it stands the network, by
//! which GC tells its own.

use std::time::Instant;

use manifold_cni::{AttachmentId, CniError, NetworkName};
use manifold_net::Mac;
use manifold_net::nft::schema::{Chain, FlushObject, NfCmd, NfListObject};
use manifold_net::nft::stmt::Statement;
use manifold_net::nft::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};
use manifold_net::nft::{Batch, Nft, NftError};

use super::failure::Told;
use super::masquerade::{Key, network_hash};
use super::ruleset::{COMMENT_MOST, Home, equal, field, incoming_interface, jump, text, tool};

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
    let own_mac = equal(field("ether", "saddr"), text(mac));
    batch.add(HOME.rule(&names.mac_chain, vec![own_mac, Statement::Return(None)], comment));
    batch.add(HOME.rule(&names.mac_chain, vec![Statement::Drop(None)], comment));
    batch.add(HOME.rule(&names.port_chain, vec![jump(&names.mac_chain)], comment));
    batch.add(HOME.rule(ENTRY, vec![from_port, jump(&names.port_chain)], comment));
    tool(deadline).and_then(|nft| nft.apply("check the pod's MAC address", batch)).told()
}

/// Removes the attachment's rules and chains, as far as they are there.
pub(crate) fn tear_down(key: &Key<'_>, deadline: Instant) -> Result<(), CniError> {
    let names = Names::of(key);
    let condemned = |chain: &str| chain == names.port_chain || chain == names.mac_chain;
    remove(deadline, |objects| objects.chains().filter(|chain| condemned(chain)).map(str::to_owned).collect())
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
    remove(deadline, |objects| {
        let ours =
            objects.rules().filter(|rule| rule.comment.as_ref().is_some_and(|c| c.ends_with(&of_network)));
        let mut stale: Vec<String> = ours
            .map(|rule| rule.chain.clone().into_owned())
            .filter(|chain| chain != ENTRY)
            .filter(|chain| !kept.iter().any(|names| names.port_chain == *chain || names.mac_chain == *chain))
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
}

impl Names {
    fn of(key: &Key<'_>) -> Self {
        let mut port_chain = format!("cni-br-iface-{}-{}", key.container, key.ifname);
        if port_chain.len() > CHAIN_MOST {
            port_chain = format!("cni-br-iface-{}", key.instance());
        }
        let network = format!(", net {}", network_hash(key.network));
        let mut comment = format!("macspoofchk-{}-{}", key.container, key.ifname);
        comment.retain(|c| c != '"' && c != '\\');
        while comment.len() + network.len() > COMMENT_MOST {
            comment.pop();
        }
        Self { mac_chain: format!("{port_chain}-mac"), port_chain, comment: comment + &network }
    }
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

/// Removes chains and the jumps to them in one transaction. Another call may remove the same ones between the listing
/// and the change; then the next listing has fewer.
fn remove(deadline: Instant, condemned: impl Fn(&Listed) -> Vec<String>) -> Result<(), CniError> {
    let nft = match tool(deadline) {
        Err(NftError::NotInstalled { .. }) => return Ok(()), // Then there are no rules either.
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
