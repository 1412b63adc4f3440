//! Leases: which interface of which container has an address. A file for each, named after the address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use manifold_cni::{ContainerId, IfName, NetworkName};
use manifold_crds::ipam::BlockCidr;

use crate::file::{self, Damage};
use crate::moment::Seconds;

const KIND: &str = "lease";

/// Who has an address. The network too: GC comes for one network, and a domain has many.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lease {
    /// The sandbox.
    pub container: ContainerId,
    /// The interface in it.
    pub interface: IfName,
    /// The network's configuration.
    pub network: NetworkName,
}

impl Lease {
    /// The bytes of its file.
    pub fn encode(&self) -> Vec<u8> {
        let lines = [self.container.to_string(), self.interface.to_string(), self.network.to_string()];
        file::seal(KIND, &lines)
    }

    /// Reads its file. A damaged lease still takes its address: somebody may live by it. GC removes it.
    ///
    /// # Errors
    /// Anything but exactly what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let lines = file::open(KIND, bytes)?;
        let [container, interface, network] = lines.as_slice() else { return Err(Damage::Line(lines.len())) };
        Ok(Self {
            container: container.parse().map_err(|_| Damage::Line(1))?,
            interface: interface.parse().map_err(|_| Damage::Line(2))?,
            network: network.parse().map_err(|_| Damage::Line(3))?,
        })
    }
}

/// What lies in a domain's folder, as its file names say. Read under the domain's lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    /// Each address that has a lease file, whole or damaged.
    taken: BTreeSet<IpAddr>,
    /// Since when an address is free again, where that was noted. A note of an earlier boot counts from this one's start.
    freed: BTreeMap<IpAddr, Seconds>,
    /// The last address given, of each family.
    last_v4: Option<IpAddr>,
    last_v6: Option<IpAddr>,
}

impl Leases {
    /// An address has a lease.
    pub fn take(&mut self, ip: IpAddr) {
        self.taken.insert(ip);
        self.freed.remove(&ip);
    }

    /// An address is the last that was given.
    pub fn set_last(&mut self, ip: IpAddr) {
        if ip.is_ipv4() {
            self.last_v4 = Some(ip);
        } else {
            self.last_v6 = Some(ip);
        }
    }

    /// A note says since when an address is free.
    pub fn note_freed(&mut self, ip: IpAddr, at: Seconds) {
        if !self.taken.contains(&ip) {
            self.freed.insert(ip, at);
        }
    }

    /// An address has no lease any more.
    pub fn release(&mut self, ip: IpAddr) {
        self.taken.remove(&ip);
    }

    /// Whether an address has a lease.
    pub fn has(&self, ip: IpAddr) -> bool {
        self.taken.contains(&ip)
    }

    /// Every address with a lease.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.taken.iter().copied()
    }

    /// Since when it is free, where that was noted.
    pub fn freed_at(&self, ip: IpAddr) -> Option<Seconds> {
        self.freed.get(&ip).copied()
    }

    /// The last address given of a family.
    pub fn last(&self, ipv4: bool) -> Option<IpAddr> {
        if ipv4 { self.last_v4 } else { self.last_v6 }
    }

    /// Which addresses of a block have a lease.
    pub fn mask(&self, block: BlockCidr) -> u16 {
        self.in_block(block, self.taken.iter().copied())
    }

    /// Which addresses of a block are free but rest still.
    pub fn cooling_mask(&self, block: BlockCidr, reuse_after: u32, now: Seconds) -> u16 {
        let rests = |at: Seconds| now.saturating_sub(at) < Seconds::from(reuse_after);
        self.in_block(block, self.freed.iter().filter(|(_, at)| rests(**at)).map(|(ip, _)| *ip))
    }

    fn in_block(&self, block: BlockCidr, ips: impl Iterator<Item = IpAddr>) -> u16 {
        ips.filter(|ip| BlockCidr::of(*ip) == block).fold(0, |mask, ip| mask | BlockCidr::offset_of(ip).bit())
    }
}
