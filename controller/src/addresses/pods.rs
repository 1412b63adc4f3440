//! Which living pods show which addresses: numbers and masks for each block, and a few words for each pod that shows any.
//!
//! In which domain an address counts depends on the network that shows it ([`Scopes`]). That changes with pools and
//! definitions, so what pods show is kept by network, and what follows from it is made anew when the scopes change.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use manifold_addresses::api::Stored;
use manifold_addresses::leader::{Living, Showing, Shown};
use manifold_crds::ipam::{Allocation, BlockCidr, BlockState, Domain, NodeUid, Offset};

use super::facts::{Asks, PodFacts};
use crate::feed::Event;
use crate::usage::Uid;

/// In which domains an address counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scopes {
    /// Networks whose addresses are of `cluster-local`, by `namespace/name`.
    pub(super) networks: BTreeMap<String, BTreeSet<Domain>>,
    /// The subnets of all pools.
    pub(super) subnets: BTreeSet<(Domain, IpNet)>,
}

impl Scopes {
    /// An address that another kind of network shows may be on the wire of any domain that has it.
    fn domains(&self, network: &str, ip: IpAddr) -> impl Iterator<Item = &Domain> {
        let own = self.networks.get(network);
        let has = move |(domain, subnet): &&(Domain, IpNet)| {
            subnet.contains(&ip) && own.is_none_or(|own| own.contains(domain))
        };
        let all: BTreeSet<&Domain> = self.subnets.iter().filter(has).map(|(domain, _)| domain).collect();
        all.into_iter()
    }
}

#[derive(Debug)]
struct Entry {
    name: Box<str>,
    node: Option<Arc<str>>,
    shown: Box<[(Arc<str>, IpAddr)]>,
    version: u64,
    is_going: bool,
}

#[derive(Debug, Default)]
struct ShownInBlock {
    mask: u16,
    by: Vec<(Offset, Uid)>,
}

/// What living pods show in a domain.
#[derive(Debug, Default)]
struct ShownInDomain(BTreeMap<BlockCidr, ShownInBlock>);

#[derive(Debug, Default)]
pub(super) struct Pods {
    pods: HashMap<Uid, Entry>,
    /// Pods without a status that ask for something.
    asking: HashMap<Uid, (String, Option<String>, Asks)>,
    words: HashSet<Arc<str>>,
    scopes: Scopes,
    domains: BTreeMap<Domain, ShownInDomain>,
    /// Every pod that there is, also one that shows nothing and asks for nothing.
    there: HashSet<Uid>,
    listed: HashSet<Uid>,
    is_complete: bool,
}

impl Pods {
    pub(super) fn take(&mut self, event: Event<PodFacts>) {
        match event {
            Event::ListBegins => self.listed.clear(),
            Event::Listed(pod) => {
                self.listed.insert(pod.uid);
                self.put(pod);
            }
            Event::ListEnds => self.list_ends(),
            Event::Set(pod) => {
                let known = self.pods.get(&pod.uid).map_or(0, |entry| entry.version);
                if pod.version == 0 || known <= pod.version {
                    self.put(pod);
                }
            }
            Event::Gone(pod) => self.forget(pod.uid),
            Event::Malformed | Event::Interrupted | Event::Resumed => {}
        }
    }

