//! `readinessindicatorfile`: the default network is ready when this file is there (MLT-RDY-1).

use std::path::Path;
use std::time::{Duration, Instant};

use manifold_cni::{CniError, code};

/// How long ADD waits for it.
const WAIT: Duration = Duration::from_secs(45);
const STEP: Duration = Duration::from_millis(100);

/// Waits within `deadline`; nothing is touched yet. `go_on` is asked at each look: a DEL of the sandbox must not have to
/// wait for the default network.
pub fn wait(
    file: Option<&Path>,
    deadline: Instant,
    go_on: impl Fn() -> Result<(), CniError>,
) -> Result<(), CniError> {
    let Some(file) = file else { return Ok(()) };
    let begun = Instant::now();
    let deadline = deadline.min(begun + WAIT);
    while !file.exists() {
        go_on()?;
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
        .details("fix: check why the default network's own agent has not started on this node")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    // Shows part of: F-RUN-3
    #[test]
    fn the_wait_ends_when_the_call_is_not_to_go_on() {
        let begun = Instant::now();
        let stop = || Err(CniError::new(code::TRY_AGAIN, "DEL waits"));
        let error = wait(Some(Path::new("/nowhere/ready")), soon(), stop).unwrap_err();
        assert_eq!(error.msg, "DEL waits");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_default_network_that_is_ready_is_not_waited_for() {
        let never = || Err(CniError::failed("nobody asks"));
        wait(None, soon(), never).unwrap();
        wait(Some(Path::new("/")), soon(), never).unwrap();
    }
}
