//! Where the log goes and how much of it: the keys that Multus has, with its names and meaning (MLT-CFG-11).

use std::path::PathBuf;

use manifold_cni::CniError;

use super::keys::Keys;

/// How much is logged. Order is verbosity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing below a crash: the default, and free of cost.
    #[default]
    Panic,
    Error,
    Verbose,
    Debug,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub to_stderr: bool,
    pub file: Option<PathBuf>,
    pub level: Level,
    pub rotation: Rotation,
}

/// When a log file is put aside, and how long the old ones stay. `compress` is read and not acted upon: it would be
/// done inside an ADD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    pub max_bytes: u64,
    pub max_age_days: u64,
    pub max_backups: u64,
    pub compress: bool,
}

impl Log {
    pub(super) fn read(entry: &Keys<'_>) -> Result<Self, CniError> {
        let level = match entry.text("logLevel")?.unwrap_or_default().to_ascii_lowercase().as_str() {
            "" | "panic" => Level::Panic,
            "error" => Level::Error,
            "verbose" => Level::Verbose,
            "debug" => Level::Debug,
            _ => return Err(entry.wrong("logLevel", "`debug`, `verbose`, `error` or `panic`")),
        };
        Ok(Self {
            to_stderr: entry.flag("logToStderr", true)?,
            file: entry.path("logFile")?,
            level,
            rotation: Rotation::read(entry)?,
        })
    }
}

impl Rotation {
    fn read(entry: &Keys<'_>) -> Result<Self, CniError> {
        let object = entry.object("logOptions")?.unwrap_or_default();
        let keys = Keys::inside(&object, "logOptions");
        let megabytes = match keys.count("maxSize", 100)? {
            0 => 100,
            n => n,
        };
        Ok(Self {
            max_bytes: megabytes.saturating_mul(1 << 20),
            max_age_days: keys.count("maxAge", 5)?,
            max_backups: keys.count("maxBackups", 5)?,
            compress: keys.flag("compress", true)?,
        })
    }
}
