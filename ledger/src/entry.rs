//! The entry of one sandbox: all that DEL, CHECK, GC and the late status need, and nothing that must be looked up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use manifold_cni::{ContainerId, IfName, NetworkName, PluginType, Version};
use serde::{Deserialize, Serialize};

use super::{BootId, Exact, Unpublished, Uptime};
use crate::executable::ExecutableFile;
use crate::netns_id::NetnsId;

/// How much older than the call of GC the runtime's list of what is alive may be: it is made first, and stale attachments are
/// taken down in between.
pub const LIST_SECONDS: u64 = 120;

/// One sandbox. Fields marked *late* change after the durable write and are kept outside the plan on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub boot: BootId,
    pub container: ContainerId,
    /// Absent where the runtime is no Kubernetes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodIdentity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<Netns>,
    /// Seconds since 1970, for people; and to tell which pods came later, where nothing is lost if the clock was changed.
    pub created: u64,
    /// The name of the configuration under which the runtime called: GC clears by it (F-RUN-6).
    pub config_name: NetworkName,
    /// In the order of ADD, the default network first.
    pub attachments: Vec<Recorded>,
    /// Late: the text for the network-status annotation, predicted or real.
    #[serde(skip)]
    pub status_text: Option<String>,
    /// Late.
    #[serde(skip)]
    pub status: Status,
    /// Late.
    #[serde(skip)]
    pub stage: Stage,
    /// Late: when ADD answered with success. Absent in entries of older releases.
    #[serde(skip)]
    pub answered: Option<Uptime>,
    /// Late: how often DEL failed.
    #[serde(skip)]
    pub failures: Option<Failures>,
    /// Late: when the idle sweep first saw that the namespace is gone.
    #[serde(skip)]
    pub netns_gone: Option<Uptime>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodIdentity {
    pub namespace: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// The namespace as it was at ADD: the same path may name another one later (F-POD-8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Netns {
    pub path: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<NetnsId>,
}

/// One attachment: a network under an interface name, with its whole plugin list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// What people call it: `namespace/nad`, or the name of the CNI configuration.
    pub display: String,
    pub network: NetworkName,
    pub ifname: IfName,
    #[serde(default)]
    pub default: bool,
    #[serde(with = "version_text")]
    pub version: Version,
    #[serde(default)]
    pub disable_check: bool,
    #[serde(default)]
    pub disable_gc: bool,
    pub plugins: Vec<RecordedPlugin>,
    /// Values for `runtimeConfig`, before each plugin's capabilities choose among them.
    #[serde(default)]
    pub runtime: BTreeMap<String, Exact>,
    /// `CNI_ARGS` of ADD, and of CHECK and DEL.
    #[serde(default)]
    pub args_add: String,
    #[serde(default)]
    pub args_del: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_info_file: Option<PathBuf>,
    /// Late.
    #[serde(skip)]
    pub state: State,
    /// Late: the result of the last plugin, as it stood on its stdout or as route planning changed it since.
    #[serde(skip)]
    pub result: Option<Exact>,
    /// Never on disk: how long the plugins took in this call, for its outcome.
    #[serde(skip)]
    pub took: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedPlugin {
    #[serde(rename = "type")]
    pub kind: PluginType,
    pub found: Found,
    /// Derived for this attachment, without `prevResult`.
    pub config: Exact,
    /// What its calls execute, as ADD found it: itself, and the IPAM plugin that it runs. Absent in entries of older
    /// releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub executables: Vec<ExecutableFile>,
}

/// Where ADD found the plugin; DEL uses the same (F-NOD-3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Found {
    Bundled,
    Executed(PathBuf),
}

impl RecordedPlugin {
    /// Whether ADD executed anything for this plugin, and all of it is still the same file.
    pub fn is_unchanged(&self) -> bool {
        !self.executables.is_empty() && self.executables.iter().all(ExecutableFile::is_unchanged)
    }
}

impl Found {
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Bundled => None,
            Self::Executed(path) => Some(path),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// ADD has not answered yet, or never did.
    #[default]
    Adding,
    /// ADD answered with success.
    Complete,
    /// An undo or a DEL has begun.
    Deleting,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Planned,
    Attaching,
    Attached,
    Detaching,
    Detached,
}

