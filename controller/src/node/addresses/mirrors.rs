//! Mirrors of the pools that pods of this node use: read anew every few minutes, and removed when the pool is gone or nobody uses
//! it any more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use manifold_address_store::mirror::Mirror;
use manifold_address_store::{ApiError, BlockApi as _, Store, clock};
use manifold_addresses::claim::{Hints, mode};
use manifold_addresses::pool::Pool;
use manifold_crds::ipam::{Domain, Mode, PoolName};

use super::api::NodeApi;

/// An exclusion or a pause holds everywhere after so long.
const REFRESH: Duration = Duration::from_secs(270);
/// How long a lock is waited for.
const LOCK: Duration = Duration::from_secs(5);

/// A pool as this node knows it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) name: PoolName,
    pub(super) pool: Pool,
    pub(super) hints: Hints,
    /// Never `Auto`.
    pub(super) mode: Mode,
}

#[derive(Debug, Default)]
pub(super) struct Mirrors {
    pools: BTreeMap<PoolName, (Instant, Option<Known>)>,
}

impl Mirrors {
    /// Reads each pool anew whose time has come.
    pub(super) async fn refresh(&mut self, store: &Store, api: &NodeApi) -> anyhow::Result<()> {
        let names = store.mirrors()?;
        self.pools.retain(|name, _| names.contains(name));
        for name in names {
            if self.pools.get(&name).is_some_and(|(read, _)| read.elapsed() < REFRESH) {
                continue;
            }
            let known = Self::read(store, api, &name).await?;
            self.pools.insert(name, (Instant::now(), known));
        }
        Ok(())
    }

    async fn read(store: &Store, api: &NodeApi, name: &PoolName) -> Result<Option<Known>, anyhow::Error> {
        let Some(object) = api.pool(name).await.map_err(|ApiError { what }| anyhow::anyhow!(what))? else {
            store.remove_mirror(name)?;
            return Ok(None);
        };
        let mirror = Mirror { spec: object.spec.clone(), read: clock::now()? };
        store.put_mirror(name, &mirror, Instant::now() + LOCK)?;
        let hints = object.hints();
        Ok(Pool::read(&object.spec).ok().map(|pool| {
            let mode = mode(&pool, &hints);
            Known { name: name.clone(), pool, hints, mode }
        }))
    }

    /// The pools of a domain.
    pub(super) fn of(&self, domain: &Domain) -> Vec<Known> {
        let known = self.pools.values().filter_map(|(_, known)| known.as_ref());
        known.filter(|known| known.pool.domain == *domain).cloned().collect()
    }

    /// Takes a pool out of the mirrors that nothing of this node belongs to.
    pub(super) fn forget(&mut self, store: &Store, name: &PoolName) {
        self.pools.remove(name);
        if let Err(why) = store.remove_mirror(name) {
            tracing::warn!("the mirror of pool `{name}` stays: {why}");
        }
    }
}
