//! The error a plugin answers with: a code the runtime acts on, a sentence for the person paged.

use serde::{Deserialize, Serialize};

use crate::version::Version;

/// Well-known codes (CNI-ERR-*). 0–99 belong to the specification, 100 and above to the plugin.
pub mod code {
    /// The plugin does not speak the version of the configuration.
    pub const INCOMPATIBLE_VERSION: u32 = 1;
    /// A field of the configuration is not supported.
    pub const UNSUPPORTED_FIELD: u32 = 2;
    /// The container is unknown: a runtime then skips DEL.
    pub const UNKNOWN_CONTAINER: u32 = 3;
    /// An environment variable is missing or invalid.
    pub const INVALID_ENVIRONMENT: u32 = 4;
    /// Reading or writing failed.
    pub const IO: u32 = 5;
    /// Something is not the JSON that it should be.
    pub const DECODE: u32 = 6;
    /// The configuration is invalid.
    pub const INVALID_CONFIG: u32 = 7;
    /// The network namespace is invalid.
    pub const INVALID_NETNS: u32 = 8;
    /// A later attempt may succeed.
    pub const TRY_AGAIN: u32 = 11;
    /// STATUS: ADD cannot succeed.
    pub const NOT_AVAILABLE: u32 = 50;
    /// STATUS: ADD cannot succeed, and containers that run may have limited connectivity.
    pub const LIMITED_CONNECTIVITY: u32 = 51;
    /// Ours: anything that went wrong while acting and has no better code.
    pub const FAILED: u32 = 100;
    /// Ours: CHECK found something missing or different.
    pub const CHECK_FAILED: u32 = 101;
    /// Ours: the sandbox is attached already.
    pub const ALREADY_ATTACHED: u32 = 102;
    /// Ours: a bundled plugin panicked, or Manifold itself.
    pub const PANICKED: u32 = 103;
}

/// What a failed call prints on stdout. `msg` is one sentence; `details` is place, causes, fix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{msg}{}{details}", if .details.is_empty() { "" } else { "; " })]
pub struct CniError {
    /// One of [`code`], or 100 and above: a plugin's own.
    #[serde(default)]
    pub code: u32,
    /// One sentence.
    #[serde(default)]
    pub msg: String,
    /// More, for a log; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl CniError {
    /// An error without details.
    pub fn new(code: u32, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }

    /// The configuration is wrong and only a person can mend it.
    pub fn config(msg: impl Into<String>) -> Self {
        Self::new(code::INVALID_CONFIG, msg)
    }

    /// Something failed while acting.
    pub fn failed(msg: impl Into<String>) -> Self {
        Self::new(code::FAILED, msg)
    }

    /// The system refused to read or write. Whether a later attempt may succeed follows from its error number.
    pub fn io(error: &std::io::Error, msg: impl Into<String>) -> Self {
        Self::new(crate::errno::code_for(error.raw_os_error(), code::IO), msg)
    }

    /// Something failed while acting, for which the system may have given an error number.
    pub fn refused(errno: Option<i32>, msg: impl Into<String>) -> Self {
        Self::new(crate::errno::code_for(errno, code::FAILED), msg)
    }

    /// CHECK found a difference.
    pub fn check(msg: impl Into<String>) -> Self {
        Self::new(code::CHECK_FAILED, msg)
    }

    /// The same with details.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// The same code and words, with where it happened in front (CNI-ERR-100).
    #[must_use]
    pub fn context(mut self, place: &str) -> Self {
        self.msg = format!("{place}: {}", self.msg);
        self
    }

    /// The JSON object for stdout, with the version the caller configured (CNI-RES-7).
    pub fn to_json(&self, version: Version) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire<'a> {
            cni_version: &'static str,
            #[serde(flatten)]
            error: &'a CniError,
        }
        serde_json::to_vec(&Wire { cni_version: version.as_str(), error: self })
            .expect("three strings and a number always serialise")
    }
}
