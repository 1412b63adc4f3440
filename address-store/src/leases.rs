//! Leases: a file for each, named after its address. Taken and removed under the domain's lock.

use std::net::IpAddr;

use manifold_addresses::holdings::Holdings;
use manifold_addresses::lease::{Lease, Leases};
use manifold_addresses::moment::Moment;

use crate::{Locked, StoreError, crash, files};

const FREED: &str = "freed";
const KEPT: &str = "kept";

/// A lease file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its address.
    pub ip: IpAddr,
    /// Whose it is; `None` where the file is damaged. Its address is taken all the same.
    pub lease: Option<Lease>,
    /// Whether the address stays with an IPAMClaim.
    pub kept: bool,
    name: String,
}

impl Found {
    pub(crate) fn made(ip: IpAddr, lease: Lease) -> Self {
        Self { ip, lease: Some(lease), kept: false, name: ip.to_string() }
    }
}

impl Locked<'_> {
    /// What lies in the folder, by names alone: no file of a lease is read.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn leases(&self, now: &Moment) -> Result<Leases, StoreError> {
        let mut leases = Leases::default();
        self.folder.names()?.iter().filter_map(|name| address(name)).for_each(|ip| leases.take(ip));
        for name in files::names(&self.folder.path().join(FREED))? {
            if let Some((ip, at)) = freed(&name, now) {
                leases.note_freed(ip, at);
            }
        }
        for family in ["4", "6"] {
            let last = files::read(&self.folder.path().join(format!("last.{family}")))?;
            let text = last.and_then(|bytes| String::from_utf8(bytes).ok());
            text.and_then(|text| text.trim_end().parse().ok()).into_iter().for_each(|ip| leases.set_last(ip));
        }
        Ok(leases)
    }

    /// Makes a lease and notes that its address is the last that was given; `false` where the address has one.
    ///
    /// # Errors
    /// If the disk refuses; no lease is left then.
    pub fn add_lease(&self, ip: IpAddr, lease: &Lease) -> Result<bool, StoreError> {
        let path = self.path_of(ip);
        if !files::create(&path, &lease.encode())? {
            return Ok(false);
        }
        crash::point("lease-made");
        let family = if ip.is_ipv4() { "4" } else { "6" };
        let noted = files::overwrite(&self.folder.path().join(format!("last.{family}")), &ip.to_string());
        noted.and_then(|()| self.forget_freed(ip)).map(|()| true).inspect_err(|_| {
            let _ = files::remove(&path); // The first error is the one to tell.
        })
    }

    /// Makes a lease of an address that an IPAMClaim keeps. Several attachments may have one of it.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn add_kept_lease(&self, ip: IpAddr, lease: &Lease) -> Result<(), StoreError> {
        let folder = self.folder.path().join(KEPT);
        files::make_folder(&folder)?;
        for n in 0u32.. {
            if files::create(&folder.join(format!("{ip}.{n}")), &lease.encode())? {
                break;
            }
        }
        Ok(())
    }

    /// Removes a lease and notes since when its address is free. The note needs space, and the lease goes without it too.
    ///
    /// # Errors
    /// If the lease cannot be removed.
    pub fn remove_lease(&self, found: &Found, now: &Moment) -> Result<(), StoreError> {
        if found.kept {
            return files::remove(&self.folder.path().join(KEPT).join(&found.name));
        }
        files::remove(&self.path_of(found.ip))?;
        let folder = self.folder.path().join(FREED);
        let noted = files::make_folder(&folder).and_then(|()| self.forget_freed(found.ip)).and_then(|()| {
            files::create(&folder.join(format!("{}.{}.{}", found.ip, now.seconds, now.boot)), b"")
        });
        if let Err(error) = noted {
            tracing::info!("since when `{}` is free is not noted: {error}", found.ip);
        }
        Ok(())
    }

    /// Every lease, read. One that is empty was left by a call that was killed: its address is free, and the file goes.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn found(&self) -> Result<Vec<Found>, StoreError> {
        let all = self.folder.found()?;
        let is_empty = |found: &&Found| found.lease.is_none() && self.folder.is_empty(found);
        for found in all.iter().filter(is_empty) {
            files::remove(&self.folder.path_of(found))?;
        }
        Ok(all
            .into_iter()
            .filter(|found| found.lease.is_some() || self.folder.path_of(found).exists())
            .collect())
    }

    /// Notes of addresses that are no longer held say nothing any more.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn forget_freed_elsewhere(&self, holdings: &Holdings) -> Result<(), StoreError> {
        let folder = self.folder.path().join(FREED);
        for name in files::names(&folder)? {
            let ip = name.rsplitn(3, '.').nth(2).and_then(address);
            if ip.is_none_or(|ip| !holdings.contains(ip)) {
                files::remove(&folder.join(name))?;
            }
        }
        Ok(())
    }

    fn forget_freed(&self, ip: IpAddr) -> Result<(), StoreError> {
        let folder = self.folder.path().join(FREED);
        let of_ip = |name: &&String| name.rsplitn(3, '.').nth(2).and_then(address) == Some(ip);
        files::names(&folder)?.iter().filter(of_ip).try_for_each(|name| files::remove(&folder.join(name)))
    }
}

impl crate::DomainFolder {
    /// Every lease, read without the lock: for CHECK, and for a look before the lock is taken.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn found(&self) -> Result<Vec<Found>, StoreError> {
        let mut all = Vec::new();
        let plain = self.names()?.into_iter().filter_map(|name| Some((address(&name)?, name, false)));
        let kept = files::names(&self.path().join(KEPT))?;
        let kept = kept.into_iter().filter_map(|name| Some((address(name.rsplit_once('.')?.0)?, name, true)));
        for (ip, name, kept) in plain.chain(kept) {
            let mut found = Found { ip, lease: None, kept, name };
            if let Some(bytes) = files::read(&self.path_of(&found))? {
                found.lease = Lease::decode(&bytes).ok();
                all.push(found);
            }
        }
        all.sort_by(|a, b| (a.ip, &a.name).cmp(&(b.ip, &b.name)));
        Ok(all)
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        files::names(self.path())
    }

    fn path_of(&self, found: &Found) -> std::path::PathBuf {
        if found.kept { self.path().join(KEPT).join(&found.name) } else { self.path().join(&found.name) }
    }

    fn is_empty(&self, found: &Found) -> bool {
        // A power cut may leave the length of a file without its bytes.
        let bytes = files::read(&self.path_of(found)).ok().flatten();
        bytes.is_some_and(|bytes| bytes.iter().all(|b| *b == 0))
    }
}

/// Only the one spelling that is written.
fn address(name: &str) -> Option<IpAddr> {
    name.parse().ok().filter(|ip: &IpAddr| ip.to_string() == name)
}

/// An address and since when it is free. A note of an earlier boot counts from this one's start.
fn freed(name: &str, now: &Moment) -> Option<(IpAddr, u64)> {
    let mut words = name.rsplitn(3, '.');
    let (boot, seconds, ip) = (words.next()?, words.next()?.parse().ok()?, address(words.next()?)?);
    Some((ip, if boot == now.boot.as_str() { seconds } else { 0 }))
}
