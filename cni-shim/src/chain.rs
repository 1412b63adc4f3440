//! One attachment's plugins, ready to be called: as the ledger says, whether ADD wrote that a moment ago or last week.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use manifold_cni::list::joined;
use manifold_cni::{
    Added, Attachment, AttachmentId, Bundled, CniArgs, CniError, ContainerId, Delegate, Detachment, Executed,
    List, NetworkName, Plugin, PluginConf, RawObject, Step, Stopped, Verb, code,
};
use manifold_plugins::ipam::cluster_local;
use serde_json::value::RawValue;

use manifold_ledger::{Exact, Found, Ledger, LockError, NetworkLock, Recorded, RecordedPlugin};

use crate::overdue::Watched;
use crate::sandboxes;

/// Tells an executed plugin, and the IPAM plugin that it runs in turn, where our state lies: `cluster-local` finds there what
/// ADD leased.
pub const STATE_DIR: &str = "MANIFOLD_STATE_DIR";

/// What the calls of one sandbox share.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    pub container: &'a ContainerId,
    pub folders: &'a [PathBuf],
    /// The end of the whole verb, and what one plugin may take of it.
    pub deadline: Instant,
    pub each: Duration,
    /// The sandbox lock: whatever is executed inherits it, so it is free only when the last of them has ended (F-RUN-1).
    pub held: Option<Arc<OwnedFd>>,
    /// Where GC excludes ADD and DEL of a network (F-RUN-5), and where ADD looks whether another sandbox is alive. None where there is no ledger yet.
    pub ledger: Option<&'a Ledger>,
}

impl Setting<'_> {
    /// Keeps GC of the network out until it is dropped. ADD takes its turn behind a GC that waits, DEL does not.
    pub(crate) fn share(&self, network: &NetworkName, verb: Verb) -> Result<Option<NetworkLock>, CniError> {
        let Some(ledger) = self.ledger else { return Ok(None) };
        let shared = match verb {
            Verb::Add => ledger.share_network(network, self.deadline),
            _ => ledger.share_network_for_del(network, self.deadline),
        };
        match shared {
            Ok(lock) => Ok(Some(lock)),
            Err(LockError::Busy { seconds, .. }) => {
                let msg = format!("GC of network `{network}` has not ended after {seconds} s");
                Err(CniError::new(code::TRY_AGAIN, msg).details("fix: none needed; the runtime retries"))
            }
            // GC may have read the entries before this one was written, and would take its addresses away.
            Err(disk) if verb == Verb::Add => Err(disk.into()),
            // A full disk must not hold up a DEL (F-DSK-2).
            Err(LockError::Disk(e)) => {
                tracing::warn!("GC of network `{network}` cannot be excluded: {e}");
                Ok(None)
            }
        }
    }
}

/// The plugins of one attachment.
pub struct Chain<'a> {
    recorded: &'a Recorded,
    steps: Vec<Step>,
    runtime: BTreeMap<String, Box<RawValue>>,
    setting: &'a Setting<'a>,
}

impl<'a> Chain<'a> {
    pub fn of(recorded: &'a Recorded, setting: &'a Setting<'a>) -> Result<Self, CniError> {
        let steps = recorded.plugins.iter().map(|p| step(p, setting)).collect::<Result<_, _>>()?;
        let value = |(key, value): (&String, &Exact)| Ok((key.clone(), raw(value)?));
        let runtime = recorded.runtime.iter().map(value).collect::<Result<_, CniError>>()?;
        Ok(Self { recorded, steps, runtime, setting })
    }

    /// `go_on` is asked before each plugin; its error stops the run as the plugin's own would.
    pub fn add(
        &self,
        netns: &Path,
        mut go_on: impl FnMut() -> Result<(), CniError>,
    ) -> Result<Added, CniError> {
        let _shared = self.setting.share(&self.recorded.network, Verb::Add)?;
        let at = self.attachment(netns);
        self.list().add(&at, &mut |_, _, _| go_on()).map_err(CniError::from)
    }

    /// Every plugin, last first, whatever the others say; all errors as one. A plugin that does not speak the version of
    /// an ADD that never ended has done nothing, so it owes nothing.
    pub fn del(&self, netns: Option<&Path>) -> Result<(), CniError> {
        let _shared = self.setting.share(&self.recorded.network, Verb::Del)?;
        let at = Detachment {
            container: self.setting.container.clone(),
            netns: netns.map(Path::to_owned),
            ifname: self.recorded.ifname.clone(),
            args: CniArgs::parse(&self.recorded.args_del),
        };
        let prev = self.recorded.result.as_ref().map(Exact::as_slice);
        let mut failed = self.list().del_all(&at, prev, &mut |_, _, _| Ok(()));
        failed.retain(|stopped| !self.owes_nothing(stopped));
        joined(&failed)
    }

