//! Writing on an entry whose plan is on disk: states in place, results and the status text at the end.
//!
//! Nothing here is fsynced: no pod survives a power cut, and the boot sweep undoes from the plan alone.

use std::fs::File;
use std::io;

use nix::errno::Errno;

use super::codec::{self, FORMAT, Late, MAX_BYTES};
use super::folder::write_at;
use super::{Entry, Exact, LedgerError, Status, Uptime, marks};

/// The open file of one entry. It stays usable when descriptors or names run out later. Whoever writes holds the
/// sandbox lock.
#[derive(Debug)]
pub struct Pen {
    file: File,
    path: std::path::PathBuf,
    name: String,
    first_line: usize,
    /// Where the last whole record ends.
    end: u64,
    /// What the file says already, so that each result is appended once.
    results: Vec<Option<Exact>>,
    status: (Status, Option<String>),
    answered: Option<Uptime>,
}

impl Pen {
    pub(super) fn new(file: File, folder: &std::path::Path, name: &str, end: u64, entry: &Entry) -> Self {
        Self {
            file,
            path: folder.join(name),
            name: name.to_owned(),
            first_line: marks::line(entry, FORMAT).len(),
            end,
            results: entry.attachments.iter().map(|a| a.result.clone()).collect(),
            status: (entry.status.clone(), entry.status_text.clone()),
            answered: entry.answered,
        }
    }

    /// Writes the states: stage, attachments, failures, whether published. In place, so it needs no space: for the
    /// undo and for DEL. Where even this fails, the states only say less than was done, and DEL does it again.
    pub fn mark(&mut self, entry: &Entry) -> Result<(), LedgerError> {
        let line = marks::line(entry, FORMAT);
        if line.len() != self.first_line {
            return Err(self.error(Errno::EINVAL));
        }
        write_at(&self.file, &self.name, &line, 0).map_err(|e| self.error(e))
    }

    /// Appends the results, the status text and the time of the answer that the file does not hold yet, then writes the states.
    pub fn save(&mut self, entry: &Entry) -> Result<(), LedgerError> {
        let news = self.news(entry)?;
        if !news.is_empty() {
            self.append(&news)?;
            self.results = entry.attachments.iter().map(|a| a.result.clone()).collect();
            self.status = (entry.status.clone(), entry.status_text.clone());
            self.answered = entry.answered;
        }
        self.mark(entry)
    }

    fn news(&self, entry: &Entry) -> Result<Vec<u8>, LedgerError> {
        let mut out = Vec::new();
        let mut add = |item: &Late| match codec::late(item) {
            Ok(bytes) => {
                out.extend(bytes);
                Ok(())
            }
            Err(e) => Err(self.error(io::Error::from(e))),
        };
        for (of, (now, then)) in entry.attachments.iter().zip(&self.results).enumerate() {
            if now.result != *then {
                add(&Late::Result { of, bytes: now.result.clone() })?;
            }
        }
        if (&entry.status, &entry.status_text) != (&self.status.0, &self.status.1)
            && let Some(status) = codec::status_record(entry)
        {
            add(&status)?;
        }
        if let Some(Uptime(uptime)) = entry.answered.filter(|_| entry.answered != self.answered) {
            add(&Late::Answered { uptime })?;
        }
        Ok(out)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), LedgerError> {
        // What no reader would take is not written: DEL would find nothing of ours in it.
        if self.end.saturating_add(bytes.len() as u64) > MAX_BYTES {
            return Err(self.error(codec::too_long()));
        }
        // A tail that an earlier, killed writer left behind would hide what comes after it.
        if self.file.metadata().is_ok_and(|m| m.len() > self.end) {
            self.file.set_len(self.end).map_err(|e| self.error(e))?;
        }
        match write_at(&self.file, &self.name, bytes, self.end) {
            Ok(()) => {
                self.end += bytes.len() as u64;
                Ok(())
            }
            Err(e) => {
                let _ = self.file.set_len(self.end);
                Err(self.error(e))
            }
        }
    }

    fn error(&self, e: impl Into<io::Error>) -> LedgerError {
        LedgerError::new("write the entry", &self.path, e)
    }
}
