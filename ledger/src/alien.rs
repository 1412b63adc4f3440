//! What lies in the state folder and is not ours: not followed, not deleted, reported once (F-DSK-4).

use std::ffi::OsString;

use super::Ledger;

const FOLDER: &str = ".reported";

/// Something in the state folder that no release of ours put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alien {
    pub name: OsString,
    /// What it is, to stand after "it is".
    pub what: String,
    pub(super) inode: u64,
}

impl Ledger {
    /// True the first time that this very thing is met, on all calls of the shim together. Where that cannot be
    /// noted it is true again: twice is better than never.
    pub fn reports(&self, alien: &Alien) -> bool {
        use std::os::unix::ffi::OsStrExt as _;
        let Ok(Some(folder)) = self.folder.sub(FOLDER, true) else { return true };
        let mark = format!("{:08x}-{}", crc32fast::hash(alien.name.as_bytes()), alien.inode);
        if folder.exists(&mark) {
            return false;
        }
        let _ = folder.create_new(&mark);
        true
    }
}