    /// Code 1 comes before a plugin does anything, for ADD as for DEL. It is believed only of the very file that ADD
    /// executed: another release of the plugin may refuse what the earlier one has done.
    fn owes_nothing(&self, stopped: &Stopped) -> bool {
        let plugin = self.recorded.plugins.get(stopped.at);
        let is_the_same = || plugin.is_some_and(RecordedPlugin::is_unchanged);
        // An executed plugin passes on what its IPAM plugin answered after it did its own part.
        let is_its_own = plugin.is_some_and(|plugin| plugin.executables.len() == 1);
        let owes_nothing = stopped.error.code == code::INCOMPATIBLE_VERSION
            && self.recorded.result.is_none()
            && is_its_own
            && is_the_same();
        if owes_nothing {
            tracing::info!(container = %self.setting.container, "nothing to undo: {}", stopped.error);
        }
        owes_nothing
    }

    /// Lists of versions without CHECK have nothing to be asked (P-COR-7).
    pub fn check(&self, netns: &Path) -> Result<(), CniError> {
        if !self.recorded.version.has_check() {
            return Ok(());
        }
        let prev = self.recorded.result.as_ref().map(Exact::as_slice);
        self.list().check(&self.attachment(netns), prev, &mut |_, _, _| Ok(())).map_err(CniError::from)
    }

    pub fn status(&self) -> Result<(), CniError> {
        self.list().status(&mut |_, _, _| Ok(())).map_err(CniError::from)
    }

    pub fn gc(&self, keep: &[AttachmentId]) -> Result<(), CniError> {
        let mut failed = self.list().gc(keep, &[], &mut |_, _, _| Ok(()));
        // GC came with 1.1.0: a plugin that does not speak the version has none.
        failed.retain(|stopped| stopped.error.code != code::INCOMPATIBLE_VERSION);
        joined(&failed)
    }

    fn attachment(&self, netns: &Path) -> Attachment {
        Attachment {
            container: self.setting.container.clone(),
            netns: netns.to_owned(),
            ifname: self.recorded.ifname.clone(),
            args: CniArgs::parse(&self.recorded.args_add),
        }
    }

    fn list(&self) -> List<'_> {
        List {
            name: &self.recorded.network,
            version: self.recorded.version,
            disable_check: self.recorded.disable_check,
            disable_gc: self.recorded.disable_gc,
            steps: &self.steps,
            path: self.setting.folders,
            runtime: &self.runtime,
            deadline: self.setting.deadline,
            each: self.setting.each,
        }
    }
}

impl std::fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chain({} on {})", self.recorded.display, self.recorded.ifname)
    }
}

fn step(plugin: &RecordedPlugin, setting: &Setting<'_>) -> Result<Step, CniError> {
    Ok((conf(plugin)?, delegate(plugin, setting)?))
}

/// The plugin's configuration as it was recorded.
pub(crate) fn conf(plugin: &RecordedPlugin) -> Result<PluginConf, CniError> {
    let unreadable = |e: &dyn std::fmt::Display| {
        CniError::failed(format!(
            "the recorded configuration of plugin `{}` cannot be read: {e}",
            plugin.kind
        ))
    };
    let keys = RawObject::parse(plugin.config.as_slice()).map_err(|e| unreadable(&e))?;
    PluginConf::read(keys, "").map_err(|e| unreadable(&e))
}

/// The same plugin that did the ADD (F-NOD-3).
fn delegate(plugin: &RecordedPlugin, setting: &Setting<'_>) -> Result<Arc<dyn Delegate>, CniError> {
    match &plugin.found {
        Found::Executed(path) => {
            let executed = Executed::new(plugin.kind.clone(), path.clone()).keep_open(setting.held.clone());
            Ok(Arc::new(executed.variable(STATE_DIR, cluster_local::state_dir())))
        }
        Found::Bundled => match bundled(plugin.kind.as_str(), setting) {
            Some(ours) => {
                let bundled = Bundled::new(ours).keep_open(setting.held.clone());
                Ok(Arc::new(Watched::new(bundled, setting.container.clone())))
            }
            None => {
                let msg = format!(
                    "plugin `{}` was bundled when this sandbox was attached and is no longer",
                    plugin.kind
                );
                Err(CniError::new(code::FAILED, msg).details("fix: reinstall the release that attached it"))
            }
        },
    }
}

fn bundled(kind: &str, setting: &Setting<'_>) -> Option<&'static dyn Plugin> {
    match (kind, setting.ledger) {
        ("portmap", Some(ledger)) => Some(sandboxes::portmap(ledger)),
        _ => manifold_plugins::bundled(kind),
    }
}

pub(crate) fn raw(value: &Exact) -> Result<Box<RawValue>, CniError> {
    serde_json::from_slice(value.as_slice())
        .map_err(|e| CniError::failed(format!("a recorded runtime value cannot be read: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: F-DSK-13
    #[test]
    fn an_add_that_cannot_keep_gc_out_is_an_error_and_a_del_is_not() {
        let state = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(state.path()).unwrap();
        // A folder in the place of the file that is locked.
        std::fs::create_dir_all(state.path().join(".locks/.networks")).unwrap();
        let container = "c1".parse().unwrap();
        let setting = Setting {
            container: &container,
            folders: &[],
            deadline: Instant::now() + Duration::from_secs(60),
            each: Duration::from_secs(60),
            held: None,
            ledger: Some(&ledger),
        };
        let network = "storage".parse().unwrap();
        let refused = setting.share(&network, Verb::Add).unwrap_err().to_string();
        assert!(refused.contains(".networks"), "{refused}");
        assert!(setting.share(&network, Verb::Del).unwrap().is_none());
    }
}
