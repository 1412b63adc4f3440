//! The frame of every file on a node: a first line with kind and format, lines of words, and a checksum at the end.
//!
//! ```text
//! manifold-addresses holdings 1
//! …
//! crc32 89abcdef
//! ```
//! A file that is cut off, changed or of another kind is a [`Damage`]: its owner sets it aside and makes it anew from what the
//! API server says. It is never read in part, and never as "nothing".

/// The format that this release writes. It reads those of the two releases before it too.
pub const FORMAT: u32 = 1;
/// Larger files are none of ours.
pub const MAX_BYTES: usize = 4 << 20;

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Cut off, changed, or never one of ours.
    #[error(
        "its bytes are not those that were written (cut off or changed); it is set aside and created again"
    )]
    Torn,
    /// The bytes are right.
    #[error("it is not a file of {0}, although its checksum is right; it is set aside and created again")]
    Alien(&'static str),
    /// Written by a newer release.
    #[error("it is of format {0} and this release reads up to format {FORMAT}; go back to the newer release")]
    Newer(u32),
    /// The checksum is right and the content makes no sense.
    #[error("line {0} of it cannot be understood by this release; it is set aside and created again")]
    Line(usize),
}

/// The bytes of a file of that kind.
pub fn seal(kind: &str, lines: &[String]) -> Vec<u8> {
    let mut text = format!("manifold-addresses {kind} {FORMAT}\n");
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    let sum = crc32fast::hash(text.as_bytes());
    text.push_str(&format!("crc32 {sum:08x}\n"));
    text.into_bytes()
}

/// The lines of a file of that kind, without the first and the last.
///
/// # Errors
/// Anything but exactly what [`seal`] writes.
pub fn open<'a>(kind: &'static str, bytes: &'a [u8]) -> Result<Vec<&'a str>, Damage> {
    if bytes.len() > MAX_BYTES {
        return Err(Damage::Torn);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Damage::Torn)?;
    let body_end = text.len().checked_sub("crc32 89abcdef\n".len()).ok_or(Damage::Torn)?;
    let (body, sum) = text.split_at_checked(body_end).ok_or(Damage::Torn)?;
    if sum != format!("crc32 {:08x}\n", crc32fast::hash(body.as_bytes())) {
        return Err(Damage::Torn);
    }
    // Not `lines()`, which would take a carriage return for the end of a line.
    let mut lines = body.strip_suffix('\n').ok_or(Damage::Alien(kind))?.split('\n');
    let first = lines.next().unwrap_or_default();
    let written = |format: u32| format!("manifold-addresses {kind} {format}");
    match first.rsplit(' ').next().and_then(|format| format.parse().ok()) {
        Some(FORMAT) if first == written(FORMAT) => Ok(lines.collect()),
        Some(newer) if newer > FORMAT && first == written(newer) => Err(Damage::Newer(newer)),
        _ => Err(Damage::Alien(kind)),
    }
}

/// The value of a word `key=value`.
pub(crate) fn value<'a>(word: Option<&'a str>, key: &str) -> Option<&'a str> {
    word?.strip_prefix(key)?.strip_prefix('=')
}

/// A mask in the one form that is written.
pub(crate) fn mask(raw: &str) -> Option<u16> {
    u16::from_str_radix(raw, 16).ok().filter(|mask| format!("{mask:04x}") == raw)
}

/// Refuses what was understood, but is not written so: one content has one form.
pub(crate) fn exactly(written: &[u8], read: &[u8]) -> Result<(), Damage> {
    if written == read {
        return Ok(());
    }
    let same = written.split(|b| *b == b'\n').zip(read.split(|b| *b == b'\n')).take_while(|(a, b)| a == b);
    Err(Damage::Line(same.count() + 1))
}
