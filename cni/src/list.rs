//! Runs a whole network configuration: each plugin in turn, with what the one before it answered.
//!
//! The rules of the lifecycle stand here once: who gets a `prevResult`, which verb exists in which version, where a
//! run stops and where it goes on. Which delegates there are, and what is recorded when, is the caller's business.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::check::is_not_offered;
use crate::config::PluginConf;
use crate::derive::Derived;
use crate::dispatch::refuse_verb;
use crate::{
    Attachment, AttachmentId, CniArgs, CniError, CniResult, ContainerId, Delegate, Detachment, IfName,
    Invocation, NetworkName, RawObject, Verb, Version, code,
};

#[cfg(test)]
mod tests;

/// A plugin of the list together with what runs it.
pub type Step = (PluginConf, Arc<dyn Delegate>);

/// Called before each plugin call: the place where a caller looks whether to go on. An error stops the run as the
/// plugin's own would.
pub type Before<'a> = &'a mut dyn FnMut(Verb, usize, &PluginConf) -> Result<(), CniError>;

/// One network configuration, ready to run.
#[derive(Clone, Copy)]
pub struct List<'a> {
    /// The network's name.
    pub name: &'a NetworkName,
    /// That every plugin is called with.
    pub version: Version,
    /// CHECK calls no plugin.
    pub disable_check: bool,
    /// GC calls no plugin.
    pub disable_gc: bool,
    /// The plugins in the order of ADD.
    pub steps: &'a [Step],
    /// `CNI_PATH` of the delegates.
    pub path: &'a [PathBuf],
    /// Values by capability, the same for ADD, CHECK and DEL.
    pub runtime: &'a BTreeMap<String, Box<RawValue>>,
    /// The end of the whole run.
    pub deadline: Instant,
    /// What one plugin may take of it.
    pub each: Duration,
}

/// What ADD made.
#[derive(Clone, Debug)]
pub struct Added {
    /// The last plugin's answer in the configuration's version, keys that we do not know included.
    pub raw: Vec<u8>,
    /// The same, read.
    pub result: CniResult,
}

/// A plugin that stopped the run. Its code is untouched (CNI-ERR-100).
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub struct Stopped {
    /// Index into the steps.
    pub at: usize,
    /// Its type.
    pub plugin: String,
    /// What it answered.
    pub error: CniError,
}

impl From<Stopped> for CniError {
    fn from(stopped: Stopped) -> Self {
        stopped.error
    }
}

/// An attachment of which GC knows that it is no longer alive.
#[derive(Clone, Debug)]
pub struct Stale {
    /// Which attachment.
    pub at: Detachment,
    /// Its final ADD result, if it is known.
    pub prev: Option<Vec<u8>>,
}

/// What a call is about; STATUS and GC have none of it.
#[derive(Clone, Default)]
struct Place<'a> {
    container: Option<&'a ContainerId>,
    netns: Option<PathBuf>,
    ifname: Option<&'a IfName>,
    args: CniArgs,
}

impl<'a> Place<'a> {
    fn of(at: &'a Detachment) -> Self {
        let Detachment { container, netns, ifname, args } = at;
        Self { container: Some(container), netns: netns.clone(), ifname: Some(ifname), args: args.clone() }
    }
}

impl std::fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plugins: Vec<&str> = self.steps.iter().map(|(conf, _)| conf.kind.as_str()).collect();
        write!(f, "List({}, {}, {plugins:?})", self.name, self.version)
    }
}

