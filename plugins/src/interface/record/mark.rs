//! By what a namespace is known again at a later call.

use std::sync::OnceLock;

use manifold_net::Net;
use serde::{Deserialize, Serialize};

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
    pub(crate) fn of(net: &Net) -> Self {
        let id = net.netns().identity();
        Self { boot: boot().to_owned(), dev: id.dev, ino: id.ino, cookie: net.cookie() }
    }
}

fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned())
}
