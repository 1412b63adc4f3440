//! A call of the runtime: environment, `CNI_ARGS`, stdin.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use manifold_cni::{Call, CniArgs, CniError, Input, Request, Target, Version, code, stdin::version_hint};
use manifold_plan::args::of_delegate;
use manifold_plan::{Pod, Role};

use super::{parsed, text};
use crate::Answer;

/// `CNI_ARGS`.
pub(super) fn cni_args(input: &[u8]) -> Answer {
    let text = text(input);
    let args = CniArgs::parse(&text);
    assert_eq!(CniArgs::parse(&args.to_string()), args);
    let keys: BTreeSet<&str> = args.iter().map(|(key, _)| key).collect();
    assert!(keys.iter().all(|key| !key.is_empty() && !key.contains(['=', ';'])));
    set_stands_once(&args);
    let get = |key: &str| args.get(key).filter(|value| !value.is_empty());
    if let Err(error) = args.require_known(&["K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_UID", "IP", "MAC"])
    {
        return error.into();
    }
    let (Some(namespace), Some(name)) = (get("K8S_POD_NAMESPACE"), get("K8S_POD_NAME")) else {
        return Answer::Accepted(format!("{args}\nno pod"));
    };
    match Pod::new(namespace, name, get("K8S_POD_UID")) {
        Ok(pod) => Answer::Accepted(format!("{}\npod {pod}", for_delegates(&pod, &args))),
        Err(bad) => CniError::new(code::INVALID_ENVIRONMENT, format!("CNI_ARGS: {bad}")).into(),
    }
}

fn set_stands_once(args: &CniArgs) {
    let mut changed = args.clone();
    changed.set("IP", "10.0.0.9");
    assert_eq!(changed.iter().filter(|(key, _)| *key == "IP").count(), 1);
    assert_eq!(changed.get("IP"), Some("10.0.0.9"));
}

/// Every key once, and the pod as it is.
fn for_delegates(pod: &Pod, args: &CniArgs) -> CniArgs {
    let out = of_delegate(pod, &parsed("5c1d2e3f"), args, Role::Default);
    let keys: Vec<&str> = out.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), keys.iter().collect::<BTreeSet<_>>().len(), "a key twice in `{out}`");
    assert_eq!(out.get("K8S_POD_NAME"), Some(pod.name.as_str()));
    assert_eq!(CniArgs::parse(&out.to_string()), out);
    out
}

/// What a plugin finds on stdin.
pub(super) fn stdin(input: &[u8]) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(1);
    let hint = version_hint(input);
    let read = match Input::from_stdin(input, Vec::new(), deadline) {
        Ok(read) => read,
        Err(error) => return refused(error, hint),
    };
    assert_eq!(hint, read.version);
    let gc = Call { target: Target::Gc, path: Vec::new() };
    let keep = match gc.with_stdin(input, deadline) {
        Ok(Some(Request::Gc { keep, .. })) => keep,
        Ok(other) => panic!("GC became {other:?}"),
        Err(error) => return refused(error, hint),
    };
    let keep = keep.map_or_else(|| "no list".to_owned(), |list| format!("{} alive", list.len()));
    let prev = read.prev_result.is_some();
    Answer::Accepted(format!("network {}, version {}, prevResult {prev}, {keep}", read.name, read.version))
}

/// The error object that a runtime reads is the same error.
fn refused(error: CniError, version: Version) -> Answer {
    assert!([1, 6, 7].contains(&error.code), "{error:?}");
    let printed = error.to_json(version);
    assert_eq!(serde_json::from_slice::<CniError>(&printed).ok().as_ref(), Some(&error));
    error.into()
}

/// Lines `NAME=value`.
pub(super) fn environment(input: &[u8]) -> Answer {
    let text = text(input);
    let lines = || text.split('\n').filter_map(|line| line.split_once('='));
    // An environment has no NUL.
    let var = |name: &str| lines().find(|(key, _)| *key == name).map(|(_, value)| value.replace('\0', ""));
    match Call::from_env(var) {
        Err(error) => {
            assert_eq!(error.code, code::INVALID_ENVIRONMENT, "{error:?}");
            error.into()
        }
        Ok(call) => Answer::Accepted(format!("{call:?}")),
    }
}
