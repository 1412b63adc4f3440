//! Who holds which address: the folder read twice, once without the lock and once with it.
//!
//! Reading a file per lease is what takes time, so it is done before the lock is asked for. Under the lock the folder
//! is only listed again, and what has appeared since is read (PLG-HL-15).

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use super::folder::{Entry, Folder};
use super::lease::Holder;

#[derive(Clone, Debug, Default)]
pub(super) struct Leases {
    by_ip: HashMap<IpAddr, (u64, Holder)>,
}

impl Leases {
    /// The folder as it is now; `holder` judges a content.
    pub(super) fn read(folder: &Folder, holder: &dyn Fn(&[u8]) -> Holder) -> io::Result<Self> {
        Self::default().again(folder, holder)
    }

    /// The same, reading only what is not known yet. An address whose file was replaced has another inode. Files that
    /// seemed empty are read again: they may just have been filled.
    pub(super) fn again(&self, folder: &Folder, holder: &dyn Fn(&[u8]) -> Holder) -> io::Result<Self> {
        let entries = folder.entries()?;
        let mut by_ip = HashMap::with_capacity(entries.len());
        for entry in entries {
            if let Some(held_by) =
                self.known(&entry).map_or_else(|| judge(folder, &entry, holder), |h| Ok(Some(h)))?
            {
                by_ip.insert(entry.ip, (entry.inode, held_by));
            }
        }
        Ok(Self { by_ip })
    }

    fn known(&self, entry: &Entry) -> Option<Holder> {
        let (inode, held_by) = self.by_ip.get(&entry.ip)?;
        (*inode == entry.inode && *held_by != Holder::Nobody).then_some(*held_by)
    }

    /// Somebody holds the address, or something that is no lease bears its name.
    pub(super) fn taken(&self, ip: IpAddr) -> bool {
        self.by_ip.contains_key(&ip)
    }

    /// The addresses with that holder, in order.
    pub(super) fn of(&self, held_by: Holder) -> Vec<IpAddr> {
        let mut ips: Vec<IpAddr> =
            self.by_ip.iter().filter(|(_, (_, h))| *h == held_by).map(|(ip, _)| *ip).collect();
        ips.sort_unstable();
        ips
    }

    pub(super) fn has(&self, held_by: Holder) -> bool {
        self.by_ip.values().any(|(_, h)| *h == held_by)
    }

    pub(super) fn forget(&mut self, ip: IpAddr) {
        self.by_ip.remove(&ip);
    }
}

/// `None` when the file has gone since the listing.
fn judge(folder: &Folder, entry: &Entry, holder: &dyn Fn(&[u8]) -> Holder) -> io::Result<Option<Holder>> {
    if !entry.is_file {
        return Ok(Some(Holder::Other));
    }
    Ok(folder.read(entry.ip)?.map(|content| holder(&content)))
}
