//! What is in the ledger: entries by container id, and what does not belong there.

use manifold_cni::ContainerId;
use nix::errno::Errno;

use super::alien::Alien;
use super::folder::alien;
use super::{Ledger, LedgerError};

/// Things of ours beside the entries whose names could be container ids.
const NEIGHBOURS: [&str; 2] = ["credentials", "cluster-wide-network.json"];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    pub entries: Vec<ContainerId>,
    pub aliens: Vec<Alien>,
}

impl Ledger {
    /// Names only; whether an entry is readable shows when it is read.
    pub fn list(&self) -> Result<Listing, LedgerError> {
        let names = self.folder.names().map_err(|e| self.folder.error("list", "", e))?;
        let mut listing = Listing::default();
        for name in names {
            let text = name.to_str();
            if text.is_some_and(|t| t.starts_with('.') || NEIGHBOURS.contains(&t)) {
                continue;
            }
            let stat = match self.folder.stat(name.as_os_str()) {
                Ok(stat) => stat,
                Err(Errno::ENOENT) => continue,
                Err(e) => return Err(self.folder.error("examine", &name.to_string_lossy(), e)),
            };
            match (text.and_then(|t| t.parse().ok()), alien(&stat)) {
                (Some(id), None) => listing.entries.push(id),
                (_, what) => {
                    let what = what.unwrap_or_else(|| "a file whose name is not a container id".to_owned());
                    listing.aliens.push(Alien { name, what, inode: stat.st_ino });
                }
            }
        }
        Ok(listing)
    }

    /// Lists, and logs what is alien where nobody has logged it yet.
    pub fn entries(&self) -> Result<Vec<ContainerId>, LedgerError> {
        let listing = self.list()?;
        for alien in listing.aliens.iter().filter(|a| self.reports(a)) {
            let name = manifold_cni::name::printable(&alien.name.to_string_lossy());
            tracing::warn!(%name, what = alien.what, "the ledger folder holds a foreign file; it was left alone");
        }
        Ok(listing.entries)
    }
}
