//! The bytes of an entry's file: what is written, and what can still be believed when they come back.
//!
//! ```text
//! manifold-ledger 1 <crc> <states>          overwritten in place
//! <crc> <length> plan                       durable before the first delegate, never touched again
//! {…}
//! <crc> <length> late                       appended: results, the status text
//! {…}
//! ```
//! A file whose plan is whole is usable whatever happened to the rest; a file whose plan is not is a [`Fault`].

use std::io;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::unpublished::Reason;
use super::{Entry, Exact, Stage, State, Status, Unpublished, Uptime, marks};

/// The format this release writes. It reads the formats of the two releases before it too.
pub const FORMAT: u32 = 1;

/// Larger files are not ours: 32 networks with 64 KiB of configuration and results fit well.
pub const MAX_BYTES: u64 = 64 << 20;

/// Refused by us, as no reader would take it.
pub(super) fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it would be longer than {} MiB", MAX_BYTES >> 20))
}

/// Why an entry cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the file is empty")]
    Empty,
    #[error("it does not begin as a ledger entry does")]
    NotAnEntry,
    #[error("it is cut off after {at} bytes")]
    Torn { at: usize },
    #[error("its bytes are not those that were written (checksum of the plan)")]
    Changed,
    #[error(
        "its checksum is right but its content cannot be understood by this release ({0}); go back to the release that wrote it"
    )]
    NotUnderstood(String),
    #[error(
        "it is of format {0}, which a newer release wrote, and this one reads up to format {FORMAT}; go back to the newer release"
    )]
    Future(u32),
    #[error("it is the entry of sandbox `{0}`, under the wrong name")]
    WrongName(String),
    #[error("it is {0}, which Manifold did not create")]
    Alien(String),
    /// The system did not let us read it now. That says nothing of what stands in it.
    #[error("it cannot be read now: {}", super::error::words(*.0))]
    Io(Option<i32>),
    #[error("it was found unusable before and set aside")]
    SetAside,
}

impl Fault {
    /// From the system's refusal to read.
    pub(crate) fn io(error: &io::Error) -> Self {
        Self::Io(error.raw_os_error())
    }

    /// Only content that was read whole and is wrong is damage. What the system refuses now, what a newer release wrote and
    /// what is not ours stays where it lies.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Empty | Self::NotAnEntry | Self::Torn { .. } | Self::Changed | Self::WrongName(_) => true,
            Self::NotUnderstood(_) | Self::Future(_) | Self::Alien(_) | Self::Io(_) | Self::SetAside => false,
        }
    }

    /// Whether the next look may find the entry as it was written.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Io(_))
    }
}

/// Damage that leaves the entry usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("its states are lost, so everything in it counts as attached")]
    States,
    #[error("a result or the status text at its end is lost")]
    Late,
}

/// An entry and how far its file can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    pub entry: Entry,
    pub flaws: Vec<Flaw>,
    /// Bytes up to the end of the last whole record; appending goes on from here.
    pub end: usize,
}

/// A record of the late part.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Late {
    Result {
        of: usize,
        bytes: Option<Exact>,
    },
    Answered {
        uptime: u64,
    },
    Status {
        text: Option<String>,
        why: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    },
}

/// The whole file for an entry as it is now.
pub fn encode(entry: &Entry) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = marks::line(entry, FORMAT);
    out.extend(record("plan", &serde_json::to_vec(entry)?));
    for (of, attachment) in entry.attachments.iter().enumerate() {
        if attachment.result.is_some() {
            out.extend(late(&Late::Result { of, bytes: attachment.result.clone() })?);
        }
    }
    if let Some(status) = status_record(entry) {
        out.extend(late(&status)?);
    }
    if let Some(Uptime(uptime)) = entry.answered {
        out.extend(late(&Late::Answered { uptime })?);
    }
    Ok(out)
}

pub(super) fn late(item: &Late) -> Result<Vec<u8>, serde_json::Error> {
    Ok(record("late", &serde_json::to_vec(item)?))
}

/// The late record of the status, where there is anything to say.
pub(super) fn status_record(entry: &Entry) -> Option<Late> {
    let why = match &entry.status {
        Status::Unpublished { why } => Some(why),
        Status::None | Status::Published | Status::Superseded => None,
    };
    (why.is_some() || entry.status_text.is_some()).then(|| Late::Status {
        text: entry.status_text.clone(),
        why: why.map(ToString::to_string),
        reason: why.and_then(Unpublished::reason),
    })
}

fn record(kind: &str, json: &[u8]) -> Vec<u8> {
    let mut out = format!("{:08x} {:08} {kind}\n", checksum(kind, json), json.len()).into_bytes();
    out.extend_from_slice(json);
    out.push(b'\n');
    out
}

fn checksum(kind: &str, json: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(kind.as_bytes());
    crc.update(json);
    crc.finalize()
}

