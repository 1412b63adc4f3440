//! Small files in which a plugin remembers something between its calls: each whole or not there at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// Whether a file has to survive a power cut. What ends with the machine's uptime anyway need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survives {
    PowerCut,
    Kill,
}

pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes a file, or replaces it. Its temporary name is its own, and no container id begins with a dot.
pub(crate) fn write(file: &Path, bytes: &[u8], survives: Survives) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    make_folder(folder)?;
    let temporary = temporary_of(file);
    let written = create(&temporary).and_then(|mut new| {
        new.write_all(bytes)?;
        if survives == Survives::PowerCut { new.sync_data() } else { Ok(()) }
    });
    let renamed = written.and_then(|()| fs::rename(&temporary, file));
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary); // The first error is the one to tell.
    }
    renamed?;
    if survives == Survives::PowerCut { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn temporary_of(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!(".{name}.tmp"))
}

/// Removes the temporary file that a killed writer of this file left. No other process may be writing the file.
pub(crate) fn remove_unfinished_write(file: &Path) {
    let _ = fs::remove_file(temporary_of(file)); // Mostly there is none, and an old one goes with the folder's sweep.
}

/// A new file, never what somebody put at its place.
fn create(file: &Path) -> io::Result<File> {
    let open = || {
        let no_follow = OFlag::O_NOFOLLOW.bits();
        OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(no_follow).open(file)
    };
    match open() {
        // Of a call that was killed.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(file)?;
            open()
        }
        opened => opened,
    }
}

/// A writer takes milliseconds: what is older was left by one that was killed.
const UNFINISHED_SECONDS: u64 = 600;

/// Removes what killed writers left in a folder under temporary names, which nobody else would ever write again.
pub(crate) fn remove_unfinished(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| is_temporary(entry.file_name().as_encoded_bytes())) {
        let written = entry.metadata().and_then(|meta| meta.modified());
        let age = written.ok().and_then(|written| written.elapsed().ok());
        if age.is_some_and(|age| age.as_secs() >= UNFINISHED_SECONDS) {
            let _ = fs::remove_file(entry.path()); // The next look finds it again.
        }
    }
}

fn is_temporary(name: &[u8]) -> bool {
    name.starts_with(b".") && name.ends_with(b".tmp")
}

/// `None` where there is no such file.
pub(crate) fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Removing what is not there is success.
pub(crate) fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    // Shows part of: F-DSK-10
    #[test]
    fn what_a_killed_writer_left_goes_once_it_is_old_and_nothing_else_does() {
        let root = tempfile::tempdir().unwrap();
        let put = |name: &str, age| {
            let file = File::create(root.path().join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
        };
        for name in [".old.tmp", "old", ".other"] {
            put(name, UNFINISHED_SECONDS + 60);
        }
        put(".young.tmp", 1);
        remove_unfinished(root.path());
        remove_unfinished(&root.path().join("none"));
        let mut left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".other", ".young.tmp", "old"]);
    }

    // Shows part of: F-DSK-10
    #[test]
    fn what_a_killed_writer_of_this_very_file_left_goes_at_once() {
        let root = tempfile::tempdir().unwrap();
        let (file, other) = (root.path().join("it"), root.path().join(".other.tmp"));
        for left in [root.path().join(".it.tmp"), other.clone()] {
            File::create(left).unwrap();
        }
        remove_unfinished_write(&file);
        remove_unfinished_write(&file);
        assert!(!root.path().join(".it.tmp").exists() && other.exists());
    }

    // Shows part of: COMPAT-16
    #[test]
    fn a_file_is_replaced_whole_and_no_link_at_its_temporary_name_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let (file, victim) = (root.path().join("below/it"), root.path().join("victim"));
        fs::write(&victim, "as it was").unwrap();
        make_folder(file.parent().unwrap()).unwrap();
        symlink(&victim, root.path().join("below/.it.tmp")).unwrap();
        for (survives, text) in [(Survives::PowerCut, "one"), (Survives::Kill, "two")] {
            write(&file, text.as_bytes(), survives).unwrap();
            assert_eq!(read(&file).unwrap().unwrap(), text.as_bytes());
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "as it was");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        remove(&file).unwrap();
        remove(&file).unwrap();
        assert_eq!(read(&file).unwrap(), None);
    }
}
