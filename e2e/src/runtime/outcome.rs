//! What came of a call: the process's end, and every byte that it said.

use std::time::Duration;

use serde_json::Value;

/// One finished call of a plugin.
#[derive(Clone, Debug)]
pub struct CallOutcome {
    /// None: a signal ended it.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// The runtime's patience was over, and it killed the process group.
    pub timed_out: bool,
    pub stdout: Vec<u8>,
    pub stderr: String,
    /// From before the fork until the process was reaped.
    pub wall: Duration,
    /// The process had ended, and something that it left behind still held its stdout or stderr.
    pub held_open: bool,
}

impl CallOutcome {
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// The result of a call that succeeded and printed an object.
    pub fn result(&self) -> Option<Value> {
        let value: Value = serde_json::from_slice(&self.stdout).ok()?;
        (self.succeeded() && value.is_object()).then_some(value)
    }

    /// The error object of a call that failed.
    pub fn error(&self) -> Option<Value> {
        let value: Value = serde_json::from_slice(&self.stdout).ok()?;
        (!self.succeeded() && value.is_object()).then_some(value)
    }

    /// The `code` of the error object.
    pub fn error_code(&self) -> Option<u64> {
        self.error()?.get("code")?.as_u64()
    }

    /// `msg` and `details` of the error object, one after the other.
    pub fn error_text(&self) -> String {
        let error = self.error().unwrap_or_default();
        let text = |key| error.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
        format!("{}\n{}", text("msg"), text("details"))
    }

    /// Asserts success, and returns the result (null, if nothing was printed).
    #[track_caller]
    pub fn must_succeed(&self) -> Value {
        assert!(self.succeeded(), "the call did not succeed: {self}");
        if self.stdout.is_empty() {
            return Value::Null;
        }
        self.result().unwrap_or_else(|| panic!("what was printed is not one object: {self}"))
    }

    /// Asserts an error with this code, and returns `msg` and `details`.
    #[track_caller]
    pub fn must_fail_with(&self, code: u64) -> String {
        assert_eq!(self.error_code(), Some(code), "the call did not fail with code {code}: {self}");
        self.error_text()
    }
}

/// Whole, for a test's last words.
impl std::fmt::Display for CallOutcome {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(to, "exit {code}")?,
            (None, signal) => write!(to, "signal {}", signal.unwrap_or_default())?,
        }
        if self.timed_out {
            write!(to, " (killed, out of patience)")?;
        }
        write!(
            to,
            " after {:?}\nstdout: {}\nstderr: {}",
            self.wall,
            String::from_utf8_lossy(&self.stdout),
            self.stderr
        )
    }
}
