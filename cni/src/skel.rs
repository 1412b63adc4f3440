//! The skeleton that turns a [`Plugin`] into an executable for any runtime.
//!
//! stdout carries one JSON object or nothing; whatever is meant for people goes to stderr.

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::bundled::dispatch_caught;
use crate::{Call, CniError, CniResult, Plugin, Request, Target, Version, code, netns, watchdog};

#[cfg(test)]
mod tests;

/// stdin is refused beyond this.
pub const MOST_STDIN: u64 = 4 << 20;
/// Nobody tells an executable when its caller stops waiting; runtimes do after two to four minutes.
const PATIENCE: Duration = Duration::from_secs(110);

/// What the skeleton reads and writes.
pub struct Surroundings<'a> {
    /// Reads an environment variable.
    pub var: &'a dyn Fn(&str) -> Option<String>,
    /// Where the configuration comes from.
    pub stdin: &'a mut dyn Read,
    /// Where the answer goes.
    pub stdout: &'a mut dyn Write,
    /// Where the log goes.
    pub stderr: &'a mut dyn Write,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Surroundings")
    }
}

/// Runs `plugin` for the process: the whole `main` of a plugin's executable.
pub fn run(plugin: &'static dyn Plugin) -> ExitCode {
    let _watch = watchdog::watch(Instant::now() + PATIENCE + watchdog::GRACE, || overdue(plugin));
    let around = Surroundings {
        var: &|key| std::env::var_os(key).map(|v| v.to_string_lossy().into_owned()),
        stdin: &mut std::io::stdin().lock(),
        stdout: &mut std::io::stdout().lock(),
        stderr: &mut std::io::stderr(),
    };
    ExitCode::from(serve(plugin, around))
}

/// The lock of stdout is the hanging thread's, so the answer goes past it.
fn overdue(plugin: &dyn Plugin) -> u8 {
    let error = CniError::new(code::TRY_AGAIN, format!("plugin `{}` did not end in time", plugin.name()))
        .details("it was stopped; DEL undoes what it did");
    // The version is in the configuration, which the thread that hangs has read.
    let _ = answer_past_locks(&error.to_json(Version::NEWEST));
    1
}

/// Writes to standard output whoever holds its lock: for the last words of a process.
///
/// # Errors
/// If nobody reads them.
pub fn answer_past_locks(bytes: &[u8]) -> std::io::Result<()> {
    use std::os::fd::AsFd as _;
    let stdout = std::io::stdout().as_fd().try_clone_to_owned()?;
    std::fs::File::from(stdout).write_all(bytes)
}

/// The same with everything handed in. Returns the exit code.
pub fn serve(plugin: &dyn Plugin, mut around: Surroundings<'_>) -> u8 {
    let (answer, version) = answer(plugin, &mut around);
    let (bytes, exit) = match answer {
        Ok(bytes) => (bytes, 0),
        Err(error) => (error.to_json(version), 1),
    };
    if bytes.is_empty() {
        return exit;
    }
    // An answer that nobody received is a failure: the runtime will not know what was made.
    let sent = around.stdout.write_all(&bytes).and_then(|()| around.stdout.write_all(b"\n"));
    if sent.and_then(|()| around.stdout.flush()).is_ok() { exit } else { 1 }
}

fn answer(plugin: &dyn Plugin, around: &mut Surroundings<'_>) -> (Result<Vec<u8>, CniError>, Version) {
    let call = match Call::from_env(around.var) {
        Ok(call) => call,
        Err(error) => return (Err(error), Version::NEWEST),
    };
    if call.target == Target::About {
        // Losing the words for a person is no failure.
        let _ = around.stderr.write_all(about(plugin).as_bytes());
        return (Ok(Vec::new()), Version::NEWEST);
    }
    let stdin = match call.needs_stdin().then(|| read_stdin(around.stdin)).transpose() {
        Ok(stdin) => stdin.unwrap_or_default(),
        Err(error) => return (Err(error), Version::NEWEST),
    };
    let version = crate::stdin::version_hint(&stdin);
    let request = refuse_own_netns(&call.target, around.var)
        .and_then(|()| call.with_stdin(&stdin, Instant::now() + PATIENCE));
    let answer = match request {
        Ok(Some(request)) => {
            dispatch_caught(plugin, &request).and_then(|answer| of_its_age(answer, &request))
        }
        Ok(None) => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    (answer, version)
}

/// An interface's `mtu` came with 1.1.0. What earlier plugins of the list said is passed on as it is.
fn of_its_age(answer: Vec<u8>, request: &Request) -> Result<Vec<u8>, CniError> {
    let Request::Add(_, input) = request else { return Ok(answer) };
    if input.version >= Version::V1_1_0 {
        return Ok(answer);
    }
    let (mut result, version) = CniResult::parse(&answer, input.version)?;
    let said = |name: &str| {
        let before = input.prev_result.as_ref()?.interfaces.iter().find(|before| before.name == name);
        before?.mtu
    };
    for interface in &mut result.interfaces {
        interface.mtu = interface.mtu.filter(|_| said(&interface.name).is_some());
    }
    result.to_json(version)
}

/// Before the plugin begins, so that nothing has to be taken back (CNI-ENV-9).
fn refuse_own_netns(target: &Target, var: &dyn Fn(&str) -> Option<String>) -> Result<(), CniError> {
    let path = match target {
        Target::Add(at) => Some(&at.netns),
        Target::Del(at) => at.netns.as_ref(),
        _ => None,
    };
    path.map_or(Ok(()), |path| netns::refuse_own(path, var("CNI_NETNS_OVERRIDE").as_deref()))
}

/// stdin to its end, up to [`MOST_STDIN`].
///
/// # Errors
/// If stdin cannot be read or is too long.
pub fn read_stdin(stdin: &mut dyn Read) -> Result<Vec<u8>, CniError> {
    let mut bytes = Vec::new();
    stdin.take(MOST_STDIN + 1).read_to_end(&mut bytes).map_err(|e| {
        CniError::io(&e, format!("the network configuration could not be read from stdin: {e}"))
    })?;
    if bytes.len() as u64 > MOST_STDIN {
        return Err(CniError::new(code::IO, "the network configuration on stdin is larger than 4 MiB"));
    }
    Ok(bytes)
}

/// The release of the reference plugins that ours do the work of. nerdctl reads it, to know what `firewall` can do.
const REFERENCE_RELEASE: &str = "1.9.0";

/// In the reference plugins' words (COMPAT-34.1), with our own version in the part that makes no release newer or older.
fn about(plugin: &dyn Plugin) -> String {
    let versions: Vec<&str> = plugin.versions().iter().map(|v| v.as_str()).collect();
    format!(
        "CNI {} plugin v{REFERENCE_RELEASE}+manifold.{}\nCNI protocol versions supported: {}\n",
        plugin.name(),
        env!("CARGO_PKG_VERSION"),
        versions.join(", ")
    )
}
