//! Why a source could not answer: what kind, in one sentence with the way to mend it.

use manifold_cni::{CniError, code};

/// Kinds that callers may tell apart. Never made from an error's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No usable answer within the budget: refused, cut, slow, garbage on the wire, 5xx.
    Unreachable,
    /// 429 or 503 for longer than the budget.
    Throttled,
    /// 401, again with the token file read anew.
    Unauthorized,
    /// 403.
    Forbidden,
    /// The pod is not there, or the API server does not know the resource.
    NotFound,
    /// A pod of that name is there, with another UID.
    Replaced,
    /// The server's certificate cannot be trusted.
    Tls,
    /// Token or kubeconfig missing, unreadable, torn, or of a form that is not supported.
    Credentials,
    /// An answer of the API server that is not what it should be.
    Malformed,
    TooLarge,
    /// Any other refusal: 4xx that has no kind of its own.
    Refused,
    /// A manifest or configuration file that is missing or wrong.
    BadFile,
    /// A file that should be readable or writable and is not.
    Io,
}

/// One sentence: what, where, how to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct SourceError {
    pub kind: Kind,
    pub what: String,
}

impl SourceError {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }

    /// What the runtime is told. Nothing is touched when a source fails, so nearly all of it is "try again"; a file
    /// that is wrong stays wrong until a person mends it.
    pub fn code(&self) -> u32 {
        match self.kind {
            Kind::BadFile => code::INVALID_CONFIG,
            _ => code::TRY_AGAIN,
        }
    }
}

impl From<SourceError> for CniError {
    fn from(e: SourceError) -> Self {
        Self::new(e.code(), e.what)
    }
}