impl Recorded {
    /// Whether a DEL is still owed. `Planned` counts: a power cut may have lost every state after the plan, and DEL
    /// of what never was is success by the standard.
    pub fn owes_del(&self) -> bool {
        self.state != State::Detached
    }
}

/// What became of the status annotation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// None is to be published (no Kubernetes).
    #[default]
    None,
    /// Not at the API server yet, and why.
    Unpublished {
        why: Unpublished,
    },
    Published,
    /// The pod was replaced or is gone.
    Superseded,
}

/// DELs that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    pub count: u32,
    pub first: Uptime,
    pub last: Uptime,
}

impl Failures {
    pub const PARK_COUNT: u32 = 3;
    pub const PARK_SECONDS: u64 = 600;

    /// One more failure.
    pub fn after(earlier: Option<Self>, now: Uptime) -> Self {
        match earlier {
            // A first failure in the future is of another boot: counting starts anew.
            Some(f) if f.first <= now => Self { count: f.count.saturating_add(1), first: f.first, last: now },
            _ => Self { count: 1, first: now, last: now },
        }
    }

    /// Whether the runtime, told of the error each time so far, now gets success (the sweep goes on hourly).
    pub fn is_parked(self, now: Uptime) -> bool {
        self.count >= Self::PARK_COUNT && now.since(self.first) >= Self::PARK_SECONDS
    }
}

impl Entry {
    /// Attachments that still owe a DEL, last first.
    pub fn owing(&self) -> impl Iterator<Item = (usize, &Recorded)> {
        self.attachments.iter().enumerate().rev().filter(|(_, a)| a.owes_del())
    }

    pub fn is_parked(&self, now: Uptime) -> bool {
        self.failures.is_some_and(|f| f.is_parked(now))
    }

    /// Whether ADD answered after `since` of this boot, or so shortly before that the list of what is alive may be older.
    pub fn is_younger_than_list(&self, boot: &BootId, since: Uptime) -> bool {
        let answered = self.answered.filter(|_| self.boot == *boot && self.stage == Stage::Complete);
        answered.is_some_and(|at| since.since(at) < LIST_SECONDS)
    }
}

mod version_text {
    use manifold_cni::Version;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(version: &Version, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(version.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Version, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: F-PLG-7, P-DEL-6
    #[test]
    fn failures_park_only_after_three_times_and_ten_minutes() {
        let at = |n: &[u64]| n.iter().fold(None, |f, t| Some(Failures::after(f, Uptime(*t)))).unwrap();
        assert!(!at(&[100, 200, 300]).is_parked(Uptime(300)), "too soon");
        assert!(!at(&[100, 900]).is_parked(Uptime(5000)), "too few");
        assert!(at(&[100, 200, 700]).is_parked(Uptime(700)));
    }

    // Proves: F-RUN-12
    #[test]
    fn an_entry_is_younger_than_the_list_when_its_add_answered_shortly_before_gc_or_after() {
        let mut entry = crate::sample::complete(1);
        let (boot, other) = (entry.boot.clone(), BootId::new("another-boot").unwrap());
        assert!(!entry.is_younger_than_list(&boot, Uptime(1000)), "an older release does not say");
        entry.answered = Some(Uptime(1000));
        for (since, young) in [(900, true), (1000, true), (1119, true), (1120, false), (9000, false)] {
            assert_eq!(entry.is_younger_than_list(&boot, Uptime(since)), young, "{since}");
            assert!(!entry.is_younger_than_list(&other, Uptime(since)));
        }
        entry.stage = Stage::Deleting;
        assert!(!entry.is_younger_than_list(&boot, Uptime(1000)));
    }

    #[test]
    fn failures_of_another_boot_start_anew() {
        let old = Failures { count: 9, first: Uptime(90_000), last: Uptime(99_000) };
        let new = Failures::after(Some(old), Uptime(50));
        assert_eq!((new.count, new.first), (1, Uptime(50)));
        assert!(!old.is_parked(Uptime(50)));
    }
}
