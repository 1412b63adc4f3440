//! What a node may give: the blocks it holds and its addresses of shared ones, in one durable file for each domain.
//!
//! The rule that makes it safe: **what the API server says a node has is never less than its holdings.** What leaves them is
//! written here before the server is told ([`Holdings::close`]); what enters them, after it has said yes ([`Holdings::take`]).

use std::collections::BTreeMap;
use std::net::IpAddr;

use manifold_crds::ipam::{BlockCidr, Domain, NodeUid, Offset, StoreId};

use crate::api::Identity;
use crate::file::{self, Damage, value};
use crate::lease::Leases;
use crate::moment::{BootId, Moment, Seconds};
use crate::pool::Pool;

const KIND: &str = "holdings";
/// How long a confirmation by the API server counts.
pub const CONFIRMED_FOR_SECONDS: Seconds = 24 * 3600;
/// How often the node agent confirms.
pub const CONFIRM_EVERY_SECONDS: Seconds = 3600;
/// Every address of a block.
pub const WHOLE_MASK: u16 = u16::MAX;

/// What a node may give of one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Which.
    pub domain: Domain,
    /// Whose they are: a Node object that was made anew, or another folder, has nothing of them.
    uid: NodeUid,
    store: StoreId,
    blocks: BTreeMap<BlockCidr, Holding>,
}

/// What a node may give of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// What the API server said the node has.
    pub part: Part,
    /// These leave: nothing more is given of them until they have gone or are confirmed anew.
    pub closing: u16,
    /// These may not be given, although they are held.
    pub withheld: u16,
    /// When the API server said so last; none: never to this Node object and folder.
    pub confirmed: Option<Moment>,
}

/// How much of a block a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Some addresses, a bit for each offset.
    Singles(u16),
}

impl Part {
    /// A bit for each offset.
    pub fn mask(self) -> u16 {
        match self {
            Self::Whole => WHOLE_MASK,
            Self::Singles(mask) => mask,
        }
    }
}

impl Holding {
    /// A confirmation counts in the boot of it, and for a day.
    pub fn is_confirmed(&self, now: &Moment) -> bool {
        self.confirmed_for(now).is_some_and(|seconds| seconds < CONFIRMED_FOR_SECONDS)
    }

    /// Whether it was confirmed in this boot at all.
    pub fn is_of_boot(&self, now: &Moment) -> bool {
        self.confirmed_for(now).is_some()
    }

    /// How long ago it was confirmed, if it was in this boot.
    pub fn confirmed_for(&self, now: &Moment) -> Option<Seconds> {
        let confirmed = self.confirmed.as_ref().filter(|at| at.boot == now.boot)?;
        Some(now.seconds.saturating_sub(confirmed.seconds))
    }

    /// Which of its addresses may be given now, leases and pools apart.
    pub fn open_mask(&self, now: &Moment) -> u16 {
        if self.is_confirmed(now) { self.part.mask() & !self.closing & !self.withheld } else { 0 }
    }
}

impl Holdings {
    /// Nothing of a domain.
    pub fn new(domain: Domain, me: &Identity) -> Self {
        Self { domain, uid: me.uid.clone(), store: me.store.clone(), blocks: BTreeMap::new() }
    }

    /// Nothing of a domain, and nobody's: for who looks for addresses that no node will hold.
    pub fn nothing(domain: Domain) -> Self {
        #[expect(clippy::unwrap_used, reason = "constants that parse, as a test shows")]
        let (uid, store) = ("none".parse().unwrap(), "0".repeat(32).parse().unwrap());
        Self { domain, uid, store, blocks: BTreeMap::new() }
    }

    /// The same for whom the node is now. Where it was another, nothing of them counts until it is confirmed.
    #[must_use]
    pub fn of(mut self, me: &Identity) -> Self {
        if self.uid != me.uid || self.store != me.store {
            (self.uid, self.store) = (me.uid.clone(), me.store.clone());
            for holding in self.blocks.values_mut() {
                holding.confirmed = None;
            }
        }
        self
    }

    /// What is held of a block.
    pub fn get(&self, block: BlockCidr) -> Option<&Holding> {
        self.blocks.get(&block)
    }

    /// Everything, in order.
    pub fn iter(&self) -> impl Iterator<Item = (BlockCidr, &Holding)> {
        self.blocks.iter().map(|(block, holding)| (*block, holding))
    }

