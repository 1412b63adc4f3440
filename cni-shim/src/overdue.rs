//! A bundled plugin that goes on past its end: the process ends in its place, as an executed one would be killed.
//!
//! The runtime gets code 11, for the ledger holds what was begun and DEL undoes it. A DEL that ends so has failed and is
//! counted, so that the pod is let go at last (P-DEL-6), also where it is the sweep's.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use manifold_cni::{
    Bundled, CniError, ContainerId, Delegate, Invocation, Verb, Version, code, skel, watchdog,
};
use manifold_ledger::{Failures, Ledger, Opened, Uptime};

/// How long the ledger may take: its disk may be what hangs.
const LEDGER_PATIENCE: Duration = Duration::from_secs(1);

static CALL: Mutex<Call> = Mutex::new(Call { version: Version::NEWEST, state_dir: None, is_del: false });

/// What the last words of this process need to know.
struct Call {
    version: Version,
    state_dir: Option<PathBuf>,
    is_del: bool,
}

/// How the runtime wants its answer, and where the ledger is.
pub fn answer_for(is_del: bool, version: Version, state_dir: &Path) {
    let mut call = call();
    call.version = version;
    call.state_dir = Some(state_dir.to_owned());
    call.is_del = is_del;
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
    let error = CniError::new(
        code::TRY_AGAIN,
        format!("plugin `{plugin}` did not end {} in time, and was stopped with the process", verb.as_str()),
    )
    .details("the ledger holds what it began; DEL undoes it");
    let (version, state_dir, is_del) = {
        let call = call();
        (call.version, call.state_dir.clone(), call.is_del)
    };
    let is_parked = verb == Verb::Del && state_dir.is_some_and(|folder| count_failure(folder, container));
    let (bytes, code) = if is_del && is_parked { (Vec::new(), 0) } else { (error.to_json(version), 1) };
    // Nobody may be reading; the exit code still says it.
    let _ = skel::answer_past_locks(&bytes);
    tracing::error!(is_parked, "{error}");
    code
}

/// Notes that a DEL failed; whether its pod is let go by now. The lock of the sandbox is held by the thread that hangs,
/// and by nobody else.
fn count_failure(state_dir: PathBuf, container: ContainerId) -> bool {
    let (tell, told) = mpsc::channel();
    let count = move || -> Option<()> {
        let ledger = Ledger::open_existing(&state_dir).ok()??;
        let Opened { mut entry, mut pen, .. } = ledger.open_entry(&container).ok()??;
        entry.failures = Some(Failures::after(entry.failures, Uptime::now()));
        pen.mark(&entry).inspect_err(|error| tracing::warn!("{error}")).ok()?;
        tell.send(entry.is_parked(Uptime::now())).ok()
    };
    let counting = std::thread::Builder::new().name("ledger".into()).spawn(count);
    counting.is_ok() && told.recv_timeout(LEDGER_PATIENCE).unwrap_or(false)
}
