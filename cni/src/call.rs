//! Environment and stdin → [`Request`]: which verb, about what, with which configuration.
//!
//! Two steps, because VERSION must not touch stdin: [`Call::from_env`] reads the variables, and only where
//! [`Call::needs_stdin`] says so the caller reads stdin and goes on with [`Call::with_stdin`].

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

use serde::Deserialize;

use crate::name::BadName;
use crate::{Attachment, AttachmentId, CniArgs, CniError, Detachment, Input, RawObject, Verb, code};

#[cfg(test)]
mod tests;

/// What the environment alone tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is asked.
    pub target: Target,
    /// `CNI_PATH`, split; empty pieces dropped.
    pub path: Vec<PathBuf>,
}

/// A verb with the arguments that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Attach a container.
    Add(Attachment),
    /// Compare an attachment with its result.
    Check(Attachment),
    /// Detach a container.
    Del(Detachment),
    /// Can ADD succeed?
    Status,
    /// Remove what belongs to no living attachment.
    Gc,
    /// Which versions are there?
    Version,
    /// No `CNI_COMMAND`: a person started the plugin by hand.
    About,
}

/// One request, complete.
#[derive(Clone, Debug)]
pub enum Request {
    /// Attach a container.
    Add(Attachment, Input),
    /// Compare an attachment with its result.
    Check(Attachment, Input),
    /// Detach a container.
    Del(Detachment, Input),
    /// Can ADD succeed?
    Status(Input),
    /// `keep` is `None` when the configuration names no list, which is not the empty list (CNI-GC-3).
    Gc {
        /// The attachments that live.
        keep: Option<Vec<AttachmentId>>,
        /// What came on stdin.
        input: Input,
    },
    /// Which versions are there?
    Version,
}

impl Request {
    /// The verb alone.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Add(..) => Verb::Add,
            Self::Check(..) => Verb::Check,
            Self::Del(..) => Verb::Del,
            Self::Status(_) => Verb::Status,
            Self::Gc { .. } => Verb::Gc,
            Self::Version => Verb::Version,
        }
    }

    /// What came on stdin; VERSION has none that matters.
    pub fn input(&self) -> Option<&Input> {
        match self {
            Self::Add(_, input) | Self::Check(_, input) | Self::Del(_, input) => Some(input),
            Self::Status(input) | Self::Gc { input, .. } => Some(input),
            Self::Version => None,
        }
    }
}

impl Call {
    /// Reads the `CNI_*` variables through `var`. An empty variable is a missing one.
    /// Everything that is missing is named in one error (CNI-ENV-7).
    ///
    /// # Errors
    /// If a variable that the verb needs is missing or invalid.
    pub fn from_env(var: impl Fn(&str) -> Option<String>) -> Result<Self, CniError> {
        let Some(command) = var("CNI_COMMAND").filter(|v| !v.is_empty()) else {
            return Ok(Self { target: Target::About, path: Vec::new() });
        };
        let verb = Verb::from_command(&command)?;
        let get = |key: &str| var(key).filter(|v| !v.is_empty());
        let missing: Vec<&str> = required(verb).iter().copied().filter(|key| get(key).is_none()).collect();
        if !missing.is_empty() {
            let are = if missing.len() == 1 { "is" } else { "are" };
            return Err(bad_environment(format!(
                "{} {are} missing from the environment",
                missing.join(", ")
            )));
        }
        let text = |key: &str| get(key).unwrap_or_default();
        let detachment = || -> Result<Detachment, CniError> {
            Ok(Detachment {
                container: named(&text("CNI_CONTAINERID"))?,
                netns: get("CNI_NETNS").map(PathBuf::from),
                ifname: named(&text("CNI_IFNAME"))?,
                args: CniArgs::parse(&text("CNI_ARGS")),
            })
        };
        let attachment = || -> Result<Attachment, CniError> {
            let Detachment { container, ifname, args, .. } = detachment()?;
            Ok(Attachment { container, netns: text("CNI_NETNS").into(), ifname, args })
        };
        let target = match verb {
            Verb::Add => Target::Add(attachment()?),
            Verb::Check => Target::Check(attachment()?),
            Verb::Del => Target::Del(detachment()?),
            Verb::Status => Target::Status,
            Verb::Gc => Target::Gc,
            Verb::Version => Target::Version,
        };
        Ok(Self { target, path: split_path(&text("CNI_PATH")) })
    }

    /// VERSION answers without a look at stdin, which may be open and silent (CNI-ENV-10).
    pub fn needs_stdin(&self) -> bool {
        !matches!(self.target, Target::Version | Target::About)
    }

    /// Completes the call with the bytes of stdin. `None` for [`Target::About`], which is no request.
    ///
    /// # Errors
    /// If the configuration cannot be read.
    pub fn with_stdin(self, stdin: &[u8], deadline: Instant) -> Result<Option<Request>, CniError> {
        let input = |path| Input::from_stdin(stdin, path, deadline);
        let path = self.path;
        Ok(Some(match self.target {
            Target::Add(at) => Request::Add(at, input(path)?),
            Target::Check(at) => Request::Check(at, input(path)?),
            Target::Del(at) => Request::Del(at, input(path)?),
            Target::Status => Request::Status(input(path)?),
            Target::Gc => {
                let input = input(path)?;
                Request::Gc { keep: valid_attachments(&input.config)?, input }
            }
            Target::Version => Request::Version,
            Target::About => return Ok(None),
        }))
    }
}

/// GC's list of what is alive. An early text of the specification misnamed the key, and libcni writes both (CNI-GC-2).
///
/// # Errors
/// If a list is there and cannot be read.
pub fn valid_attachments(config: &RawObject) -> Result<Option<Vec<AttachmentId>>, CniError> {
    for key in [crate::derive::VALID_ATTACHMENTS, crate::derive::ATTACHMENTS] {
        if let Some(raw) = config.get(key) {
            let keep = Option::<Vec<AttachmentId>>::deserialize(raw).map_err(|e| {
                let why = crate::json::BadJson::from(e).why;
                CniError::new(code::DECODE, format!("`{key}` is not a list of attachments: {why}"))
            })?;
            // `null` is how Go writes a list nobody filled: nothing was said, so nothing is cleared.
            return Ok(keep);
        }
    }
    Ok(None)
}

/// What each verb cannot do without. `CNI_PATH` is needed by whoever runs a delegate and says so then; the
/// specification asks for it only with GC (CNI-ENV-6).
const fn required(verb: Verb) -> &'static [&'static str] {
    match verb {
        Verb::Add | Verb::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
        Verb::Del => &["CNI_CONTAINERID", "CNI_IFNAME"],
        Verb::Gc => &["CNI_PATH"],
        Verb::Status | Verb::Version => &[],
    }
}

fn named<T: FromStr<Err = BadName>>(raw: &str) -> Result<T, CniError> {
    raw.parse().map_err(|e: BadName| bad_environment(e.to_string()))
}

fn split_path(raw: &str) -> Vec<PathBuf> {
    raw.split(':').filter(|p| !p.is_empty()).map(PathBuf::from).collect()
}

fn bad_environment(msg: String) -> CniError {
    CniError::new(code::INVALID_ENVIRONMENT, msg)
}