    /// Whether an address is among them, also while it leaves. CHECK asks this.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.get(BlockCidr::of(ip)).is_some_and(|h| h.part.mask() & BlockCidr::offset_of(ip).bit() != 0)
    }

    /// The API server has said yes: exactly this of the block is held, and nothing of it leaves.
    ///
    /// Only after a write of this very content was applied. A read is not enough: a request to give the block back may
    /// still be on its way, and would land later.
    pub fn take(&mut self, block: BlockCidr, part: Part, withheld: u16, now: &Moment) {
        if part.mask() == 0 {
            self.blocks.remove(&block);
        } else {
            self.blocks.insert(block, Holding { part, closing: 0, withheld, confirmed: Some(now.clone()) });
        }
    }

    /// These addresses leave. Durable before the API server is told, under the domain's lock.
    pub fn close(&mut self, block: BlockCidr, mask: u16) {
        if let Some(holding) = self.blocks.get_mut(&block) {
            holding.closing |= mask & holding.part.mask();
        }
    }

    /// The API server shows that the node has less than the holdings say: what is left. What leaves, leaves still.
    pub fn shrink(&mut self, block: BlockCidr, left: u16) {
        let Some(holding) = self.blocks.get_mut(&block) else { return };
        let mask = holding.part.mask() & left;
        if mask == 0 {
            self.blocks.remove(&block);
        } else if mask != WHOLE_MASK {
            *holding =
                Holding { part: Part::Singles(mask), closing: holding.closing & mask, ..holding.clone() };
        }
    }

    /// After a read that shows all of it held still.
    pub fn confirm(&mut self, block: BlockCidr, withheld: u16, now: &Moment) {
        if let Some(holding) = self.blocks.get_mut(&block) {
            holding.withheld = withheld;
            holding.confirmed = Some(now.clone());
        }
    }

    /// Which addresses of a block can be given to somebody now, by everything that is known on the node.
    pub fn givable(&self, block: BlockCidr, pool: &Pool, leases: &Leases, now: &Moment) -> u16 {
        let open = self.get(block).map_or(0, |h| h.open_mask(now));
        if open == 0 {
            return 0;
        }
        let resting = leases.cooling_mask(block, pool.reuse_after_seconds, now.seconds);
        open & pool.ordinary.mask(block) & !leases.mask(block) & !resting
    }

    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut lines = vec![format!("domain {} node {} store {}", self.domain, self.uid, self.store)];
        lines.extend(self.blocks.iter().map(|(block, h)| {
            let part = match h.part {
                Part::Whole => "whole".to_owned(),
                Part::Singles(mask) => format!("{mask:04x}"),
            };
            let confirmed = h.confirmed.as_ref().map(|at| format!(" boot={} at={}", at.boot, at.seconds));
            let confirmed = confirmed.unwrap_or_default();
            format!("block {block} {part} closing={:04x} withheld={:04x}{confirmed}", h.closing, h.withheld)
        }));
        file::seal(KIND, &lines)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// Anything but exactly what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let lines = file::open(KIND, bytes)?;
        let mut holdings = lines.first().and_then(|line| decode_owner(line)).ok_or(Damage::Line(2))?;
        for (n, line) in lines.iter().enumerate().skip(1) {
            let (block, holding) = decode_line(line).ok_or(Damage::Line(n + 2))?;
            if holdings.blocks.insert(block, holding).is_some() {
                return Err(Damage::Line(n + 2));
            }
        }
        file::exactly(&holdings.encode(), bytes)?;
        Ok(holdings)
    }
}

fn decode_owner(line: &str) -> Option<Holdings> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["domain", domain, "node", uid, "store", store] = words.as_slice() else { return None };
    let (domain, uid, store) = (domain.parse().ok()?, uid.parse().ok()?, store.parse().ok()?);
    Some(Holdings { domain, uid, store, blocks: BTreeMap::new() })
}

fn decode_line(line: &str) -> Option<(BlockCidr, Holding)> {
    let mut words = line.strip_prefix("block ")?.split(' ');
    let block = words.next()?.parse().ok()?;
    let part = match words.next()? {
        "whole" => Part::Whole,
        raw => Part::Singles(file::mask(raw).filter(|mask| *mask != 0)?),
    };
    let closing = file::mask(value(words.next(), "closing")?)?;
    let withheld = file::mask(value(words.next(), "withheld")?)?;
    let confirmed = match words.next() {
        None => None,
        boot => {
            let boot: BootId = value(boot, "boot")?.parse().ok()?;
            Some(Moment { boot, seconds: value(words.next(), "at")?.parse().ok()? })
        }
    };
    words.next().is_none().then_some((block, Holding { part, closing, withheld, confirmed }))
}

/// The offsets of a mask, in order.
pub fn offsets(mask: u16) -> impl Iterator<Item = Offset> {
    Offset::all().filter(move |offset| mask & offset.bit() != 0)
}

#[cfg(test)]
mod tests;
