//! Whether a path still names the network namespace that it named at ADD (F-POD-8).

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Device and inode of the namespace, and for one that is mounted (as runtimes do) when its inode was made: the kernel
/// gives inode numbers of dead namespaces out again, and the path alone proves nothing.
///
/// Below `/proc` the kernel makes such inodes anew whenever it likes, so their time says nothing and is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetnsId {
    pub dev: u64,
    pub ino: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<(i64, i64)>,
}

/// What a recorded namespace is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    Same,
    /// Nothing is there, or another namespace (its path was given out again).
    Gone,
    /// It could not be told; nobody may conclude that it is gone.
    Unknown,
}

impl NetnsId {
    /// The identity of what lies at `path` now. Follows links: runtimes pass `/proc/<pid>/ns/net`.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        let made = (!path.starts_with("/proc")).then(|| (meta.ctime(), meta.ctime_nsec()));
        Ok(Self { dev: meta.dev(), ino: meta.ino(), made })
    }

    /// Compares what lies at `path` with this identity.
    pub fn check(&self, path: &Path) -> Now {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        match Self::of(path) {
            Ok(now) if now == *self => Now::Same,
            Ok(_) => Now::Gone,
            Err(e) if matches!(e.kind(), NotFound | NotADirectory) => Now::Gone,
            Err(_) => Now::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_namespace_is_the_same_when_asked_twice() {
        let path = Path::new("/proc/self/ns/net");
        assert_eq!(NetnsId::of(path).unwrap().check(path), Now::Same);
    }

    #[test]
    fn a_path_that_is_not_there_is_gone() {
        let id = NetnsId { dev: 4, ino: 1, made: None };
        assert_eq!(id.check(Path::new("/nonexistent/ns")), Now::Gone);
        assert_eq!(id.check(Path::new("/proc/self/ns/net/below-a-file")), Now::Gone);
    }

    #[test]
    fn another_namespace_at_the_same_path_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ns");
        std::fs::write(&path, b"").unwrap();
        let first = NetnsId::of(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"").unwrap();
        assert_eq!(first.check(&path), Now::Gone);
        // The same inode number, but made at another time.
        let now = NetnsId::of(&path).unwrap();
        let reused = NetnsId { made: Some((1, 1)), ..now };
        assert_eq!(reused.check(&path), Now::Gone);
    }
}
