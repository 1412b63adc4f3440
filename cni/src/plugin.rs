//! The contract a plugin is written on: one function per verb, everything it may know as arguments.
//!
//! A plugin never reads the process environment, stdin or the clock: the skeleton (own executable) or the
//! shim (bundled) hands it all over. So the same code serves both, and a test calls it directly.

use std::path::PathBuf;
use std::time::Instant;

use serde::de::DeserializeOwned;

use crate::{
    Attachment, AttachmentId, CniError, CniResult, Detachment, NetworkName, RawObject, Version, code,
};

/// The configuration of one call, as the plugin gets it on stdin.
#[derive(Clone, Debug)]
pub struct Input {
    /// Of the configuration.
    pub version: Version,
    /// The network's name.
    pub name: NetworkName,
    /// Every key of the configuration, `prevResult` and `runtimeConfig` included, exactly as given.
    pub config: RawObject,
    /// `prevResult`, parsed and converted; `None` when absent.
    pub prev_result: Option<CniResult>,
    /// `CNI_PATH`: where a delegate (IPAM) of this plugin is looked for.
    pub path: Vec<PathBuf>,
    /// When the caller stops waiting. No step may wait past it.
    pub deadline: Instant,
}

impl Input {
    /// The configuration as the plugin's own type.
    ///
    /// # Errors
    /// If the configuration does not have this shape.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, CniError> {
        self.config.read_as().map_err(|e| {
            let why = crate::json::BadJson::from(e).why;
            CniError::new(
                code::DECODE,
                format!("network `{}`: the configuration does not fit: {why}", self.name),
            )
        })
    }

    /// `prevResult` where the verb cannot do without (CNI-CHK-2).
    ///
    /// # Errors
    /// If there is none.
    pub fn require_prev_result(&self) -> Result<&CniResult, CniError> {
        self.prev_result.as_ref().ok_or_else(|| {
            CniError::config(format!(
                "network `{}`: `prevResult` is missing, and this call needs it",
                self.name
            ))
        })
    }
}

/// A plugin. Verbs of newer versions have defaults: STATUS says ready, GC has nothing to do.
pub trait Plugin: Send + Sync {
    /// The `type` it is configured by, and the name of its executable.
    fn name(&self) -> &'static str;

    /// Versions for which ADD works (CNI-VER-2).
    fn versions(&self) -> &'static [Version] {
        &Version::ALL
    }

    /// Whether ADD of this configuration answers with an address. Results of 0.1.0 and 0.2.0 cannot do without one, so
    /// the skeleton refuses such a configuration before ADD begins (PLG-COM-2).
    fn answers_with_addresses(&self, input: &Input) -> bool {
        let named =
            |ipam: RawObject| ipam.get_as::<String>("type").ok().flatten().is_some_and(|t| !t.is_empty());
        let ipam = input.config.get_as::<RawObject>("ipam").ok().flatten().is_some_and(named);
        ipam || input.prev_result.as_ref().is_some_and(|prev| !prev.ips.is_empty())
    }

    /// Attaches the container.
    ///
    /// # Errors
    /// If it cannot; what was done is undone then.
    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError>;

    /// Compares the attachment with its result and the configuration.
    ///
    /// # Errors
    /// If something is not as ADD left it.
    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError>;

    /// Detaches the container; succeeds when nothing is left to do.
    ///
    /// # Errors
    /// If something is left that could not be removed.
    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError>;

    /// Whether ADD can succeed.
    ///
    /// # Errors
    /// If it cannot, with code 50 or 51.
    fn status(&self, _input: &Input) -> Result<(), CniError> {
        Ok(())
    }

    /// Drops what belongs to attachments of this network that are not in `keep`.
    ///
    /// # Errors
    /// If something of them could not be dropped.
    fn gc(&self, _input: &Input, _keep: &[AttachmentId]) -> Result<(), CniError> {
        Ok(())
    }
}
