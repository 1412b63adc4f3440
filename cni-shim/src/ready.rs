//! `readinessindicatorfile`: the default network is ready when this file is there (MLT-RDY-1).

use std::path::Path;
use std::time::{Duration, Instant};

use manifold_cni::{CniError, code};

/// How long ADD waits for it.
const WAIT: Duration = Duration::from_secs(45);
const STEP: Duration = Duration::from_millis(100);

/// Waits within `deadline`; nothing is touched yet.
pub fn wait(file: Option<&Path>, deadline: Instant) -> Result<(), CniError> {
    let Some(file) = file else { return Ok(()) };
    let begun = Instant::now();
    let deadline = deadline.min(begun + WAIT);
    while !file.exists() {
        if Instant::now() >= deadline {
            return Err(missing(file, code::TRY_AGAIN, &format!(" after {} s", begun.elapsed().as_secs())));
        }
        std::thread::sleep(STEP);
    }
    Ok(())
}

/// Looks once.
pub fn now(file: Option<&Path>) -> Result<(), CniError> {
    match file {
        Some(file) if !file.exists() => Err(missing(file, code::NOT_AVAILABLE, "")),
        _ => Ok(()),
    }
}

fn missing(file: &Path, code: u32, when: &str) -> CniError {
    let msg = format!(
        "the default network is not ready: `{}` (`readinessindicatorfile`) is not there{when}",
        file.display()
    );
    CniError::new(code, msg)
        .details("fix: look why the default network's own agent has not started on this node")
}
