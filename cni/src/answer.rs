//! What an ended process said: a result, an error of the plugin's own, or something that has to be put into words.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;

use manifold_process::{Ended, NoEnd, STDERR_MOST};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::dispatch::never_unknown_container;
use crate::json::any_case::respell_map;
use crate::log_line;
use crate::name::{one_line, printable};
use crate::{CniError, Executed, Verb, code};

const ERROR_KEYS: [&str; 3] = ["code", "msg", "details"];
/// Keys that a result has and an error has not.
const RESULT_KEYS: [&str; 6] = ["interfaces", "ips", "ip4", "ip6", "routes", "supportedVersions"];

/// The answer of the contract: stdout, or the error. stderr goes to ours in either case (CNI-EXE-7).
pub(crate) fn judge(plugin: &Executed, verb: Verb, ended: Result<Ended, NoEnd>) -> Result<Vec<u8>, CniError> {
    let ended = ended.map_err(|e| no_end(plugin, verb, &e))?;
    if !ended.stderr.bytes.is_empty() {
        // Losing a log line must not fail the call.
        let lines = log_line::each_line(&ended.stderr.bytes);
        // What is escaped is longer.
        let _ = io::stderr().write_all(lines.get(..STDERR_MOST).unwrap_or(&lines));
    }
    let who = format!("plugin `{}`", plugin.kind());
    let judged =
        if ended.status.success() { success(&who, verb, &ended) } else { Err(failure(&who, &ended)) };
    judged.map_err(|error| if verb == Verb::Add { never_unknown_container(error) } else { error })
}

/// Exit 0. Only ADD and VERSION answer anything; what the others print is looked at for an error and dropped.
fn success(who: &str, verb: Verb, ended: &Ended) -> Result<Vec<u8>, CniError> {
    if let Some(error) = stated(&ended.stdout.bytes) {
        return Err(error);
    }
    if !matches!(verb, Verb::Add | Verb::Version) {
        return Ok(Vec::new());
    }
    let stdout = ended.stdout.bytes.trim_ascii();
    if ended.stdout.overflow {
        return Err(CniError::failed(format!("{who} printed more than 1 MiB on stdout")));
    }
    if stdout.is_empty() {
        return Err(CniError::failed(format!("{who} ended with exit code 0 and printed no result")));
    }
    match crate::json::strict(stdout) {
        Ok(()) => Ok(stdout.to_vec()),
        Err(e) => Err(CniError::new(
            code::DECODE,
            format!("{who} printed `{}`, which is not JSON: {e}", quote(stdout)),
        )),
    }
}

fn failure(who: &str, ended: &Ended) -> CniError {
    if let Some(error) = stated(&ended.stdout.bytes) {
        return error;
    }
    let how = match (ended.status.signal(), ended.status.code()) {
        (Some(signal), _) => {
            let name = Signal::try_from(signal).map_or("unknown", Signal::as_str);
            format!("{who} was killed by signal {signal} ({name})")
        }
        (None, code) => format!("{who} failed with exit code {}", code.unwrap_or(-1)),
    };
    let (stdout, stderr) = (ended.stdout.bytes.trim_ascii(), ended.stderr.bytes.trim_ascii());
    CniError::failed(match (stdout.is_empty(), stderr.is_empty()) {
        (true, true) => format!("{how} and said nothing on stdout or stderr"),
        (true, false) => format!("{how}: {}", one_line(&String::from_utf8_lossy(stderr))),
        (false, _) if crate::json::strict(stdout).is_ok() => {
            format!("{how} and printed `{}`, which is not an error object", quote(stdout))
        }
        (false, _) => format!("{how} and printed `{}`, which is not JSON", quote(stdout)),
    })
}

/// The error object on stdout, if that is what stands there: a `code` with a `msg`, and nothing of a result.
fn stated(stdout: &[u8]) -> Option<CniError> {
    crate::json::strict(stdout).ok()?;
    let Ok(Value::Object(mut keys)) = serde_json::from_slice(stdout) else { return None };
    respell_map(&mut keys, &ERROR_KEYS);
    respell_map(&mut keys, &RESULT_KEYS);
    if !(keys.contains_key("code") && keys.contains_key("msg"))
        || RESULT_KEYS.iter().any(|k| keys.contains_key(*k))
    {
        return None;
    }
    let mut error: CniError = serde_json::from_value(Value::Object(keys)).ok()?;
    // Code 0 would read as success.
    if error.code == 0 {
        error.code = code::FAILED;
    }
    Some(error)
}

fn no_end(plugin: &Executed, verb: Verb, e: &NoEnd) -> CniError {
    let (kind, path) = (plugin.kind(), plugin.path().display());
    let refused = |e: &io::Error, msg: String| CniError::refused(e.raw_os_error(), msg);
    match e {
        NoEnd::Deadline(after) => CniError::failed(format!(
            "plugin `{kind}` was killed in {}, as it had not ended after {:.1} s",
            verb.as_str(),
            after.as_secs_f32()
        )),
        NoEnd::Start(e) if e.raw_os_error() == Some(nix::libc::ETXTBSY) => refused(
            e,
            format!(
                "plugin `{kind}`: `{path}` stayed open for writing, so it could not be started; try again"
            ),
        ),
        NoEnd::Start(e) => refused(e, format!("plugin `{kind}`: `{path}` could not be started: {e}")),
        NoEnd::Watch(e) => {
            refused(e, format!("plugin `{kind}`: `{path}` could not be watched while it ran: {e}"))
        }
    }
}

fn quote(text: &[u8]) -> String {
    printable(&String::from_utf8_lossy(text))
}
