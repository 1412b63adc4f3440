//! Work in a process of its own: a bundled plugin that does not end takes its process with it ([`crate::overdue`]), and whoever
//! clears after others has more to do than the one sandbox or network in which that happens.
//!
//! The process gets the caller's environment and configuration. It answers as a call does: nothing on success, else an error
//! on its standard output. It dies with its caller.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use manifold_cni::{CniError, ContainerId, code, watchdog};
use manifold_ledger::idle::{Verdict, judge, netns_now};
use manifold_ledger::{BootId, Entry, Ledger, LockError, Opened, SandboxLock, Stage, Uptime};
use manifold_process::{Ended, Job, NoEnd};

use crate::at_once::caught;
use crate::outcome;
use crate::shim::Shim;
use crate::sweep::boot_id;
use crate::undo::{self, Undone};

/// The command by which such a process undoes a sandbox; after it why, the container, and the milliseconds that it has.
pub const UNDO: &str = "undo-one";
/// How long a process may go on past its time: its watchdog has ended it by then.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// An error is a few sentences. Bytes.
const MOST_ANSWER: usize = 256 << 10;

/// Why a sandbox is undone that nobody deletes. Asked again under its lock, as a call may have come in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// An earlier boot left it.
    OtherBoot,
    /// The runtime forgot it, or its DEL kept failing.
    Forgotten,
    /// The runtime's list for GC lacks it.
    NotAlive,
    /// The same, and its ADD had not ended when that was seen. Where it has now, the list cannot know of it.
    NotAliveInAdd,
}

impl Why {
    const ALL: [Self; 4] = [Self::OtherBoot, Self::Forgotten, Self::NotAlive, Self::NotAliveInAdd];

    fn word(self) -> &'static str {
        match self {
            Self::OtherBoot => "other-boot",
            Self::Forgotten => "forgotten",
            Self::NotAlive => "not-alive",
            Self::NotAliveInAdd => "not-alive-in-add",
        }
    }

    /// `None`: a living call works on the sandbox, and it is in good hands. After a boot that call is waited for.
    fn lock(
        self,
        shim: &Shim,
        ledger: &Ledger,
        id: &ContainerId,
        end: Instant,
    ) -> Result<Option<SandboxLock>, LockError> {
        let waits = match self {
            Self::OtherBoot => return ledger.lock(id, end).map(Some),
            // Its ADD is not over, and most often lives.
            Self::NotAliveInAdd => false,
            Self::Forgotten | Self::NotAlive => true,
        };
        ledger.lock_unless_in_call(id, waits, shim.config.limits.delegate)
    }

    fn holds(self, entry: &Entry, boot: &BootId) -> bool {
        match self {
            Self::OtherBoot => entry.boot != *boot,
            Self::Forgotten => judge(entry, boot, netns_now(entry), Uptime::now()) == Verdict::Undo,
            Self::NotAlive => true,
            Self::NotAliveInAdd => entry.stage != Stage::Complete,
        }
    }
}

/// How a piece of work went.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) result: Result<(), CniError>,
    /// It took all the time that it had: something in it hangs.
    pub(crate) hung: bool,
}

/// Undoes one sandbox, in a process of its own where the node gives one.
pub(crate) fn undo(shim: &Shim, ledger: &Ledger, id: &ContainerId, why: Why, within: Duration) -> Done {
    let here = |end| undo_here(shim, ledger, id, why, end);
    in_process(&[UNDO, why.word(), id.as_str()], &shim.config.bytes(), within, here)
}

/// `here` is the same work in this process, for a node that gives no other.
pub(crate) fn in_process(
    words: &[&str],
    stdin: &[u8],
    within: Duration,
    here: impl FnOnce(Instant) -> Result<(), CniError>,
) -> Done {
    let began = Instant::now();
    let result = run(words, stdin, within).unwrap_or_else(|refused| {
        tracing::warn!("one process does all, as the node gives no other: {refused}");
        caught(|| here(began + within))
    });
    Done { result, hung: began.elapsed() >= within }
}

