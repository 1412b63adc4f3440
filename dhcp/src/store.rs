//! Leases on disk, one file each, so that a daemon that starts again goes on with them (P-DEL-11).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::identity::LeaseId;
use crate::lease::Lease;

#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // A kubelet that mounts it makes it for everybody to read (S-14).
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// By another name first, so that a power cut leaves the old file or the new one.
    pub fn put(&self, lease: &Lease) -> io::Result<()> {
        let path = self.path(&lease.id);
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(lease)?)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
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
