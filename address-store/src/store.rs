//! The folder as a whole: its id, its domains, and who the node is.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use manifold_addresses::api::Identity;
use manifold_addresses::file::{Damage, open, seal};
use manifold_crds::ipam::{Domain, StoreId};

use crate::identity::NodeIdentity;
use crate::{DomainFolder, StoreError, chance, files};

const KIND: &str = "store";
const ID: &str = ".store";

/// `<stateDir>/.addresses`. Making one of these touches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    state_dir: PathBuf,
    root: PathBuf,
}

impl Store {
    /// The folder in this state folder.
    pub fn of(state_dir: &Path) -> Self {
        Self { state_dir: state_dir.to_owned(), root: state_dir.join(".addresses") }
    }

    /// `<stateDir>/.addresses`.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The folder of one domain, which need not exist.
    pub fn domain(&self, domain: &Domain) -> DomainFolder {
        DomainFolder::new(&self.root, domain)
    }

    /// The domains of which anything was ever kept here.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn domains(&self) -> Result<Vec<DomainFolder>, StoreError> {
        let mut domains: Vec<Domain> =
            files::names(&self.root)?.iter().filter_map(|name| name.parse().ok()).collect();
        domains.sort();
        Ok(domains.iter().map(|domain| self.domain(domain)).collect())
    }

    /// Who this node is, with the id of this folder. Makes folder and id where they are missing.
    ///
    /// # Errors
    /// If nobody told who the node is, or the disk refuses.
    pub fn identity(&self) -> Result<Identity, StoreError> {
        let NodeIdentity { node, uid } = NodeIdentity::read(&self.state_dir)?;
        Ok(Identity { node, uid, store: self.id()? })
    }

    /// The id of this folder, made where it is missing. One that is damaged is set aside and another one made: what the old
    /// one had is lost to this node, and the leader finds out who lives by it.
    ///
    /// # Errors
    /// If the disk refuses, or a newer release wrote it.
    pub fn id(&self) -> Result<StoreId, StoreError> {
        let path = self.root.join(ID);
        for _ in 0..3 {
            match files::read(&path)?.as_deref().map(decode) {
                None => self.make_id(&path)?,
                Some(Ok(id)) => return Ok(id),
                Some(Err(damage @ Damage::Newer(_))) => return Err(StoreError::Newer { path, damage }),
                Some(Err(damage)) => {
                    tracing::warn!("`{}`: {damage}", path.display());
                    // Another process may have done so since.
                    match files::set_aside(&path) {
                        Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                        other => other?,
                    }
                }
            }
        }
        Err(StoreError::io("read", &path, std::io::Error::other("it is gone as soon as it is made")))
    }

    /// Of two processes that make it at once one is heard, and both read what that one wrote.
    fn make_id(&self, path: &Path) -> Result<(), StoreError> {
        files::make_folder(&self.root)?;
        files::sync_folder(&self.root)?;
        let id: String = format!("{:032x}", chance::random());
        let beside = self.root.join(format!(".new-{id}"));
        files::make(&beside, &seal(KIND, &[format!("id {id}")]))?;
        let linked = fs::hard_link(&beside, path);
        files::remove(&beside)?;
        match linked {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(StoreError::io("make", path, e)),
            _ => files::sync_folder(path),
        }
    }
}

fn decode(bytes: &[u8]) -> Result<StoreId, Damage> {
    let lines = open(KIND, bytes)?;
    let [line] = lines.as_slice() else { return Err(Damage::Line(2)) };
    line.strip_prefix("id ").and_then(|raw| raw.parse().ok()).ok_or(Damage::Line(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Shows part of: IPAM-67
    #[test]
    fn the_id_stays_and_a_damaged_one_is_set_aside_for_another() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::of(state.path());
        let id = store.id().unwrap();
        assert_eq!(store.id().unwrap(), id);
        let path = store.path().join(ID);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            for bytes in [&whole[..at], &flipped] {
                fs::write(&path, bytes).unwrap();
                assert_ne!(store.id().unwrap(), id, "byte {at}");
                assert_eq!(fs::read(store.path().join(".store.damaged")).unwrap(), bytes);
            }
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(store.id().unwrap(), id);
        let mut names = files::names(store.path()).unwrap();
        names.sort();
        assert_eq!(names, [".store", ".store.damaged"]);
    }

    #[test]
    fn many_that_make_the_id_at_once_have_the_same() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::of(state.path());
        let make = || store.id().unwrap();
        let ids: std::collections::HashSet<StoreId> = std::thread::scope(|s| {
            let all: Vec<_> = (0..16).map(|_| s.spawn(make)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(ids.len(), 1);
    }

    #[test]
    fn only_what_can_be_a_domain_is_listed_as_one() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::of(state.path());
        assert_eq!(store.domains().unwrap(), []);
        for name in ["wire", "default", ".pools", "No.Domain"] {
            fs::create_dir_all(store.path().join(name)).unwrap();
        }
        let found: Vec<String> = store.domains().unwrap().iter().map(|d| d.name().to_string()).collect();
        assert_eq!(found, ["default", "wire"]);
    }
}
