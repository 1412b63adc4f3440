//! The last step: the default network's result, in the version that the caller configured.

use std::io::Write;

use manifold_cni::{CniError, CniResult, Version, code};

/// The bytes for stdout. A default network that names no interface or address answers all the same: a runtime may ask
/// for an old shape that cannot say that, which is then a clear error.
pub fn bytes(result: &[u8], of: Version, caller: Version) -> Result<Vec<u8>, CniError> {
    if of == caller {
        return with_version(result, caller);
    }
    let (typed, _) = CniResult::parse(result, of)?;
    typed.to_json(caller)
}

/// The delegate's own bytes keep every key that we do not know; only the version is made sure of.
fn with_version(result: &[u8], caller: Version) -> Result<Vec<u8>, CniError> {
    let mut keys = manifold_cni::RawObject::parse(result).map_err(|e| {
        CniError::new(code::DECODE, format!("the default network's result cannot be read: {e}"))
    })?;
    keys.set("cniVersion", &caller.as_str());
    Ok(keys.to_vec())
}

/// Writes and flushes. A runtime that has gone away never hears the answer, so nothing may stay (F-RUN-2).
pub fn deliver(stdout: &mut dyn Write, answer: &[u8]) -> Result<(), CniError> {
    stdout
        .write_all(answer)
        .and_then(|()| stdout.flush())
        .map_err(|e| CniError::io(&e, format!("the answer could not be delivered on standard output: {e}")))
}
