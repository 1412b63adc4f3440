//! By what a namespace is known again at a later call.

use std::sync::OnceLock;

use manifold_cni::CniError;
use manifold_net::Net;
use serde::{Deserialize, Serialize};

use crate::interface::failure::Told;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A namespace of one boot. Inode numbers are used again; the cookie is not, where the kernel has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetnsMark {
    pub(crate) boot: String,
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cookie: Option<u64>,
}

impl NetnsMark {
    /// An error where a part cannot be read now: without it, the records of this namespace would count as none.
    pub(crate) fn of(net: &Net) -> Result<Self, CniError> {
        let id = net.netns().identity();
        Ok(Self { boot: boot()?, dev: id.dev, ino: id.ino, cookie: net.cookie().told()? })
    }
}

fn boot() -> Result<String, CniError> {
    static BOOT: OnceLock<String> = OnceLock::new();
    if let Some(known) = BOOT.get() {
        return Ok(known.clone());
    }
    let read = std::fs::read_to_string(BOOT_ID).map_err(|e| {
        CniError::io(
            &e,
            format!("the boot id of the node cannot be read (`{BOOT_ID}`: {e}); the runtime tries again"),
        )
    })?;
    Ok(BOOT.get_or_init(|| read.trim().to_owned()).clone())
}
