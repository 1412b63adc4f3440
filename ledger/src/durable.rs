//! Files that are whole or not there: written beside, made durable, renamed, and read back.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;

use crate::content::Content;

/// How a file is called until it is whole. No runtime takes such a name for a configuration.
pub(crate) const UNFINISHED: &str = ".manifold-unfinished-";

/// Puts `bytes` under `name`, in place of whatever lies there. On an error the old file is still there, whole.
pub fn put(folder: &Path, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    put_content(folder, name, Content::Bytes(bytes), mode)
}

/// The same with what another file holds, which is never in memory as a whole.
pub fn put_file(folder: &Path, name: &str, source: &Path, mode: u32) -> io::Result<()> {
    put_content(folder, name, Content::File(source), mode)
}

fn put_content(folder: &Path, name: &str, content: Content<'_>, mode: u32) -> io::Result<()> {
    put_with(folder, name, mode, |file| content.copy_to(file))?;
    // A disk or an overlay that does not keep what it is given is told about here, and not by a pod.
    match content.is_at(&folder.join(name))? {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the data read back differs from the data written",
        )),
    }
}

fn put_with(
    folder: &Path,
    name: &str,
    mode: u32,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let beside = folder.join(format!("{UNFINISHED}{name}"));
    discard(&beside)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode).custom_flags(OFlag::O_NOFOLLOW.bits());
    let mut file = options.open(&beside)?;
    let written = write(&mut file)
        // The mask of the process must not decide who can run a plugin.
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(mode)))
        .and_then(|()| file.sync_all());
    drop(file);
    let renamed = written.and_then(|()| fs::rename(&beside, folder.join(name)));
    if renamed.is_err() {
        let _ = fs::remove_file(&beside);
    }
    renamed.and_then(|()| sync(folder))
}

/// Makes `name` another name of the file `of`, in place of whatever lies there.
pub fn link(folder: &Path, of: &str, name: &str) -> io::Result<()> {
    let beside = folder.join(format!("{UNFINISHED}{name}"));
    discard(&beside)?;
    fs::hard_link(folder.join(of), &beside)?;
    fs::rename(&beside, folder.join(name)).and_then(|()| {
        // Renamed onto another name of itself, nothing happens, and the name beside stays.
        discard(&beside)?;
        sync(folder)
    })
}

/// Gives a file another name; there is one of the two at any moment.
pub fn rename(folder: &Path, from: &str, to: &str) -> io::Result<()> {
    fs::rename(folder.join(from), folder.join(to)).and_then(|()| sync(folder))
}

/// Makes the folder and its parents where they are missing, and gives it this mode if it is new.
pub fn folder(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(up) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(up)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
    }
}

fn discard(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: P-UP-5
    #[test]
    fn a_reader_meets_the_old_file_or_the_new_one_and_never_half_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (vec![b'o'; 200_000], vec![b'n'; 100_000]);
        put(dir.path(), "x", &old, 0o600).unwrap();
        let path = dir.path().join("x");
        std::thread::scope(|s| {
            let writer = s.spawn(|| {
                for n in 0..40 {
                    put(dir.path(), "x", if n % 2 == 0 { &new } else { &old }, 0o600).unwrap();
                }
            });
            while !writer.is_finished() {
                let seen = fs::read(&path).unwrap();
                assert!(seen == old || seen == new, "{} bytes", seen.len());
            }
        });
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_writer_left_is_no_hindrance() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".manifold-unfinished-x"), "half").unwrap();
        put(dir.path(), "x", b"whole", 0o755).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(fs::metadata(dir.path().join("x")).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn a_link_is_another_name_and_takes_the_place_of_an_older_one() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "a", b"1", 0o755).unwrap();
        for _ in 0..2 {
            link(dir.path(), "a", "b").unwrap();
        }
        put(dir.path(), "a", b"2", 0o755).unwrap();
        link(dir.path(), "a", "b").unwrap();
        let inode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().ino();
        assert_eq!(inode("a"), inode("b"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
