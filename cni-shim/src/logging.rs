//! Where log lines go: standard error, a file, both or nowhere; never standard output (MLT-CFG-11).
//!
//! Level `panic`, the default, installs nothing at all: a log line that nobody reads costs an ADD a few nanoseconds.
//! Only lines of this project are written. What the libraries below say about a connection is not for a log that
//! others may read (S-2).

mod rotation;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use manifold_cni::log_line::OneLine;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::config::{Level, Log};

/// Every crate of this project begins so.
const OURS: &str = "manifold";

/// Installs the log for the rest of the process. A log file that cannot be opened is told on standard error and does
/// not stop a pod from starting.
pub fn start(log: &Log) {
    if log.level == Level::Panic || (!log.to_stderr && log.file.is_none()) {
        return;
    }
    // A second start would be a second main: nothing is lost by keeping the first.
    let _ = tracing::subscriber::set_global_default(subscriber(log, io::stderr));
}

fn subscriber<W>(log: &Log, stderr: W) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let file = log.file.as_deref().and_then(|path| match open(path, log) {
        Ok(file) => Some(file),
        Err(why) => {
            let _ = writeln!(stderr.make_writer(), "log file `{}` cannot be opened ({why})", path.display());
            None
        }
    });
    let to_stderr = log.to_stderr.then(|| layer(stderr, log.level));
    let to_file = file.map(|file| layer(std::sync::Arc::new(file), log.level));
    Registry::default().with(to_stderr).with(to_file)
}

fn layer<S, W>(to: W, level: Level) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Each event is one write, so lines of several calls do not mix in one file, and what others said stays in its line.
    let to = Lines(to);
    tracing_subscriber::fmt::layer().with_ansi(false).with_writer(to).with_timer(Utc).with_filter(Ours(level))
}

/// Makes writers that keep each event in one line.
struct Lines<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Lines<W> {
    type Writer = OneLine<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine(self.0.make_writer())
    }
}

fn open(path: &Path, log: &Log) -> io::Result<File> {
    rotation::rotate(path, &log.rotation)?;
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(nix::libc::O_NONBLOCK);
    options.open(path)
}

/// Lines of this project, up to a level.
struct Ours(Level);

impl<S: Subscriber> Filter<S> for Ours {
    fn enabled(&self, meta: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        let most = match self.0 {
            Level::Panic => return false,
            Level::Error => tracing::Level::WARN,
            Level::Verbose => tracing::Level::INFO,
            Level::Debug => tracing::Level::DEBUG,
        };
        *meta.level() <= most && meta.target().starts_with(OURS)
    }
}

struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        write!(w, "{:.6}", jiff::Timestamp::now())
    }
}

#[cfg(test)]
mod tests;
