//! Appending a line, by many processes at once.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;

use super::Spool;
use super::outcome::{Line, Outcome, parse, print};
use crate::flock::{How, Waited, lock_until, try_lock};

/// The reader holds a file only while it renames it.
const PATIENCE: Duration = Duration::from_millis(200);

impl Spool {
    /// Appends one outcome. The call's own answer never depends on it: the caller logs an error and goes on.
    pub fn append(&self, outcome: &Outcome) -> io::Result<()> {
        let line = print(outcome);
        let mut file = self.to_append()?;
        if file.metadata()?.len() + line.len() as u64 > self.file_bytes {
            drop(file);
            self.rotate()?;
            file = self.to_append()?;
        }
        append_line(&file, &line)
    }

    /// The current file, locked against being taken away, and still the current one.
    fn to_append(&self) -> io::Result<File> {
        let path = self.current();
        for _ in 0..8 {
            let file = open_current(&self.folder, &path)?;
            let Waited::Locked(file) = lock_until(file, How::Shared, Instant::now() + PATIENCE)? else {
                continue;
            };
            if is_at(&file, &path) {
                return Ok(file);
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the spool of outcomes stayed locked"))
    }

    /// Puts the full file in the older one's place. Whoever finds that another call is at it lets it be: the bound is
    /// passed by one line then.
    fn rotate(&self) -> io::Result<()> {
        let path = self.current();
        let Ok(full) = try_lock(open_current(&self.folder, &path)?, How::Exclusive)? else { return Ok(()) };
        if !is_at(&full, &path) || full.metadata()?.len() == 0 {
            return Ok(());
        }
        let dropped = lines_lost(&self.older())?;
        if dropped > 0 {
            // Carried over before the lines go: in the worst case they are counted and still there.
            let note = serde_json::to_vec(&Line::Dropped { dropped }).map_err(io::Error::from)?;
            let fresh = self.folder.join("outcomes.new");
            let mut file = options().truncate(true).write(true).open(&fresh)?;
            file.write_all(&[note, b"\n".to_vec()].concat())?;
            std::fs::rename(&path, self.older())?;
            return std::fs::rename(fresh, path);
        }
        std::fs::rename(path, self.older())
    }
}

/// A line that a killed writer left unfinished is ended first, so that it spoils only itself.
fn append_line(mut file: &File, line: &[u8]) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    let whole = if last == *b"\n" { line.to_vec() } else { [b"\n", line].concat() };
    file.write_all(&whole)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    options
}

fn open_current(folder: &Path, path: &Path) -> io::Result<File> {
    match options().read(true).append(true).open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            crate::make_folder(folder).map_err(io::Error::other)?;
            options().read(true).append(true).open(path)
        }
        other => other,
    }
}

pub(super) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(here), Ok(there)) => here.ino() == there.ino() && here.dev() == there.dev(),
        _ => false,
    }
}

/// Lines that go when this file goes, those it counts itself included.
fn lines_lost(path: &Path) -> io::Result<u64> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(e),
    };
    let mut lost: u64 = 0;
    for line in BufReader::new(file).split(b'\n') {
        let line = line?;
        lost = lost.saturating_add(match parse(&line) {
            Some(Line::Dropped { dropped }) => dropped,
            _ => u64::from(!line.is_empty()),
        });
    }
    Ok(lost)
}
