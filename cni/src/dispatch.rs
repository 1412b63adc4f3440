//! One request to one plugin of ours: every check that comes before the plugin, then the call, then the answer's bytes.

use crate::stdin::incompatible;
use crate::{Attachment, CniError, CniResult, Input, Plugin, Request, Verb, Version, code};

/// Calls `plugin`. The answer is stdout: a result in the configuration's version for ADD, nothing for the others.
///
/// # Errors
/// The plugin's own error, or one about a version that it does not speak.
pub fn dispatch(plugin: &dyn Plugin, request: &Request) -> Result<Vec<u8>, CniError> {
    if let Some(input) = request.input() {
        refuse_unsupported(plugin, input.version)?;
        refuse_verb(request.verb(), input.version)?;
    }
    let done = |()| Vec::new();
    match request {
        Request::Add(at, input) => add(plugin, input, at),
        Request::Check(at, input) => plugin.check(input, at).map(done),
        Request::Del(at, input) => plugin.del(input, at).map(done),
        Request::Status(input) => plugin.status(input).map(done),
        // Without a list nobody said what is alive, so nothing may be cleared (CNI-GC-3).
        Request::Gc { keep: None, .. } => Ok(Vec::new()),
        Request::Gc { keep: Some(keep), input } => plugin.gc(input, keep).map(done),
        Request::Version => Ok(version_answer(plugin.versions())),
    }
}

fn add(plugin: &dyn Plugin, input: &Input, at: &Attachment) -> Result<Vec<u8>, CniError> {
    // An L2-only attachment cannot be told in 0.1.0 or 0.2.0. Say so while nothing is touched (PLG-COM-2).
    if !plugin.answers_with_addresses(input) {
        CniResult::default().to_json(input.version)?;
    }
    let result = plugin.add(input, at).map_err(never_unknown_container)?;
    result.to_json(input.version).map_err(|error| match plugin.del(input, &at.detach()) {
        Ok(()) => error,
        Err(undo) => crate::ipam::also(error, &undo),
    })
}

/// Code 3 tells the runtime that no DEL is needed. After an ADD has begun that is never true.
pub(crate) fn never_unknown_container(mut error: CniError) -> CniError {
    if error.code == code::UNKNOWN_CONTAINER {
        error.code = code::FAILED;
        error.msg.push_str(" (the plugin gave code 3)");
    }
    error
}

/// CNI-VER-2: before any side effect.
pub(crate) fn refuse_unsupported(plugin: &dyn Plugin, version: Version) -> Result<(), CniError> {
    if plugin.versions().contains(&version) {
        return Ok(());
    }
    Err(incompatible(version.as_str(), plugin.versions()))
}

/// CHECK, STATUS and GC exist from some version on.
pub(crate) fn refuse_verb(verb: Verb, version: Version) -> Result<(), CniError> {
    let (fits, since) = match verb {
        Verb::Check => (version.has_check(), "0.4.0"),
        Verb::Status => (version.has_status(), "1.1.0"),
        Verb::Gc => (version.has_gc(), "1.1.0"),
        Verb::Add | Verb::Del | Verb::Version => (true, ""),
    };
    if fits {
        return Ok(());
    }
    let verb = verb.as_str();
    let msg =
        format!("config version `{version}` does not support the {verb} command; it needs {since} or later");
    Err(CniError::new(code::INCOMPATIBLE_VERSION, msg))
}

/// What VERSION prints (CNI-VER-1).
pub fn version_answer(supported: &[Version]) -> Vec<u8> {
    let supported: Vec<&str> = supported.iter().map(|v| v.as_str()).collect();
    serde_json::to_vec(&serde_json::json!({
        "cniVersion": Version::NEWEST.as_str(),
        "supportedVersions": supported,
    }))
    .expect("strings always serialise")
}