/// Reads a file. Never panics, whatever the bytes are.
pub fn decode(bytes: &[u8]) -> Result<Decoded, Fault> {
    if bytes.is_empty() {
        return Err(Fault::Empty);
    }
    let (format, states, plan_at) = first_line(bytes)?;
    match format {
        1 => v1(bytes, states, plan_at),
        0 => Err(Fault::NotAnEntry),
        newer => Err(Fault::Future(newer)),
    }
}

/// The format, the states (damaged ones too), and where the plan begins.
fn first_line(bytes: &[u8]) -> Result<(u32, &str, usize), Fault> {
    let magic = marks::MAGIC.as_bytes();
    if !bytes.starts_with(magic) {
        return Err(if magic.starts_with(bytes) {
            Fault::Torn { at: bytes.len() }
        } else {
            Fault::NotAnEntry
        });
    }
    let end = bytes.iter().position(|b| *b == b'\n').ok_or(Fault::Torn { at: bytes.len() })?;
    let rest = bytes.get(magic.len()..end).unwrap_or_default();
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let format = rest.get(..digits).and_then(|d| std::str::from_utf8(d).ok()).and_then(|d| d.parse().ok());
    let format = format.ok_or(Fault::NotAnEntry)?;
    let states = rest.get(digits..).and_then(|s| std::str::from_utf8(s).ok()).unwrap_or_default();
    Ok((format, states, end + 1))
}

fn v1(bytes: &[u8], states: &str, plan_at: usize) -> Result<Decoded, Fault> {
    let (json, mut end) = read_record(bytes, plan_at, "plan")?;
    let plan = bytes.get(json).unwrap_or_default();
    let mut entry: Entry = serde_json::from_slice(plan).map_err(|e| Fault::NotUnderstood(e.to_string()))?;
    let mut flaws = Vec::new();
    while end < bytes.len() {
        let Ok((json, after)) = read_record(bytes, end, "late") else {
            flaws.push(Flaw::Late);
            break;
        };
        apply_late(bytes.get(json).unwrap_or_default(), &mut entry);
        end = after;
    }
    if !states.strip_prefix(' ').is_some_and(|line| marks::apply(line, &mut entry)) {
        flaws.push(Flaw::States);
        assume_everything_is_attached(&mut entry);
    }
    Ok(Decoded { entry, flaws, end })
}

/// A record of another release may hold what this one does not know: skipped, it only completes the plan.
fn apply_late(json: &[u8], entry: &mut Entry) {
    match serde_json::from_slice(json) {
        Ok(Late::Result { of, bytes }) => {
            if let Some(attachment) = entry.attachments.get_mut(of) {
                attachment.result = bytes;
            }
        }
        Ok(Late::Answered { uptime }) => entry.answered = Some(Uptime(uptime)),
        Ok(Late::Status { text, why, reason }) => {
            entry.status_text = text;
            let unpublished = |why| Status::Unpublished { why: Unpublished::read(reason, why) };
            entry.status = why.map_or(Status::None, unpublished);
        }
        Err(_) => {}
    }
}

fn assume_everything_is_attached(entry: &mut Entry) {
    let complete = entry.attachments.iter().all(|a| a.result.is_some());
    entry.stage = if complete { Stage::Complete } else { Stage::Adding };
    for attachment in &mut entry.attachments {
        attachment.state = if attachment.result.is_some() { State::Attached } else { State::Attaching };
    }
}

/// Where the JSON of the record at `at` lies, and where the next record begins.
fn read_record(bytes: &[u8], at: usize, kind: &str) -> Result<(Range<usize>, usize), Fault> {
    const HEAD: usize = 8 + 1 + 8 + 1 + 4 + 1;
    let torn = Fault::Torn { at: bytes.len() };
    let head = bytes.get(at..at + HEAD).ok_or_else(|| torn.clone())?;
    let head = std::str::from_utf8(head).map_err(|_| Fault::Changed)?;
    let (crc, length) = parse_head(head, kind).ok_or(Fault::Changed)?;
    let json = at + HEAD..at + HEAD + length;
    let content = bytes.get(json.clone()).ok_or_else(|| torn.clone())?;
    match bytes.get(json.end) {
        None => return Err(torn),
        Some(b'\n') if checksum(kind, content) == crc => {}
        Some(_) => return Err(Fault::Changed),
    }
    let next = json.end + 1;
    Ok((json, next))
}

fn parse_head(head: &str, kind: &str) -> Option<(u32, usize)> {
    let mut fields = head.strip_suffix('\n')?.split(' ');
    let crc = u32::from_str_radix(fields.next().filter(|f| f.len() == 8)?, 16).ok()?;
    let length = fields.next().filter(|f| f.len() == 8)?.parse().ok()?;
    (fields.next() == Some(kind) && fields.next().is_none()).then_some((crc, length))
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
