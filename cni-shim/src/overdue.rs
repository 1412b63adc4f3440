//! A bundled plugin that goes on past its end: the process ends in its place, as an executed one would be killed.
//!
//! The ledger holds what was begun, and DEL undoes it. A DEL that ends so has failed and is counted, so that the pod is let go
//! at last (P-DEL-6), also where it is the sweep's.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use manifold_cni::{
    Bundled, CniError, ContainerId, Delegate, Invocation, Verb, Version, code, skel, watchdog,
};
use manifold_ledger::{Failures, Ledger, Opened, Uptime};

/// How long the ledger may take: its disk may be what hangs.
const LEDGER_PATIENCE: Duration = Duration::from_secs(1);

static CALL: Mutex<Call> = Mutex::new(Call { verb: None, version: Version::NEWEST, state_dir: None });

/// What the last words of this process need to know.
struct Call {
    /// What the runtime asked; nothing where this process is one of our own.
    verb: Option<Verb>,
    version: Version,
    state_dir: Option<PathBuf>,
}

/// What the runtime asked and how it wants its answer, and where the ledger is.
pub fn answer_for(verb: Option<Verb>, version: Version, state_dir: &Path) {
    *call() = Call { verb, version, state_dir: Some(state_dir.to_owned()) };
}

fn call() -> MutexGuard<'static, Call> {
    CALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bundled plugin that has an end.
#[derive(Debug)]
pub(crate) struct Watched {
    bundled: Bundled,
    container: ContainerId,
}

impl Watched {
    pub(crate) fn new(bundled: Bundled, container: ContainerId) -> Self {
        Self { bundled, container }
    }
}

impl Delegate for Watched {
    fn name(&self) -> &str {
        self.bundled.name()
    }

    fn call(&self, invocation: &Invocation<'_>) -> Result<Vec<u8>, CniError> {
        let (name, verb, container) = (self.name().to_owned(), invocation.verb, self.container.clone());
        let last_words = move || end(&name, verb, container);
        let _watch = watchdog::watch(invocation.deadline + watchdog::GRACE, last_words);
        self.bundled.call(invocation)
    }
}

/// Answers in place of the plugin; returns the exit code.
fn end(plugin: &str, verb: Verb, container: ContainerId) -> u8 {
    let (asked, version, state_dir) = {
        let call = call();
        (call.verb, call.version, call.state_dir.clone())
    };
    let error = error(plugin, verb, asked);
    let is_parked = verb == Verb::Del && state_dir.is_some_and(|folder| count_failure(folder, container));
    let lets_go = asked == Some(Verb::Del) && is_parked;
    let (bytes, code) = if lets_go { (Vec::new(), 0) } else { (error.to_json(version), 1) };
    // Nobody may be reading; the exit code still says it.
    let _ = skel::answer_past_locks(&bytes);
    tracing::error!(is_parked, "{error}");
    code
}

/// Code 11 of an ADD promises that nothing is left, which nobody knows of a plugin that was stopped while it attached a pod or took
/// back what it had attached. No runtime looks at the code to decide whether it calls DEL: it calls it after every failed
/// ADD (CNI-RUN-4).
fn error(plugin: &str, verb: Verb, asked: Option<Verb>) -> CniError {
    let msg =
        format!("plugin `{plugin}` did not end {} in time, and was stopped with the process", verb.as_str());
    let (code, left) = match asked {
        Some(Verb::Add) => (
            code::FAILED,
            "what was attached may be left; the ledger holds it, and DEL undoes it or the next ADD of the sandbox",
        ),
        Some(Verb::Check | Verb::Status) => (code::TRY_AGAIN, "nothing was touched"),
        _ => (code::TRY_AGAIN, "the ledger holds what is left, and the runtime asks again"),
    };
    CniError::new(code, msg).details(format!("{left}; fix: look for a disk or a kernel that does not answer"))
}

/// Notes that a DEL failed; whether its pod is let go by now.
fn count_failure(state_dir: PathBuf, container: ContainerId) -> bool {
    let (tell, told) = mpsc::channel();
    let count = move || tell.send(counted(&state_dir, &container).unwrap_or(false));
    let counting = std::thread::Builder::new().name("ledger".into()).spawn(count);
    counting.is_ok() && told.recv_timeout(LEDGER_PATIENCE).unwrap_or(false)
}

/// The lock of the sandbox is held by the thread that hangs, and by nobody else.
fn counted(state_dir: &Path, container: &ContainerId) -> Option<bool> {
    let now = Uptime::now();
    let ledger = Ledger::open_existing(state_dir).ok()??;
    match ledger.open_entry(container) {
        Ok(Some(Opened { mut entry, mut pen, .. })) => {
            entry.failures = Some(Failures::after(entry.failures, now));
            pen.mark(&entry).inspect_err(|error| tracing::warn!("{error}")).ok()?;
            Some(entry.is_parked(now))
        }
        Ok(None) => None,
        // DEL counted it before it asked a plugin.
        Err(unreadable) => Some(unreadable.failures?.is_parked(now)),
    }
}
