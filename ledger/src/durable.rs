//! Files that are whole or not there: written beside, made durable, renamed, and read back.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::fcntl::OFlag;

use crate::content::Content;

/// How the name of a file begins until it is whole. No runtime takes such a name for a configuration.
pub(crate) const UNFINISHED: &str = ".manifold-unfinished-";
/// What is older was left by a writer that was killed.
pub(crate) const UNFINISHED_SECONDS: u64 = 600;

/// Puts `bytes` under `name`, in place of whatever lies there. On an error the old file is still there, whole. Of several that
/// put at once each succeeds, and one of them is the last.
pub fn put(folder: &Path, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    put_content(folder, name, Content::Bytes(bytes), mode)
}

/// The same with what another file holds, which is never in memory as a whole.
pub fn put_file(folder: &Path, name: &str, source: &Path, mode: u32) -> io::Result<()> {
    put_content(folder, name, Content::File(source), mode)
}

/// The same for what need not outlive a power cut: whole for every reader, and without a wait for the disk.
pub fn put_for_now(folder: &Path, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    put_with(folder, name, mode, |file| file.write_all(bytes)).map(drop)
}

fn put_content(folder: &Path, name: &str, content: Content<'_>, mode: u32) -> io::Result<()> {
    let written = put_with(folder, name, mode, |file| content.copy_to(file).and_then(|()| file.sync_all()))?;
    sync(folder)?;
    // A disk or an overlay that does not keep what it is given is told about here, and not by a pod.
    let place = folder.join(name);
    if content.is_at(&place)? || identity(&fs::symlink_metadata(&place)?) != identity(&written.metadata()?) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the data read back differs from the data written"))
}

/// Device and inode: somebody else may have put another file there since.
fn identity(meta: &fs::Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

fn put_with(
    folder: &Path,
    name: &str,
    mode: u32,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<File> {
    let beside = beside(folder, name)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode).custom_flags(OFlag::O_NOFOLLOW.bits());
    let mut file = options.open(&beside)?;
    // The mask of the process must not decide who can run a plugin.
    let written = file
        .set_permissions(fs::Permissions::from_mode(mode))
        .and_then(|()| write(&mut file))
        // Held for reading, so that no other file gets its number; nobody can execute what is open for writing.
        .and_then(|()| File::open(&beside));
    drop(file);
    let renamed = written.and_then(|held| fs::rename(&beside, folder.join(name)).map(|()| held));
    if renamed.is_err() {
        let _ = fs::remove_file(&beside);
    }
    renamed
}

/// A name that no other writer has. It has our process number in it: who left it earlier was killed, and its number given out
/// again.
fn beside(folder: &Path, name: &str) -> io::Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    remove_leftovers(folder);
    let (pid, n) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let beside = folder.join(format!("{UNFINISHED}{pid}-{n}-{name}"));
    discard(&beside)?;
    Ok(beside)
}

/// What killed writers left in the folder, whatever they wrote: their file may never be written again.
fn remove_leftovers(folder: &Path) {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    for file in files.filter(|file| file.file_name().to_string_lossy().starts_with(UNFINISHED)) {
        let age = file.metadata().and_then(|meta| meta.modified()).map(|at| at.elapsed().unwrap_or_default());
        if age.is_ok_and(|age| age.as_secs() >= UNFINISHED_SECONDS) {
            let _ = fs::remove_file(file.path());
        }
    }
}

/// Makes `name` another name of the file `of`, in place of whatever lies there.
pub fn link(folder: &Path, of: &str, name: &str) -> io::Result<()> {
    let beside = beside(folder, name)?;
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

    // Proves: F-DSK-12
    #[test]
    fn of_several_writers_of_one_name_each_succeeds_and_one_is_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let contents = [vec![b'a'; 50_000], vec![b'b'; 70_000], vec![b'c'; 90_000]];
        std::thread::scope(|s| {
            for content in &contents {
                let puts = || (0..30).try_for_each(|_| put(dir.path(), "x", content, 0o600));
                s.spawn(move || puts().unwrap());
            }
        });
        let last = fs::read(dir.path().join("x")).unwrap();
        assert!(contents.contains(&last), "{} bytes", last.len());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    // Shows part of: F-DSK-10
    #[test]
    fn what_a_killed_writer_left_is_no_hindrance_and_goes_when_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let leave = |name: &str, age: u64| {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
        };
        for old in [".manifold-unfinished-x", ".manifold-unfinished-7-0-x", ".manifold-unfinished-7-1-y", "y"]
        {
            leave(old, UNFINISHED_SECONDS + 60);
        }
        leave(".manifold-unfinished-8-1-x", 1);
        put(dir.path(), "x", b"whole", 0o755).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".manifold-unfinished-8-1-x", "x", "y"]);
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