/// The error of the outer result: there is no process, and nothing was begun.
fn run(words: &[&str], stdin: &[u8], within: Duration) -> Result<Result<(), CniError>, io::Error> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("manifold").args(words).arg(within.as_millis().to_string());
    let deadline = Instant::now() + within + watchdog::GRACE + LAST_WORDS;
    let job = Job { stdin, deadline, stdout_most: MOST_ANSWER };
    match manifold_process::run(&mut command, &job, |said| error(said).is_some()) {
        Ok(ended) => Ok(answer(&ended)),
        Err(NoEnd::Start(refused)) => Err(refused),
        Err(NoEnd::Watch(why)) => {
            Ok(Err(CniError::io(&why, format!("a process of Manifold was lost: {why}"))))
        }
        Err(NoEnd::Deadline(after)) => Ok(Err(CniError::new(
            code::TRY_AGAIN,
            format!("a process of Manifold was killed, as it had not ended after {} s", after.as_secs()),
        ))),
    }
}

fn answer(ended: &Ended) -> Result<(), CniError> {
    // Its log lines; losing one must not fail the call.
    let _ = io::stderr().write_all(&ended.stderr.bytes);
    if ended.status.success() {
        return Ok(());
    }
    let unsaid =
        || CniError::failed(format!("a process of Manifold ended without a word ({})", ended.status));
    Err(error(&ended.stdout.bytes).unwrap_or_else(unsaid))
}

fn error(said: &[u8]) -> Option<CniError> {
    serde_json::from_slice(said).ok()
}

/// What the other process does. `words` are those after [`UNDO`].
pub(crate) fn undo_one(shim: &Shim, words: &[&str]) -> Result<(), CniError> {
    let [why, id, milliseconds] = words else { return Err(bad_words()) };
    let why = Why::ALL.into_iter().find(|known| known.word() == *why).ok_or_else(bad_words)?;
    let id: ContainerId = id.parse().map_err(|_| bad_words())?;
    let Some(ledger) = Ledger::open_existing(&shim.config.state_dir)? else { return Ok(()) };
    undo_here(shim, &ledger, &id, why, end(shim, milliseconds)?)
}

/// When the work has to end that began with the process.
pub(crate) fn end(shim: &Shim, milliseconds: &str) -> Result<Instant, CniError> {
    let milliseconds = milliseconds.parse().map_err(|_| bad_words())?;
    Ok(shim.began + Duration::from_millis(milliseconds))
}

pub(crate) fn bad_words() -> CniError {
    CniError::new(code::INVALID_ENVIRONMENT, "Manifold was started with words that it gives only itself")
}

fn undo_here(shim: &Shim, ledger: &Ledger, id: &ContainerId, why: Why, end: Instant) -> Result<(), CniError> {
    let boot = boot_id()?;
    let Some(lock) = why.lock(shim, ledger, id, end)? else { return Ok(()) };
    let Some(Opened { mut entry, mut pen, .. }) = ledger.open_entry(id)? else { return Ok(()) };
    if !why.holds(&entry, &boot) {
        return Ok(());
    }
    let began = Instant::now();
    let done = undo::undo(shim, ledger, &lock, &mut entry, &mut pen, end);
    let is_parked = entry.is_parked(Uptime::now());
    outcome::note(shim, began, outcome::of_undo(&entry, &done, is_parked));
    match done {
        Undone::Clean => Ok(()),
        Undone::Left(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_sandbox_is_undone_only_while_the_reason_holds() {
        let here = BootId::new("boot").unwrap();
        let next = BootId::new("next").unwrap();
        let mut entry = sample::entry("c1", Vec::new());
        assert!(!Why::OtherBoot.holds(&entry, &here) && Why::OtherBoot.holds(&entry, &next));
        assert!(!Why::Forgotten.holds(&entry, &here) && Why::Forgotten.holds(&entry, &next));
        assert!(Why::NotAlive.holds(&entry, &here));
        assert!(!Why::NotAliveInAdd.holds(&entry, &here), "its ADD has ended since");
        entry.stage = Stage::Adding;
        assert!(Why::NotAliveInAdd.holds(&entry, &here));
    }

    #[test]
    fn words_of_others_are_refused() {
        let state = tempfile::tempdir().unwrap();
        let shim = sample::shim(state.path());
        for words in [
            &["forgotten", "c1"][..],
            &["x", "c1", "1"],
            &["forgotten", "../c1", "1"],
            &["forgotten", "c1", "x"],
        ] {
            Ledger::open(state.path()).unwrap();
            assert_eq!(undo_one(&shim, words).unwrap_err().code, code::INVALID_ENVIRONMENT, "{words:?}");
        }
        undo_one(&shim, &["forgotten", "c1", "1000"]).unwrap();
    }
}
