//! STATUS: the folder can be written, and the last claim found an address, or one is free here.

use manifold_address_store::{Store, clock};
use manifold_addresses::give::next_address;
use manifold_addresses::holdings::Holdings;
use manifold_cni::{CniError, Input, code};
use manifold_plugin_conf::ClusterLocalConf;

use super::super::host_local::readiness::writable;
use super::sources::Sources;
use super::told;

/// So long the failure of a claim says something about the next one.
const SHORT_SECONDS: u64 = 60;

pub(super) fn ready(conf: &ClusterLocalConf, store: &Store, input: &Input) -> Result<(), CniError> {
    let say = |e| CniError { code: code::NOT_AVAILABLE, ..told(input, e) };
    writable(store.path(), input, "mount it writable")?;
    let now = clock::now().map_err(say)?;
    for pools in Sources::known(conf, store).pools() {
        let Some(first) = pools.first() else { continue };
        let domain = store.domain(&first.pool.domain);
        let recently = domain.short_for(&now).map_err(say)?.is_some_and(|seconds| seconds < SHORT_SECONDS);
        if !recently {
            continue;
        }
        let locked = domain.lock(input.deadline).map_err(say)?;
        let (holdings, leases) = (domain.look().map_err(say)?, locked.leases(&now).map_err(say)?);
        let is_free = |holdings: &Holdings| {
            pools.iter().any(|c| next_address(&c.pool, holdings, &leases, &now).is_ok())
        };
        if !holdings.as_ref().is_some_and(is_free) {
            let msg = format!(
                "network `{}`: {} had no free address for this node less than {SHORT_SECONDS} s ago; add a range to it, \
                 or end some of its pods",
                input.name,
                first.display()
            );
            return Err(CniError::new(code::NOT_AVAILABLE, msg));
        }
    }
    Ok(())
}