impl List<'_> {
    /// Each plugin in order, each next one with the answer before it. Stops at the first error; the caller then runs
    /// [`List::del_all`] (CNI-RUN-DEL-4).
    ///
    /// # Errors
    /// The error of the plugin that stopped the run.
    pub fn add(&self, at: &Attachment, before: Before<'_>) -> Result<Added, Stopped> {
        let place = at.detach();
        let mut last: Option<(Box<RawValue>, CniResult)> = None;
        for (n, step) in self.steps.iter().enumerate() {
            let derived = self.derived(last.as_ref().map(|(raw, _)| raw.as_ref()));
            let answer = self.call(Verb::Add, n, step, derived, Place::of(&place), before)?;
            last = Some(self.answer(&answer).map_err(|e| self.stopped(Verb::Add, n, step, e))?);
        }
        let (raw, result) = last.unwrap_or_else(|| self.nothing());
        Ok(Added { raw: raw.get().as_bytes().to_vec(), result })
    }

    /// The reverse order, each plugin with the final ADD result where the version knows that. Stops at the first
    /// error (CNI-RUN-DEL-2).
    ///
    /// # Errors
    /// The error of the plugin that stopped the run.
    pub fn del(&self, at: &Detachment, prev: Option<&[u8]>, before: Before<'_>) -> Result<(), Stopped> {
        let prev = self.prev_for_del(prev);
        for (n, step) in self.steps.iter().enumerate().rev() {
            self.call(Verb::Del, n, step, self.derived(prev.as_deref()), Place::of(at), before)?;
        }
        Ok(())
    }

    /// DEL of every plugin, whatever the others say and whether or not ADD ever reached it. The steps that failed are
    /// returned.
    pub fn del_all(&self, at: &Detachment, prev: Option<&[u8]>, before: Before<'_>) -> Vec<Stopped> {
        let prev = self.prev_for_del(prev);
        let steps = self.steps.iter().enumerate().rev();
        let one = |(n, step)| {
            self.call(Verb::Del, n, step, self.derived(prev.as_deref()), Place::of(at), &mut *before)
        };
        steps.map(one).filter_map(Result::err).collect()
    }

    /// ADD's order, with the final ADD result. Stops at the first error; a plugin that has no CHECK is passed over. Without a result, or with one that cannot be
    /// read, there is nothing to compare with, and that is an error (CNI-RUN-CHK-3).
    ///
    /// # Errors
    /// The error of the plugin that stopped the run.
    pub fn check(&self, at: &Attachment, prev: Option<&[u8]>, before: Before<'_>) -> Result<(), Stopped> {
        let whole = |error| Stopped { at: 0, plugin: String::new(), error };
        if self.disable_check {
            return Ok(());
        }
        refuse_verb(Verb::Check, self.version).map_err(|e| whole(self.told(e)))?;
        let prev = match prev {
            Some(prev) => {
                self.answer(prev).map_err(|e| whole(self.told(e.context("the recorded result"))))?.0
            }
            None => {
                let msg = format!(
                    "network `{}`: CHECK of an attachment that was not added or is deleted",
                    self.name
                );
                return Err(whole(CniError::new(code::CHECK_FAILED, msg)));
            }
        };
        let place = at.detach();
        for (n, step) in self.steps.iter().enumerate() {
            self.call(Verb::Check, n, step, self.derived(Some(&prev)), Place::of(&place), before)?;
        }
        Ok(())
    }

    /// In order, up to the first plugin that is not ready, so that its code survives. Versions without STATUS are
    /// taken as ready.
    ///
    /// # Errors
    /// The error of the plugin that stopped the run.
    pub fn status(&self, before: Before<'_>) -> Result<(), Stopped> {
        if !self.version.has_status() {
            return Ok(());
        }
        for (n, step) in self.steps.iter().enumerate() {
            let derived = Derived { runtime: None, ..self.derived(None) };
            self.call(Verb::Status, n, step, derived, Place::default(), before)?;
        }
        Ok(())
    }

    /// First DEL for each attachment known to be dead, then GC of every plugin. Goes on past errors and returns them
    /// all.
    pub fn gc(&self, keep: &[AttachmentId], stale: &[Stale], before: Before<'_>) -> Vec<Stopped> {
        if self.disable_gc {
            return Vec::new();
        }
        let dead = stale.iter().filter(|s| !keep.contains(&s.at.id()));
        let mut failed: Vec<Stopped> =
            dead.filter_map(|s| self.del(&s.at, s.prev.as_deref(), &mut *before).err()).collect();
        if self.version.has_gc() {
            for (n, step) in self.steps.iter().enumerate() {
                let derived = Derived { runtime: None, valid_attachments: Some(keep), ..self.derived(None) };
                failed.extend(self.call(Verb::Gc, n, step, derived, Place::default(), &mut *before).err());
            }
        }
        failed
    }

    fn derived<'s>(&'s self, prev_result: Option<&'s RawValue>) -> Derived<'s> {
        Derived {
            name: self.name,
            version: self.version,
            runtime: Some(self.runtime),
            prev_result,
            valid_attachments: None,
        }
    }

    fn call(
        &self,
        verb: Verb,
        n: usize,
        step: &Step,
        derived: Derived<'_>,
        place: Place<'_>,
        before: Before<'_>,
    ) -> Result<Vec<u8>, Stopped> {
        let (conf, delegate) = step;
        before(verb, n, conf).map_err(|error| Stopped { at: n, plugin: conf.kind.to_string(), error })?;
        let invocation = Invocation {
            verb,
            container: place.container,
            netns: place.netns,
            ifname: place.ifname,
            args: place.args,
            path: self.path,
            config: derived.bytes(conf),
            deadline: self.deadline.min(Instant::now() + self.each),
        };
        let answer = delegate.call(&invocation);
        if verb == Verb::Check && answer.as_ref().is_err_and(is_not_offered) {
            tracing::info!(network = %self.name, plugin = %conf.kind, "the plugin has no CHECK, so it is passed over");
            return Ok(Vec::new());
        }
        answer.map_err(|e| self.stopped(verb, n, step, e))
    }

    /// An answer in the configuration's version. In that version already it stays the bytes it was; only another
    /// version, or none, is written anew (CNI-RUN-ADD-4, CNI-RUN-ADD-5).
    fn answer(&self, bytes: &[u8]) -> Result<(Box<RawValue>, CniResult), CniError> {
        let (result, version) = CniResult::parse(bytes, self.version)?;
        if version != self.version {
            return Ok((raw(result.to_json(self.version)?), result));
        }
        let mut keys: RawObject =
            serde_json::from_slice::<Option<RawObject>>(bytes).ok().flatten().unwrap_or_default();
        keys.set("cniVersion", &version.as_str());
        Ok((raw(keys.to_vec()), result))
    }

    fn nothing(&self) -> (Box<RawValue>, CniResult) {
        let mut keys = RawObject::default();
        keys.set("cniVersion", &self.version.as_str());
        (raw(keys.to_vec()), CniResult::default())
    }

    /// DEL does without rather than fail: a result that is gone, torn or of another family is left out
    /// (CNI-RUN-DEL-3), and versions before 0.4.0 never had one.
    fn prev_for_del(&self, prev: Option<&[u8]>) -> Option<Box<RawValue>> {
        let prev = prev.filter(|_| self.version.has_check())?;
        Some(self.answer(prev).ok()?.0)
    }

    fn stopped(&self, verb: Verb, n: usize, (conf, _): &Step, error: CniError) -> Stopped {
        let place = format!("network `{}`, plugin `{}`, {}", self.name, conf.kind, verb.as_str());
        Stopped { at: n, plugin: conf.kind.to_string(), error: error.context(&place) }
    }

    fn told(&self, error: CniError) -> CniError {
        error.context(&format!("network `{}`", self.name))
    }
}

/// All errors as one: the code of the first, every sentence.
///
/// # Errors
/// If there is one.
pub fn joined(failed: &[Stopped]) -> Result<(), CniError> {
    let Some((first, others)) = failed.split_first() else { return Ok(()) };
    let mut all = first.error.clone();
    for other in others {
        let gap = if all.details.is_empty() { "" } else { "; " };
        all.details = format!("{}{gap}{}", all.details, other.error);
    }
    Err(all)
}

fn raw(bytes: Vec<u8>) -> Box<RawValue> {
    let text = String::from_utf8(bytes).expect("JSON that we wrote is UTF-8");
    RawValue::from_string(text).expect("JSON that we wrote is JSON")
}
