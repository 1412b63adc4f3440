//! Leases on disk, one file each, so that a daemon that starts again goes on with them (P-DEL-11).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::identity::LeaseId;
use crate::lease::Lease;

/// How the name of a file ends while it is written.
const UNFINISHED: &str = "new";

#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // A kubelet that mounts it makes it for everybody to read (S-14).
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        let store = Self { folder: folder.to_owned() };
        store.remove_unfinished()?;
        Ok(store)
    }

    /// What a daemon that was killed left half written. The lease itself is in the file of its own name, if anywhere.
    fn remove_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|kind| kind == UNFINISHED) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// By another name first, so that a power cut leaves the old file or the new one.
    pub fn put(&self, lease: &Lease) -> io::Result<()> {
        let path = self.path(&lease.id);
        let new = path.with_extension(UNFINISHED);
        let _ = fs::remove_file(&new); // What could not be removed at the last failure must not stand in the way for ever.
        let written = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec(lease)?)?;
            file.sync_all()?;
            fs::rename(&new, &path)
        }();
        if written.is_err() {
            let _ = fs::remove_file(&new); // The first error is the one to tell.
        }
        written?;
        File::open(&self.folder)?.sync_all()
    }

    pub fn remove(&self, id: &LeaseId) -> io::Result<()> {
        match fs::remove_file(self.path(id)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Every lease that can be read. What cannot is left where it is and told.
    pub fn all(&self) -> io::Result<Vec<Lease>> {
        let mut leases = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|kind| kind != "json") {
                continue;
            }
            match fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?)) {
                Ok(lease) => leases.push(lease),
                Err(e) => {
                    tracing::warn!(path = %path.display(), "a lease cannot be read and is left alone: {e}");
                }
            }
        }
        Ok(leases)
    }

    fn path(&self, id: &LeaseId) -> PathBuf {
        self.folder.join(id.file_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: F-DSK-10
    #[test]
    fn what_a_killed_daemon_left_half_written_goes_when_the_next_one_starts() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["c1.new", "c1.json"] {
            fs::write(folder.path().join(name), "{").unwrap();
        }
        Store::open(folder.path()).unwrap();
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["c1.json"]);
    }

    #[test]
    fn a_folder_that_others_may_read_becomes_roots_alone() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("leases");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        Store::open(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
