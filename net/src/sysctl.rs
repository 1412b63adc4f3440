//! Kernel settings under `/proc/sys`, of the namespace the calling thread is in (or a given one).
//!
//! A setting is named piece by piece, so that an interface called `eth0.5` cannot be taken for two pieces.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::netns::{Netns, NetnsError};

const ROOT: &str = "/proc/sys";

/// Why a setting was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum SysctlError {
    /// The kernel has no such setting: the feature is off, or the interface does not exist.
    #[error("kernel setting `{path}` does not exist")]
    NotFound {
        /// Where.
        path: String,
    },
    /// The kernel refused.
    #[error("kernel setting `{path}` cannot be {action} ({source})")]
    Io {
        /// Where.
        path: String,
        /// What was to be done.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// It would lead out of `/proc/sys`.
    #[error("`{piece}` cannot be part of the name of a kernel setting; name it without `/`, `.` and `..`")]
    BadPiece {
        /// The part of the name.
        piece: String,
    },
    /// The namespace of the setting cannot be entered.
    #[error("kernel settings of another namespace cannot be reached: {0}")]
    Namespace(#[from] NetnsError),
}

impl SysctlError {
    /// Whether the kernel has no such setting.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// The system's error number, where it refused.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::NotFound { .. } | Self::BadPiece { .. } => None,
            Self::Io { source, .. } => source.raw_os_error(),
            Self::Namespace(error) => error.errno(),
        }
    }
}

/// The value, without the newline at its end.
///
/// # Errors
/// If there is no such setting or it cannot be read.
pub fn get(pieces: &[&str]) -> Result<String, SysctlError> {
    let file = file(pieces)?;
    match fs::read_to_string(&file) {
        Ok(text) => Ok(text.trim_end_matches('\n').to_owned()),
        Err(source) => Err(failed(pieces, "read", source)),
    }
}

/// Writes a value.
///
/// # Errors
/// If there is no such setting or it does not take the value.
pub fn set(pieces: &[&str], value: &str) -> Result<(), SysctlError> {
    // Opened without O_CREAT: there is nothing to create, and the refusal should be about the setting.
    let written = fs::OpenOptions::new()
        .write(true)
        .open(file(pieces)?)
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()));
    written.map_err(|source| failed(pieces, "set", source))
}

/// Writes several settings of one namespace on a single thread, in order; stops at the first that fails.
///
/// # Errors
/// If the namespace cannot be entered or a setting does not take its value.
pub fn set_all_in(netns: &Netns, settings: &[(&[&str], &str)]) -> Result<(), SysctlError> {
    run_in(netns, || settings.iter().try_for_each(|(pieces, value)| set(pieces, value)))
}

/// The value in another namespace.
///
/// # Errors
/// If the namespace cannot be entered or there is no such setting.
pub fn get_in(netns: &Netns, pieces: &[&str]) -> Result<String, SysctlError> {
    run_in(netns, || get(pieces))
}

/// Writes a value in another namespace.
///
/// # Errors
/// If the namespace cannot be entered or the setting does not take the value.
pub fn set_in(netns: &Netns, pieces: &[&str], value: &str) -> Result<(), SysctlError> {
    run_in(netns, || set(pieces, value))
}

fn run_in<T: Send>(
    netns: &Netns,
    work: impl FnOnce() -> Result<T, SysctlError> + Send,
) -> Result<T, SysctlError> {
    if netns.is_current()? { work() } else { netns.run(work)? }
}

fn file(pieces: &[&str]) -> Result<PathBuf, SysctlError> {
    let mut path = PathBuf::from(ROOT);
    for piece in pieces {
        let bad = matches!(*piece, "" | "." | "..") || piece.contains(['/', '\0']);
        if bad {
            return Err(SysctlError::BadPiece { piece: (*piece).to_owned() });
        }
        path.push(piece);
    }
    Ok(path)
}

fn failed(pieces: &[&str], action: &'static str, source: io::Error) -> SysctlError {
    let path = pieces.join("/");
    match source.kind() {
        io::ErrorKind::NotFound => SysctlError::NotFound { path },
        _ => SysctlError::Io { path, action, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: PLG-COM-26
    #[test]
    fn dots_stay_inside_their_piece() {
        let path = file(&["net", "ipv6", "conf", "eth0.5", "accept_ra"]).unwrap();
        assert_eq!(path, PathBuf::from("/proc/sys/net/ipv6/conf/eth0.5/accept_ra"));
    }

    #[test]
    fn pieces_cannot_leave_the_tree() {
        for piece in ["..", ".", "", "/etc", "a/b", "a\0b"] {
            assert!(matches!(file(&["net", piece]), Err(SysctlError::BadPiece { .. })), "{piece:?}");
        }
    }
}
