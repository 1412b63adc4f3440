//! Mirrors of AddressPools: what the API server said last, so that ADD gives addresses and answers without asking.

use std::time::Instant;

use manifold_addresses::file::{open, seal};
use manifold_addresses::moment::Moment;
use manifold_crds::ipam::{PoolName, PoolSpec};

use crate::{Store, StoreError, files};

const KIND: &str = "pool";
const FOLDER: &str = ".pools";

/// A pool as it was read last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Its content.
    pub spec: PoolSpec,
    /// When.
    pub read: Moment,
}

impl Mirror {
    fn encode(&self) -> Vec<u8> {
        let spec = serde_json::to_string(&self.spec).unwrap_or_default();
        seal(KIND, &[format!("read {} {}", self.read.boot, self.read.seconds), spec])
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let lines = open(KIND, bytes).ok()?;
        let [read, spec] = lines.as_slice() else { return None };
        let (boot, seconds) = read.strip_prefix("read ")?.split_once(' ')?;
        let read = Moment { boot: boot.parse().ok()?, seconds: seconds.parse().ok()? };
        Some(Self { spec: serde_json::from_str(spec).ok()?, read })
    }
}

impl Store {
    /// The mirror of a pool. One that is damaged is none: the API server is asked again.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn mirror(&self, pool: &PoolName) -> Result<Option<Mirror>, StoreError> {
        let bytes = files::read(&self.path().join(FOLDER).join(pool.as_str()))?;
        Ok(bytes.as_deref().and_then(Mirror::decode))
    }

    /// Writes a mirror, durably.
    ///
    /// # Errors
    /// If the disk refuses, or the lock is not free until the deadline.
    pub fn put_mirror(&self, pool: &PoolName, mirror: &Mirror, deadline: Instant) -> Result<(), StoreError> {
        let folder = self.path().join(FOLDER);
        files::make_folder(&folder)?;
        // No pool has this name.
        let _lock = files::lock(&folder.join(".lock"), deadline)?;
        files::put(&folder, ".new", pool.as_str(), &mirror.encode())
    }

    /// Removes the mirror of a pool that is gone.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn remove_mirror(&self, pool: &PoolName) -> Result<(), StoreError> {
        files::remove(&self.path().join(FOLDER).join(pool.as_str()))
    }

    /// The pools that have a mirror.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn mirrors(&self) -> Result<Vec<PoolName>, StoreError> {
        let names = files::names(&self.path().join(FOLDER))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Shows part of: IPAM-67
    #[test]
    fn a_mirror_comes_back_whole_or_not_at_all() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::of(state.path());
        let pool: PoolName = "storage.v6".parse().unwrap();
        assert_eq!(store.mirror(&pool).unwrap(), None);
        let spec = PoolSpec { paused: true, ..PoolSpec::of_subnet("10.1.0.0/16") };
        let mirror = Mirror { spec, read: Moment { boot: "b".parse().unwrap(), seconds: 7 } };
        store.put_mirror(&pool, &mirror, Instant::now()).unwrap();
        assert_eq!(store.mirror(&pool).unwrap(), Some(mirror));
        assert_eq!(store.mirrors().unwrap(), std::slice::from_ref(&pool));
        let path = store.path().join(".pools/storage.v6");
        let whole = std::fs::read(&path).unwrap();
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert_eq!(store.mirror(&pool).unwrap(), None, "cut at {end}");
        }
        store.remove_mirror(&pool).unwrap();
        assert_eq!(store.mirrors().unwrap(), []);
    }
}
