//! Which file an executable was, so that a later look can tell whether it is the same one.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A file's identity: another file, and the same one written again, have another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    pub device: u64,
    pub inode: u64,
    pub bytes: u64,
    pub modified_seconds: i64,
    pub modified_nanoseconds: i64,
}

impl FileIdentity {
    /// Of the file that `path` leads to.
    pub fn of(path: &Path) -> io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            modified_seconds: meta.mtime(),
            modified_nanoseconds: meta.mtime_nsec(),
        })
    }
}

/// An executable as ADD found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutableFile {
    pub path: PathBuf,
    pub file: FileIdentity,
}

impl ExecutableFile {
    pub fn at(path: PathBuf) -> io::Result<Self> {
        FileIdentity::of(&path).map(|file| Self { path, file })
    }

    pub fn is_unchanged(&self) -> bool {
        FileIdentity::of(&self.path).is_ok_and(|now| now == self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_replaced_or_written_again_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugin");
        std::fs::write(&path, "old").unwrap();
        let known = ExecutableFile::at(path.clone()).unwrap();
        assert!(known.is_unchanged());
        std::fs::write(dir.path().join("new"), "new").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert!(!known.is_unchanged(), "replaced");
        let known = ExecutableFile::at(path.clone()).unwrap();
        std::fs::write(&path, "longer").unwrap();
        assert!(!known.is_unchanged(), "written again");
        std::fs::remove_file(&path).unwrap();
        assert!(!known.is_unchanged(), "gone");
    }
}
