//! `--check`: where blocks, pods and claims do not agree (IPAM-84).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use manifold_crds::ipam::{Allocation, BlockCidr, BlockSpec, BlockState, Domain, Offset};

use super::facts::{Block, Facts, Shown};

/// One sentence for each difference, in order.
pub(super) fn differences(facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    for block in &facts.blocks {
        found.extend(of_block(block, facts));
    }
    found.extend(of_pods(facts));
    found.extend(of_claims(facts));
    found.sort();
    found.dedup();
    found
}

pub(super) fn told(differences: &[String]) -> String {
    let lines: String = differences.iter().map(|line| format!("{line}\n")).collect();
    match differences.len() {
        0 => "blocks, pods and claims agree\n".to_owned(),
        1 => format!("{lines}1 difference\n"),
        n => format!("{lines}{n} differences\n"),
    }
}

/// What a block says of itself, and of owners that are no more.
fn of_block(block: &Block, facts: &Facts) -> Vec<String> {
    let name = &block.name;
    let Some(spec) = &block.spec else {
        return vec![format!(
            "AddressBlock {name} cannot be read; nothing of it is given until it is deleted"
        )];
    };
    let mut found = Vec::new();
    if spec.object_name() != *name {
        found.push(format!("AddressBlock {name} says that it is {}", spec.object_name()));
    }
    if spec.labels() != block.labels {
        found.push(format!(
            "AddressBlock {name} has other labels than its content asks for, so its nodes may not see it"
        ));
    }
    let gone = spec.nodes().into_iter().filter(|uid| !facts.nodes.contains(uid.as_str()));
    found.extend(
        gone.map(|uid| format!("AddressBlock {name} has addresses of a Node that is gone, UID {uid}")),
    );
    let BlockState::Shared(all) = &spec.state else { return found };
    for (offset, allocation) in all {
        let ip = spec.cidr.address(*offset);
        match allocation {
            Allocation::Claim { claim } if !facts.claims.iter().any(|known| known.uid == claim.uid) => {
                found.push(format!(
                    "{ip} is kept for IPAMClaim {}/{}, which is gone",
                    claim.namespace, claim.name
                ));
            }
            Allocation::Foreign { foreign } if !facts.pods.contains(&foreign.id) => {
                found.push(format!("{ip} is kept for pod {}, which is gone", foreign.pod));
            }
            _ => {}
        }
    }
    found
}

/// Addresses that pods show and nobody has, or two show.
fn of_pods(facts: &Facts) -> Vec<String> {
    let blocks: BTreeMap<(&Domain, BlockCidr), &BlockSpec> = facts
        .blocks
        .iter()
        .filter_map(|block| block.spec.as_ref())
        .map(|spec| ((&spec.domain, spec.cidr), spec))
        .collect();
    let mut by_address: BTreeMap<(&Domain, IpAddr), Vec<&Shown>> = BTreeMap::new();
    for shown in &facts.shown {
        for domain in facts.domains.get(&shown.network).into_iter().flatten() {
            by_address.entry((domain, shown.ip)).or_default().push(shown);
        }
    }
    let mut found = Vec::new();
    for ((domain, ip), shown) in by_address {
        let pods: BTreeSet<&str> = shown.iter().map(|shown| shown.pod.as_str()).collect();
        let spec = blocks.get(&(domain, BlockCidr::of(ip)));
        if !spec.is_some_and(|spec| is_had(spec, BlockCidr::offset_of(ip))) {
            let names: Vec<&str> = pods.iter().copied().collect();
            found.push(format!(
                "{ip} of domain {domain} is shown by pod {}, and no block says that anybody has it",
                names.join(", ")
            ));
        }
        // Two pods of one claim have its address at once.
        if pods.len() > 1 && !spec.is_some_and(|spec| is_of_claim(spec, BlockCidr::offset_of(ip))) {
            let names: Vec<&str> = pods.into_iter().collect();
            found.push(format!(
                "{ip} of domain {domain} is shown by {} pods: {}",
                names.len(),
                names.join(", ")
            ));
        }
    }
    found
}

fn is_had(spec: &BlockSpec, offset: Offset) -> bool {
    match &spec.state {
        BlockState::Held(_) => true,
        BlockState::Shared(all) => all.contains_key(&offset) || spec.withheld.contains_key(&offset),
    }
}

fn is_of_claim(spec: &BlockSpec, offset: Offset) -> bool {
    matches!(&spec.state, BlockState::Shared(all) if matches!(all.get(&offset), Some(Allocation::Claim { .. })))
}

/// Addresses that a claim names and that no block keeps for it. Of a claim of others no block knows anything.
fn of_claims(facts: &Facts) -> Vec<String> {
    let kept: BTreeSet<(&str, IpAddr)> = facts
        .blocks
        .iter()
        .filter_map(|block| block.spec.as_ref())
        .filter_map(|spec| if let BlockState::Shared(all) = &spec.state { Some((spec, all)) } else { None })
        .flat_map(|(spec, all)| {
            all.iter().map(move |(offset, allocation)| (spec.cidr.address(*offset), allocation))
        })
        .filter_map(|(ip, allocation)| match allocation {
            Allocation::Claim { claim } => Some((claim.uid.as_str(), ip)),
            _ => None,
        })
        .collect();
    let known: BTreeSet<&str> = kept.iter().map(|(uid, _)| *uid).collect();
    let ours = facts.claims.iter().filter(|claim| known.contains(claim.uid.as_str()));
    let missing = ours.flat_map(|claim| {
        let missing = claim.ips.iter().filter(|ip| !kept.contains(&(claim.uid.as_str(), **ip)));
        missing.map(|ip| format!("IPAMClaim {} names {ip}, and no block keeps it for that claim", claim.name))
    });
    missing.collect()
}
