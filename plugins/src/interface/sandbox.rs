//! The pod's namespace: a socket into it, or the knowledge that it is gone.

use std::path::Path;

use manifold_cni::CniError;
use manifold_net::{Net, Netns};

use super::failure::Told;

/// For ADD and CHECK, which cannot do without.
pub(crate) fn open(path: &Path) -> Result<Net, CniError> {
    Net::inside(&Netns::open(path).told()?).told()
}

/// For DEL. `None`: no path was given, or nothing is there any more. A path that leads to something else is an error,
/// since the link may live on in a namespace that nobody can name (PLG-COM-3).
pub(crate) fn find(path: Option<&Path>) -> Result<Option<Net>, CniError> {
    let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) else { return Ok(None) };
    match Netns::open(path) {
        Err(error) if error.is_not_found() => Ok(None),
        other => Net::inside(&other.told()?).told().map(Some),
    }
}
