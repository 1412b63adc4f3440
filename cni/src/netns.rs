//! Whether a path is the network namespace that we ourselves are in: no attachment may be made there (CNI-ENV-9).

use std::os::linux::fs::MetadataExt;
use std::path::Path;

use crate::{CniError, code};

/// Refuses our own namespace, as ADD would rename the node's links and DEL would take them down.
/// A path that cannot be looked at is somebody else's error to tell.
///
/// # Errors
/// If it is our own namespace.
pub fn refuse_own(path: &Path, overridden: Option<&str>) -> Result<(), CniError> {
    if overridden.is_some_and(|v| v == "1" || v.eq_ignore_ascii_case("true")) {
        return Ok(());
    }
    let (Ok(own), Ok(other)) = (Path::new("/proc/thread-self/ns/net").metadata(), path.metadata()) else {
        return Ok(());
    };
    if (own.st_dev(), own.st_ino()) != (other.st_dev(), other.st_ino()) {
        return Ok(());
    }
    let msg = format!(
        "CNI_NETNS `{}` is the plugin's own network namespace, not a container's",
        crate::name::printable(&path.to_string_lossy())
    );
    Err(CniError::new(code::INVALID_NETNS, msg).details("set CNI_NETNS_OVERRIDE=1 if that is meant"))
}
