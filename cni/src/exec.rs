//! A plugin that is an executable of the node, called by the CNI execution protocol.
//!
//! In: environment and stdin. Out: stdout on success, and on failure the plugin's own error, its code untouched.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use manifold_process::{Job, hand_on};

use crate::{CniError, Delegate, Invocation, PluginType, Verb};

/// How much of stdout is kept; more is an error of the plugin. Bytes.
const MOST_STDOUT: usize = 1 << 20;

/// An executable found by [`crate::find::find`].
#[derive(Clone, Debug)]
pub struct Executed {
    kind: PluginType,
    path: PathBuf,
    keep_open: Vec<Arc<OwnedFd>>,
    variables: Vec<(&'static str, OsString)>,
}

impl Executed {
    /// The plugin of that type at that path.
    pub fn new(kind: PluginType, path: PathBuf) -> Self {
        Self { kind, path, keep_open: Vec::new(), variables: Vec::new() }
    }

    /// Lets the process inherit descriptors. A lock among them stays held until the last process that has it ends,
    /// so whoever waits for the lock waits for stray delegates too (F-RUN-1).
    #[must_use]
    pub fn keep_open(mut self, fds: impl IntoIterator<Item = Arc<OwnedFd>>) -> Self {
        self.keep_open.extend(fds);
        self
    }

    /// Gives the process one variable more than the protocol's.
    #[must_use]
    pub fn variable(mut self, key: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((key, value.into()));
        self
    }

    /// The `type` that it is configured by.
    pub fn kind(&self) -> &PluginType {
        &self.kind
    }

    /// Its executable.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }
}

impl Delegate for Executed {
    fn name(&self) -> &str {
        self.kind.as_str()
    }

    fn call(&self, invocation: &Invocation<'_>) -> Result<Vec<u8>, CniError> {
        let begun = std::time::Instant::now();
        let mut command = Command::new(&self.path);
        environment(&mut command, invocation)?;
        command.envs(self.variables.iter().map(|(key, value)| (key, value)));
        let add = invocation.verb == Verb::Add;
        let answered = |stdout: &[u8]| !add || crate::json::strict(stdout).is_ok();
        let job = Job { stdin: &invocation.config, deadline: invocation.deadline, stdout_most: MOST_STDOUT };
        let ended = hand_on(&self.keep_open, || manifold_process::run(&mut command, &job, answered));
        let answer = crate::answer::judge(self, invocation.verb, ended);
        // The length and not the text: configurations may hold secrets (S-2).
        tracing::debug!(
            plugin = %self.kind,
            verb = invocation.verb.as_str(),
            stdin_bytes = invocation.config.len(),
            millis = begun.elapsed().as_millis(),
            succeeded = answer.is_ok(),
            "a plugin was executed"
        );
        answer
    }
}

/// Set for every executed plugin, and inherited by what it executes in turn: Manifold refuses to be called below itself, where
/// it would take folders and credentials from what a definition's author wrote.
pub const CALLED_BY: &str = "MANIFOLD_CALLED_BY";

/// Ours, with the protocol's variables replaced. The child sees each exactly once: the map behind [`Command`] has one
/// entry per name, and what this verb does not have is removed, whatever our caller gave us (CNI-EXE-8).
fn environment(command: &mut Command, invocation: &Invocation<'_>) -> Result<(), CniError> {
    let path = std::env::join_paths(invocation.path).map_err(|_| {
        CniError::new(
            crate::code::INVALID_ENVIRONMENT,
            "CNI_PATH has a folder with `:` in its name; rename it",
        )
    })?;
    let args = invocation.args.to_string();
    let text = |s: &str| (!s.is_empty()).then(|| s.into());
    let vars: [(&str, Option<OsString>); 6] = [
        ("CNI_COMMAND", text(invocation.verb.as_str())),
        ("CNI_CONTAINERID", invocation.container.and_then(|id| text(id.as_str()))),
        ("CNI_NETNS", invocation.netns.as_ref().map(|p| p.clone().into_os_string())),
        ("CNI_IFNAME", invocation.ifname.and_then(|name| text(name.as_str()))),
        ("CNI_ARGS", text(&args)),
        ("CNI_PATH", Some(path)),
    ];
    for (key, value) in vars {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    command.env(CALLED_BY, "manifold");
    Ok(())
}
