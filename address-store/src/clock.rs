//! Now, on this boot's clock.

use std::path::Path;

use manifold_addresses::moment::Moment;
use manifold_ledger::{BootId, Uptime};

use crate::StoreError;

/// Which boot, and seconds since its start.
///
/// # Errors
/// If the kernel does not tell which boot it is.
pub fn now() -> Result<Moment, StoreError> {
    let fail = |e| StoreError::io("read", BootId::PATH, e);
    let boot = BootId::read(Path::new(BootId::PATH)).map_err(fail)?;
    let boot = boot.as_str().parse().map_err(|e| fail(std::io::Error::other(e)))?;
    Ok(Moment { boot, seconds: Uptime::now().0 })
}