    fn list_ends(&mut self) {
        let listed = std::mem::take(&mut self.listed);
        let gone: Vec<Uid> = self.there.difference(&listed).copied().collect();
        gone.into_iter().for_each(|uid| self.forget(uid));
        self.is_complete = true;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn put(&mut self, pod: PodFacts) {
        self.forget(pod.uid);
        let PodFacts { uid, name, version, node, is_going, shown, asks, .. } = pod;
        self.there.insert(uid);
        if let Some(asks) = asks.filter(|asks| *asks != Asks::default()) {
            self.asking.insert(uid, (name.clone(), node.clone(), asks));
        }
        if shown.is_empty() {
            return;
        }
        let shown: Box<[_]> = shown.into_iter().map(|(network, ip)| (self.word(&network), ip)).collect();
        for (network, ip) in &shown {
            self.show(network, *ip, uid);
        }
        let node = node.map(|node| self.word(&node));
        self.pods.insert(uid, Entry { name: name.into(), node, shown, version, is_going });
    }

    fn forget(&mut self, uid: Uid) {
        self.there.remove(&uid);
        self.asking.remove(&uid);
        let Some(entry) = self.pods.remove(&uid) else { return };
        for (_, ip) in &entry.shown {
            for shown in self.domains.values_mut() {
                shown.hide(*ip, uid);
            }
        }
    }

    fn show(&mut self, network: &str, ip: IpAddr, uid: Uid) {
        for domain in self.scopes.domains(network, ip) {
            self.domains.entry(domain.clone()).or_default().show(ip, uid);
        }
    }

    /// Pools or definitions changed.
    pub(super) fn set_scopes(&mut self, scopes: Scopes) {
        if self.scopes == scopes {
            return;
        }
        self.scopes = scopes;
        self.domains.clear();
        let all: Vec<(Uid, Arc<str>, IpAddr)> = self
            .pods
            .iter()
            .flat_map(|(uid, entry)| entry.shown.iter().map(|(network, ip)| (*uid, Arc::clone(network), *ip)))
            .collect();
        all.into_iter().for_each(|(uid, network, ip)| self.show(&network, ip, uid));
    }

    /// One copy for everyone who has the same. Names of networks and nodes are few.
    fn word(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.words.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(text);
        self.words.insert(Arc::clone(&new));
        new
    }

    /// The pods without a status that ask for something: name, node, what.
    pub(super) fn asking(&self) -> impl Iterator<Item = (&str, Option<&str>, &Asks)> {
        self.asking.values().map(|(name, node, asks)| (&**name, node.as_deref(), asks))
    }

    /// Whether a pod is asked to go. Two pods may have one address for as long as one of them goes.
    pub(super) fn is_going(&self, uid: &str) -> bool {
        Uid::parse(uid).and_then(|uid| self.pods.get(&uid)).is_none_or(|entry| entry.is_going)
    }

    /// Whether there is such a pod.
    pub(super) fn is_there(&self, uid: &str) -> bool {
        Uid::parse(uid).is_some_and(|uid| self.there.contains(&uid))
    }

    pub(super) fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// What is shown in a domain, by pods on these nodes.
    pub(super) fn of<'a>(&'a self, domain: &Domain, nodes: &'a BTreeMap<String, NodeUid>) -> InDomain<'a> {
        InDomain { pods: self, shown: self.domains.get(domain), nodes }
    }

    pub(super) fn domains(&self) -> impl Iterator<Item = &Domain> {
        self.domains.keys()
    }
}

impl ShownInDomain {
    fn show(&mut self, ip: IpAddr, uid: Uid) {
        let block = self.0.entry(BlockCidr::of(ip)).or_default();
        let offset = BlockCidr::offset_of(ip);
        block.mask |= offset.bit();
        if !block.by.contains(&(offset, uid)) {
            block.by.push((offset, uid));
        }
    }

    fn hide(&mut self, ip: IpAddr, uid: Uid) {
        let Some(block) = self.0.get_mut(&BlockCidr::of(ip)) else { return };
        block.by.retain(|one| *one != (BlockCidr::offset_of(ip), uid));
        block.mask = block.by.iter().fold(0, |mask, (offset, _)| mask | offset.bit());
        if block.mask == 0 {
            self.0.remove(&BlockCidr::of(ip));
        }
    }
}

/// What is shown in one domain.
#[derive(Clone, Copy, Debug)]
pub(super) struct InDomain<'a> {
    pods: &'a Pods,
    shown: Option<&'a ShownInDomain>,
    nodes: &'a BTreeMap<String, NodeUid>,
}

impl InDomain<'_> {
    /// Every block of which any address is shown.
    pub(super) fn blocks(&self) -> impl Iterator<Item = BlockCidr> {
        self.shown.into_iter().flat_map(|shown| shown.0.keys().copied())
    }

    /// The blocks of which two pods show one address.
    pub(super) fn shared(&self) -> impl Iterator<Item = BlockCidr> {
        let twice = |block: &ShownInBlock| block.by.len() > block.mask.count_ones() as usize;
        self.shown
            .into_iter()
            .flat_map(move |shown| shown.0.iter().filter(move |(_, b)| twice(b)).map(|(b, _)| *b))
    }

    /// Whether each shown address of a block is its node's, or a claim's: then nothing has to be looked at more closely.
    pub(super) fn is_by_owners(&self, block: BlockCidr, stored: Option<&Stored>) -> bool {
        let Some(state) = stored.map(|stored| &stored.spec.state) else { return false };
        let by = self.shown.and_then(|shown| shown.0.get(&block)).map(|block| &block.by[..]);
        by.unwrap_or_default().iter().all(|(offset, uid)| {
            let entry = self.pods.pods.get(uid);
            let node = entry.and_then(|entry| self.nodes.get(&**entry.node.as_ref()?));
            match state {
                BlockState::Held(held) => node == Some(&held.holder.uid),
                BlockState::Shared(all) => match all.get(offset) {
                    Some(Allocation::Node(share)) => node == Some(&share.uid),
                    Some(Allocation::Claim { .. }) => true,
                    Some(Allocation::Foreign { .. }) | None => false,
                },
            }
        })
    }

    fn one(&self, uid: Uid) -> Option<Shown> {
        let entry = self.pods.pods.get(&uid)?;
        let node = entry.node.as_ref().and_then(|name| self.nodes.get(&**name)).cloned();
        Some(Shown { pod: entry.name.to_string(), uid: uid.to_string(), node })
    }
}

