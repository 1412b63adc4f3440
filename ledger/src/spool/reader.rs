//! Taking outcomes out again: the node agent, one reader at a time.

use std::fs::File;
use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use super::Spool;
use super::outcome::{Line, Outcome, parse};
use super::writer::is_at;
use crate::flock::{How, Waited, lock_until};

const PATIENCE: Duration = Duration::from_secs(2);

/// Outcomes in the order they were written. Not [`done`](Batch::done), the same batch comes again next time.
#[derive(Debug)]
pub struct Batch {
    pub outcomes: Vec<Outcome>,
    /// Lines before these that nobody read in time.
    pub dropped: u64,
    /// Lines that make no sense.
    pub damaged: u64,
    spool: Spool,
}

impl Spool {
    /// The oldest outcomes there are; `None` when there is nothing to read.
    pub fn take(&self) -> io::Result<Option<Batch>> {
        let taken = self.taken();
        if !taken.try_exists()? && !self.claim(&self.older())? && !self.claim(&self.current())? {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        // Twice the size of a file is more than any rotation lets stand.
        File::open(&taken)?.take(self.file_bytes * 2).read_to_end(&mut bytes)?;
        Ok(Some(self.batch(&bytes)))
    }

    /// Takes a file out of the writers' hands: under its lock, so that no line is being written, and those who opened
    /// it before find that it is not the current one any more.
    fn claim(&self, path: &std::path::Path) -> io::Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(e),
        };
        let Waited::Locked(file) = lock_until(file, How::Exclusive, Instant::now() + PATIENCE)? else {
            return Ok(false);
        };
        if !is_at(&file, path) || file.metadata()?.len() == 0 {
            return Ok(false);
        }
        std::fs::rename(path, self.taken()).map(|()| true)
    }

    fn batch(&self, bytes: &[u8]) -> Batch {
        let mut batch = Batch { outcomes: Vec::new(), dropped: 0, damaged: 0, spool: self.clone() };
        for line in bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            match parse(line) {
                Some(Line::Outcome(outcome)) => batch.outcomes.push(*outcome),
                Some(Line::Dropped { dropped }) => batch.dropped = batch.dropped.saturating_add(dropped),
                None => batch.damaged += 1,
            }
        }
        batch
    }
}

impl Batch {
    /// The events are posted and the metrics counted: forget the lines.
    pub fn done(self) -> io::Result<()> {
        match std::fs::remove_file(self.spool.taken()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}
