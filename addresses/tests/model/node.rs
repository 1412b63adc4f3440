//! A node: its disk, its boot, and the processes that run on it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use manifold_addresses::agent::Idle;
use manifold_addresses::api::Identity;
use manifold_addresses::holdings::Holdings;
use manifold_addresses::intent::Intent;
use manifold_addresses::lease::Leases;
use manifold_addresses::moment::Moment;
use manifold_crds::ipam::{BlockCidr, Domain};

use crate::api::Blocks;
use crate::session::Session;

pub(crate) type PodId = u64;

/// The process was killed.
#[derive(Debug)]
pub(crate) struct Killed;

/// What outlives processes and boots.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) store: u64,
    pub(crate) holdings: Vec<u8>,
    /// Of a pod's interface, by its number.
    pub(crate) leases: BTreeMap<IpAddr, (PodId, usize)>,
    pub(crate) freed: BTreeMap<IpAddr, u64>,
    pub(crate) last: Option<IpAddr>,
    pub(crate) intents: Vec<Vec<u8>>,
}

/// An ADD that runs.
#[derive(Debug)]
pub(crate) struct Add {
    pub(crate) pod: PodId,
    /// An address that was chosen; its lease is made in the next step. Only where that is planted.
    pub(crate) chosen: Option<(usize, IpAddr)>,
    pub(crate) session: Option<Session>,
    pub(crate) rounds: u32,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) number: usize,
    pub(crate) disk: Disk,
    pub(crate) snapshot: Option<Disk>,
    pub(crate) boot: u64,
    pub(crate) booted_at: u64,
    /// The number of its Node object; raised with each new one.
    pub(crate) generation: u64,
    pub(crate) registered: bool,
    pub(crate) cut_until: u64,
    pub(crate) adds: Vec<Add>,
    pub(crate) agent: Option<Session>,
    pub(crate) idle: Idle,
    pub(crate) watched: Blocks,
    /// Since the API server was put back: blocks whose holdings it may not know.
    pub(crate) tainted: BTreeSet<BlockCidr>,
}

impl Node {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            number,
            disk: Disk { store: 1, ..Disk::default() },
            snapshot: None,
            boot: 1,
            booted_at: 0,
            generation: 1,
            registered: true,
            cut_until: 0,
            adds: Vec::new(),
            agent: None,
            idle: Idle::default(),
            watched: Blocks::new(),
            tainted: BTreeSet::new(),
        }
    }

    pub(crate) fn uid(&self) -> String {
        format!("n{}-{}", self.number, self.generation)
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            node: format!("worker-{}", self.number).parse().unwrap(),
            uid: self.uid().parse().unwrap(),
            store: format!("{:016x}{:016x}", self.number, self.disk.store).parse().unwrap(),
        }
    }

    pub(crate) fn now(&self, now: u64) -> Moment {
        Moment { boot: format!("boot-{}", self.boot).parse().unwrap(), seconds: now - self.booted_at }
    }

    /// Whether somebody has the claiming lock.
    pub(crate) fn is_claiming(&self) -> bool {
        self.agent.is_some() || self.adds.iter().any(|add| add.session.is_some())
    }

    /// A torn file is set aside, and the holdings are made anew from what the API server says.
    pub(crate) fn holdings(&self) -> Holdings {
        let me = self.identity();
        let read = Holdings::decode(&self.disk.holdings).ok();
        read.map_or_else(|| Holdings::new(Domain::default(), &me), |h| h.of(&me))
    }

    pub(crate) fn leases(&self) -> Leases {
        let mut leases = Leases::default();
        self.disk.leases.keys().for_each(|ip| leases.take(*ip));
        self.disk.freed.iter().for_each(|(ip, at)| leases.note_freed(*ip, *at));
        self.disk.last.iter().for_each(|ip| leases.set_last(*ip));
        leases
    }

    pub(crate) fn intents(&self) -> Vec<Intent> {
        self.disk.intents.iter().filter_map(|bytes| Intent::decode(bytes).ok()).collect()
    }

    pub(crate) fn add_intent(&mut self, block: BlockCidr) {
        let bytes = Intent { block }.encode();
        if !self.disk.intents.contains(&bytes) {
            self.disk.intents.push(bytes);
        }
    }

    pub(crate) fn remove_intent(&mut self, block: BlockCidr) {
        let bytes = Intent { block }.encode();
        self.disk.intents.retain(|other| *other != bytes);
    }

    /// All processes end, and with them their locks.
    pub(crate) fn kill_all(&mut self) {
        self.adds.clear();
        self.agent = None;
    }

    /// Another boot: nothing runs, and leases of the old boot are swept before anything new starts.
    pub(crate) fn reboot(&mut self, now: u64) {
        self.kill_all();
        self.boot += 1;
        self.booted_at = now;
        self.idle = Idle::default();
        self.disk.freed = std::mem::take(&mut self.disk.leases).into_keys().map(|ip| (ip, 0)).collect();
    }
}