impl Showing for InDomain<'_> {
    fn mask(&self, block: BlockCidr) -> u16 {
        self.shown.and_then(|shown| shown.0.get(&block)).map_or(0, |block| block.mask)
    }

    fn masks(&self, first: BlockCidr, last: BlockCidr) -> Vec<(BlockCidr, u16)> {
        let range = self.shown.into_iter().flat_map(|shown| shown.0.range(first..=last));
        range.map(|(block, shown)| (*block, shown.mask)).collect()
    }

    fn living(&self, block: BlockCidr) -> Living {
        let mut living = Living::new();
        let by = self.shown.and_then(|shown| shown.0.get(&block)).map(|block| &block.by[..]);
        for (offset, uid) in by.unwrap_or_default() {
            let all: &mut Vec<Shown> = living.entry(block.address(*offset)).or_default();
            all.extend(self.one(*uid));
            all.sort_unstable();
        }
        living
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(n: u128, node: &str, shown: &[(&str, &str)]) -> PodFacts {
        PodFacts {
            uid: Uid::new(n),
            name: format!("shop/p{n}"),
            version: 5,
            node: Some(node.to_owned()),
            is_going: false,
            shown: shown.iter().map(|(network, ip)| ((*network).to_owned(), ip.parse().unwrap())).collect(),
            asks: None,
            claims: Vec::new(),
        }
    }

    fn scopes() -> Scopes {
        let [one, two]: [Domain; 2] = ["one", "two"].map(|d| d.parse().unwrap());
        let net = |text: &str| text.parse().unwrap();
        Scopes {
            networks: [("shop/left".to_owned(), BTreeSet::from([one.clone()]))].into(),
            subnets: [
                (one, net("10.1.0.0/24")),
                (two.clone(), net("10.1.0.0/24")),
                (two, net("10.2.0.0/24")),
            ]
            .into(),
        }
    }

    fn masks(pods: &Pods, domain: &str) -> Vec<(String, u16)> {
        let nodes = BTreeMap::new();
        let shown = pods.of(&domain.parse().unwrap(), &nodes);
        shown.blocks().map(|block| (block.to_string(), shown.mask(block))).collect()
    }

    #[test]
    fn an_address_counts_in_the_domains_of_its_network_or_wherever_it_could_be() {
        let mut pods = Pods::default();
        pods.set_scopes(scopes());
        pods.take(Event::Set(pod(
            1,
            "a",
            &[("shop/left", "10.1.0.5"), ("shop/old", "10.1.0.17"), ("shop/left", "10.9.0.1")],
        )));
        let of = |text: &str, mask| (text.to_owned(), mask);
        assert_eq!(masks(&pods, "one"), [of("10.1.0.0", 1 << 5), of("10.1.0.16", 2)]);
        assert_eq!(masks(&pods, "two"), [of("10.1.0.16", 2)]);
        pods.set_scopes(Scopes::default());
        assert!(masks(&pods, "one").is_empty());
        pods.set_scopes(scopes());
        assert_eq!(masks(&pods, "two"), [of("10.1.0.16", 2)], "a pool that came later finds it");
        pods.take(Event::Gone(pod(1, "a", &[])));
        assert!(masks(&pods, "one").is_empty() && masks(&pods, "two").is_empty());
    }

    // Shows part of: IPAM-71
    #[test]
    fn two_that_show_one_address_are_both_there_until_one_goes() {
        let (mut pods, nodes) = (Pods::default(), BTreeMap::from([("a".to_owned(), "u-a".parse().unwrap())]));
        pods.set_scopes(scopes());
        for (n, node) in [(1, "a"), (2, "b")] {
            pods.take(Event::Listed(pod(n, node, &[("shop/left", "10.1.0.5")])));
        }
        pods.take(Event::ListEnds);
        let block = BlockCidr::of([10, 1, 0, 5].into());
        let living = pods.of(&"one".parse().unwrap(), &nodes).living(block);
        let all = &living[&IpAddr::from([10, 1, 0, 5])];
        let told: Vec<_> =
            all.iter().map(|s| (s.pod.as_str(), s.node.as_ref().map(NodeUid::as_str))).collect();
        assert_eq!(told, [("shop/p1", Some("u-a")), ("shop/p2", None)]);
        assert_eq!(pods.of(&"one".parse().unwrap(), &nodes).shared().count(), 1);
        pods.take(Event::ListBegins);
        pods.take(Event::Listed(pod(2, "b", &[("shop/left", "10.1.0.5")])));
        pods.take(Event::ListEnds);
        assert_eq!(
            pods.of(&"one".parse().unwrap(), &nodes).living(block)[&IpAddr::from([10, 1, 0, 5])].len(),
            1
        );
        assert_eq!(pods.of(&"one".parse().unwrap(), &nodes).shared().count(), 0);
    }
}
