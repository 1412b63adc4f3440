//! Why the kernel did not do what was asked, in a form that code can branch on and a person can act on.

use std::fmt;
use std::io;

use nix::errno::Errno;

use crate::netns::NetnsError;

/// One operation that did not happen: what it was, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {why}")]
pub struct NetError {
    /// The operation as the rest of the sentence "cannot …", naming the objects it was about.
    pub what: String,
    #[source]
    why: Why,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Why {
    #[error("{}{}", errno.desc(), Said(said.as_deref(), *errno))]
    Refused { errno: Errno, said: Option<String> },
    #[error("the netlink socket does not work ({0})")]
    Socket(#[source] io::Error),
    #[error("the kernel's answer was not understood ({0})")]
    Answer(String),
    #[error("the list kept changing while it was read; try again")]
    Interrupted,
    #[error("the kernel did not answer within {0} seconds")]
    Silent(u64),
    #[error("{0}")]
    Namespace(#[from] NetnsError),
    #[error("{0}")]
    Input(String),
}

/// The kernel's own words and the error's name, for the end of a sentence.
struct Said<'a>(Option<&'a str>, Errno);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(said) => write!(f, " ({:?}; the kernel says `{said}`)", self.1),
            None => write!(f, " ({:?})", self.1),
        }
    }
}

impl NetError {
    pub(crate) fn new(what: impl Into<String>, why: Why) -> Self {
        Self { what: what.into(), why }
    }

    /// The system's error number, when it was the system that refused.
    pub fn errno(&self) -> Option<i32> {
        match &self.why {
            Why::Refused { errno, .. } => Some(*errno as i32),
            Why::Socket(error) => error.raw_os_error(),
            Why::Namespace(error) => error.errno(),
            _ => None,
        }
    }

    fn is(&self, any_of: &[Errno]) -> bool {
        matches!(&self.why, Why::Refused { errno, .. } if any_of.contains(errno))
    }

    /// The object is there already.
    pub fn is_exists(&self) -> bool {
        self.is(&[Errno::EEXIST])
    }

    /// The object (link, address, route, rule) is not there.
    pub fn is_not_found(&self) -> bool {
        self.is(&[Errno::ENODEV, Errno::ENOENT, Errno::ESRCH, Errno::EADDRNOTAVAIL, Errno::ENXIO])
    }

    /// The link named in the request is not there.
    pub fn is_no_device(&self) -> bool {
        self.is(&[Errno::ENODEV, Errno::ENXIO])
    }

    /// A route's gateway cannot be reached over the given link.
    pub fn is_unreachable(&self) -> bool {
        self.is(&[Errno::ENETUNREACH, Errno::EHOSTUNREACH])
    }

    /// The process lacks the capability.
    pub fn is_permission(&self) -> bool {
        self.is(&[Errno::EPERM, Errno::EACCES])
    }

    /// The object is in use in a way that excludes this use.
    pub fn is_busy(&self) -> bool {
        self.is(&[Errno::EBUSY])
    }

    /// Another object has this address already.
    pub fn is_address_in_use(&self) -> bool {
        self.is(&[Errno::EADDRINUSE])
    }

    /// The kernel does not know this kind of object, or was built without it.
    pub fn is_unsupported(&self) -> bool {
        self.is(&[Errno::EOPNOTSUPP, Errno::EAFNOSUPPORT, Errno::EPROTONOSUPPORT])
    }

    /// The listing changed during every attempt to read it.
    pub fn is_interrupted(&self) -> bool {
        matches!(self.why, Why::Interrupted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_has_what_why_and_the_kernels_words() {
        let plain = NetError::new("create bridge `br0`", Why::Refused { errno: Errno::EEXIST, said: None });
        assert_eq!(plain.to_string(), "cannot create bridge `br0`: File exists (EEXIST)");
        assert!(plain.is_exists() && !plain.is_not_found() && plain.errno() == Some(17));
        let told = Why::Refused { errno: Errno::EINVAL, said: Some("Invalid prefix".into()) };
        assert_eq!(
            NetError::new("add route", told).to_string(),
            "cannot add route: Invalid argument (EINVAL; the kernel says `Invalid prefix`)"
        );
    }
}
