//! The folder of one domain and its two locks. Everything in it is read and written under the domain's lock, but intents,
//! which belong to the holder of the claiming lock.

use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use manifold_addresses::api::Identity;
use manifold_addresses::file::Damage;
use manifold_addresses::holdings::Holdings;
use manifold_addresses::intent::Intent;
use manifold_addresses::moment::Moment;
use manifold_crds::ipam::{BlockCidr, Domain};

use crate::{StoreError, clock, crash, files};

const HOLDINGS: &str = "holdings";
const INTENT: &str = "intent.";
const SHORT: &str = "short";

/// A domain's folder, which need not exist: what it lacks is made with the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainFolder {
    domain: Domain,
    path: PathBuf,
}

/// The domain's lock: short, for each look at the files and each change of them. No request is sent under it.
#[derive(Debug)]
pub struct Locked<'a> {
    pub(crate) folder: &'a DomainFolder,
    _file: File,
}

/// The claiming lock: who has it asks the API server for addresses of the domain. Taken before the domain's.
#[derive(Debug)]
pub struct Claiming {
    _file: File,
}

impl DomainFolder {
    pub(crate) fn new(root: &Path, domain: &Domain) -> Self {
        Self { domain: domain.clone(), path: root.join(domain.as_str()) }
    }

    /// Which.
    pub fn name(&self) -> &Domain {
        &self.domain
    }

    /// Where.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether anything was ever kept of it.
    pub fn exists(&self) -> bool {
        self.path.is_dir()
    }

    fn make(&self) -> Result<(), StoreError> {
        if self.exists() {
            return Ok(());
        }
        files::make_folder(&self.path)?;
        // Holdings must not vanish with the name of their folder.
        files::sync_folder(&self.path)
    }

    /// The domain's lock, waited for until the deadline.
    ///
    /// # Errors
    /// If it is not free in time, or the disk refuses.
    pub fn lock(&self, deadline: Instant) -> Result<Locked<'_>, StoreError> {
        self.make()?;
        Ok(Locked { folder: self, _file: files::lock(&self.path.join("lock"), deadline)? })
    }

    /// The claiming lock, waited for until the deadline. Blocks the thread.
    ///
    /// # Errors
    /// If it is not free in time, or the disk refuses.
    pub fn claiming(&self, deadline: Instant) -> Result<Claiming, StoreError> {
        self.make()?;
        Ok(Claiming { _file: files::lock(&self.path.join("claiming"), deadline)? })
    }

    /// The claiming lock if it is free now.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn try_claiming(&self) -> Result<Option<Claiming>, StoreError> {
        self.make()?;
        Ok(files::lock_if_free(&self.path.join("claiming"))?.map(|file| Claiming { _file: file }))
    }

    /// The holdings as they stand in the file, for who has no lock and only looks; `None` where there are none, or they are
    /// damaged.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn look(&self) -> Result<Option<Holdings>, StoreError> {
        let bytes = files::read(&self.path.join(HOLDINGS))?;
        Ok(bytes.and_then(|bytes| Holdings::decode(&bytes).ok()).filter(|h| h.domain == self.domain))
    }

    /// Requests that a process was about to send when it ended. Damaged intents are removed: no request followed them.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn intents(&self, _: &Claiming) -> Result<Vec<Intent>, StoreError> {
        let mut intents = Vec::new();
        for name in files::names(&self.path)?.into_iter().filter(|name| name.starts_with(INTENT)) {
            let path = self.path.join(name);
            match files::read(&path)?.as_deref().map(Intent::decode) {
                Some(Ok(intent)) => intents.push(intent),
                Some(Err(_)) => files::remove(&path)?,
                None => {}
            }
        }
        intents.sort();
        Ok(intents)
    }

    pub(crate) fn add_intent(&self, block: BlockCidr, _: &Claiming) -> Result<(), StoreError> {
        let path = self.intent(block);
        files::remove(&path)?;
        files::make(&path, &Intent { block }.encode())?;
        crash::point("intended");
        Ok(())
    }

    pub(crate) fn remove_intent(&self, block: BlockCidr, _: &Claiming) -> Result<(), StoreError> {
        files::remove(&self.intent(block))?;
        crash::point("intent-gone");
        Ok(())
    }

    fn intent(&self, block: BlockCidr) -> PathBuf {
        self.path.join(format!("{INTENT}{block}"))
    }

    /// Notes that a claim found no address, for STATUS. Best effort.
    pub(crate) fn note_short(&self, at: &Moment) {
        let _ = files::overwrite(&self.path.join(SHORT), &format!("{} {}\n", at.boot, at.seconds));
    }

    pub(crate) fn forget_short(&self) {
        let _ = files::remove(&self.path.join(SHORT));
    }

    /// How many seconds ago a claim found no address, if that was in this boot and none found one since.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn short_for(&self, now: &Moment) -> Result<Option<u64>, StoreError> {
        let text = files::read(&self.path.join(SHORT))?.and_then(|bytes| String::from_utf8(bytes).ok());
        let at = text.as_deref().and_then(|text| text.trim_end().split_once(' '));
        let of_boot = at.filter(|(boot, _)| *boot == now.boot.as_str());
        let seconds: Option<u64> = of_boot.and_then(|(_, seconds)| seconds.parse().ok());
        Ok(seconds.map(|at| now.seconds.saturating_sub(at)))
    }
}

impl Locked<'_> {
    /// What the node may give. Where the file is damaged it is set aside, and nothing is given until the API server was
    /// asked: the label's watch shows what the node has.
    ///
    /// # Errors
    /// If the disk refuses, or a newer release wrote the file.
    pub fn holdings(&self, me: &Identity) -> Result<Holdings, StoreError> {
        let (domain, path) = (&self.folder.domain, self.folder.path.join(HOLDINGS));
        let nothing = || Holdings::new(domain.clone(), me);
        let Some(bytes) = files::read(&path)? else { return Ok(nothing()) };
        match Holdings::decode(&bytes) {
            Ok(holdings) if holdings.domain == *domain => Ok(holdings.of(me)),
            Err(damage @ Damage::Newer(_)) => Err(StoreError::Newer { path, damage }),
            other => {
                let damage = other.err().unwrap_or(Damage::Line(2));
                tracing::warn!("`{}`: {damage}", path.display());
                files::set_aside(&path)?;
                Ok(nothing())
            }
        }
    }

    /// Writes the holdings, durably.
    ///
    /// # Errors
    /// If the disk refuses; the old ones are there still.
    pub fn put_holdings(&self, holdings: &Holdings) -> Result<(), StoreError> {
        files::put(&self.folder.path, ".new-holdings", HOLDINGS, &holdings.encode())
    }

    /// Changes the holdings, durably; writes nothing where nothing changes.
    ///
    /// # Errors
    /// If the disk refuses; the old ones are there still.
    pub fn change(
        &self,
        me: &Identity,
        change: impl FnOnce(&mut Holdings, &Moment),
    ) -> Result<Holdings, StoreError> {
        let (mut holdings, now) = (self.holdings(me)?, clock::now()?);
        let before = holdings.encode();
        change(&mut holdings, &now);
        if holdings.encode() != before {
            self.put_holdings(&holdings)?;
        }
        Ok(holdings)
    }

    pub(crate) fn path_of(&self, ip: IpAddr) -> PathBuf {
        self.folder.path.join(ip.to_string())
    }
}
