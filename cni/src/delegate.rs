//! One call of one plugin, whether it is linked into this process or an executable of the node.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::{CniArgs, CniError, ContainerId, IfName, Plugin};

/// What a plugin is asked to do: `CNI_COMMAND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `ADD`
    Add,
    /// `DEL`
    Del,
    /// `CHECK`
    Check,
    /// `STATUS`
    Status,
    /// `GC`
    Gc,
    /// `VERSION`
    Version,
}

impl Verb {
    /// As `CNI_COMMAND` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Status => "STATUS",
            Self::Gc => "GC",
            Self::Version => "VERSION",
        }
    }

    /// The verb that `CNI_COMMAND` names.
    ///
    /// # Errors
    /// If there is no such verb.
    pub fn from_command(command: &str) -> Result<Self, CniError> {
        [Self::Add, Self::Del, Self::Check, Self::Status, Self::Gc, Self::Version]
            .into_iter()
            .find(|verb| verb.as_str() == command)
            .ok_or_else(|| {
                let msg = format!("unknown CNI_COMMAND: {}", crate::name::printable(command));
                CniError::new(crate::code::INVALID_ENVIRONMENT, msg)
            })
    }
}

/// Arguments and configuration bytes: all that a delegate gets. STATUS and GC have no attachment.
#[derive(Clone)]
pub struct Invocation<'a> {
    /// What is asked.
    pub verb: Verb,
    /// `CNI_CONTAINERID`
    pub container: Option<&'a ContainerId>,
    /// `CNI_NETNS`
    pub netns: Option<PathBuf>,
    /// `CNI_IFNAME`
    pub ifname: Option<&'a IfName>,
    /// `CNI_ARGS`
    pub args: CniArgs,
    /// `CNI_PATH`
    pub path: &'a [PathBuf],
    /// stdin, derived for this verb (`name`, `cniVersion`, `runtimeConfig`, `prevResult`).
    pub config: Vec<u8>,
    /// When the answer must be there.
    pub deadline: Instant,
}

/// Without the configuration, which may hold secrets (S-2).
impl std::fmt::Debug for Invocation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invocation")
            .field("verb", &self.verb)
            .field("container", &self.container)
            .field("netns", &self.netns)
            .field("ifname", &self.ifname)
            .field("config_bytes", &self.config.len())
            .finish_non_exhaustive()
    }
}

/// A plugin that can be called. The answer is stdout: a result for ADD, nothing for the others.
pub trait Delegate: Send + Sync {
    /// The plugin's type, for messages.
    fn name(&self) -> &str;

    /// Runs the plugin and returns what it wrote to stdout.
    ///
    /// # Errors
    /// The plugin's own error, or one about a process that did not answer.
    fn call(&self, invocation: &Invocation<'_>) -> Result<Vec<u8>, CniError>;
}

/// A plugin of ours, called in this process. It may visit the pod's namespace, and its panic becomes this call's error.
#[derive(Clone)]
pub struct Bundled {
    pub(crate) plugin: &'static dyn Plugin,
    pub(crate) keep_open: Vec<Arc<OwnedFd>>,
}

impl Bundled {
    /// That plugin.
    pub fn new(plugin: &'static dyn Plugin) -> Self {
        Self { plugin, keep_open: Vec::new() }
    }

    /// As [`crate::Executed::keep_open`], for every program that the plugin starts: an IPAM plugin, a tool of the host.
    #[must_use]
    pub fn keep_open(mut self, fds: impl IntoIterator<Item = Arc<OwnedFd>>) -> Self {
        self.keep_open.extend(fds);
        self
    }
}

impl std::fmt::Debug for Bundled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bundled({})", self.plugin.name())
    }
}
