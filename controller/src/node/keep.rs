//! Keeps the node's CNI folders as they should be: executables, the mirrored default network, the configuration.
//!
//! One round looks at everything and mends what is not right; it is cheap where nothing is wrong. The configuration is
//! written for the first time when the node can serve an ADD, and stays from then on: it is restored whatever else is wrong, so
//! that no pod ever starts half-connected. Who undoes what we restore meets a rhythm that slows down, not a loop.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use manifold_cni::{Inlined, PluginType, Version};
use manifold_crds::nad_status::CONFIGURATION;
use manifold_crds::{Nad, NadRef};
use manifold_ledger::content::Content;
use manifold_ledger::durable;
use manifold_ledger::installed::{self, GivenBack, Installed};
use manifold_plan::{Files, Policy};

use super::config::{Config, Host, PodAnnotations};
use super::denied::{self, Folder};
use super::rival::{self, Undone};
use super::{conflist, default_network, executables};
use crate::config::DefaultSource;
use crate::pace::{self, Pace};

/// The mirror, below the state folder.
pub const MIRROR: &str = "cluster-wide-network.json";
/// No configuration is near this.
const FILE_MOST: u64 = 1 << 20;

/// What the API server told, as far as it did.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The definition of the default network.
    pub nad: Option<Nad>,
    /// Whether the shim has credentials that were tried.
    pub credentials: bool,
    /// What the Node object says of the runtime; the outer `None`: it was not asked yet.
    pub runtime: Option<Option<String>>,
    /// The text of the built-in network, where that is the source.
    pub built_in: Option<String>,
}

/// What a round did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    pub did: Vec<Did>,
    /// What stands in the way of serving, a sentence each.
    pub missing: Vec<String>,
    /// When something that is wrong is tried again, if nothing wakes us before.
    pub again: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Did {
    Installed(String),
    RestoredExecutable(String),
    Mirrored,
    WroteConfiguration(String),
    /// The name, and what was wrong.
    RestoredConfiguration(String, Undone),
}

pub struct Keeper {
    config: Config,
    policy: Policy,
    record: Installed,
    executables: Pace,
    conflist: Pace,
    /// Names that were written in this life: what is written again was undone by somebody.
    installed: bool,
    taken: Vec<String>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("record", &self.record).finish_non_exhaustive()
    }
}

impl Keeper {
    pub fn new(config: Config) -> anyhow::Result<Self> {
        let policy = config.policy()?;
        let state = config.host.state();
        durable::folder(&state, 0o700)?;
        let known = Installed::read(&state)?.unwrap_or_default();
        let record = Installed {
            bin_dir: config.host.bin_dir.clone(),
            conf_dir: config.host.conf_dir.clone(),
            ..known
        };
        let (executables, conflist) = (Pace::default(), Pace::default());
        Ok(Self { config, policy, record, executables, conflist, installed: false, taken: Vec::new() })
    }

    /// Whether anything is there that was put by an earlier round, of this life or another.
    pub fn has_installed(&self) -> bool {
        !self.record.files.is_empty()
    }

    /// Gives the folders back as they were found. From then on this keeper would begin anew.
    pub fn give_back(&mut self) -> io::Result<GivenBack> {
        let done =
            std::mem::take(&mut self.record).give_back(&self.config.host.state(), &self.config.host.root);
        let Config { host, .. } = &self.config;
        self.record = Installed::read(&host.state())?.unwrap_or_else(|| Installed {
            bin_dir: host.bin_dir.clone(),
            conf_dir: host.conf_dir.clone(),
            ..Installed::default()
        });
        self.installed = false;
        done
    }

    /// Looks once, and mends.
    pub fn round(&mut self, told: &Told, now: Instant) -> Round {
        let mut round = Round::default();
        let result = self.executables(now, &mut round);
        self.settle(result, "the executables cannot be installed", Folder::of_plugins, &mut round);
        let files = conf_dir(&self.config.host.conf());
        let mirror = self.mirror(told, &files, &mut round);
        let served = self.judge(mirror.as_ref(), files.clone(), told, &mut round);
        let by_runtime =
            self.config.cni_version.fixed().is_none() || self.config.pod_annotations == PodAnnotations::Auto;
        if told.runtime.is_none() && by_runtime {
            round
                .missing
                .push("what the Node object says of the container runtime is not known yet".to_owned());
        }
        if !told.credentials {
            round.missing.push("the plugin has no credentials yet that the API server accepts".to_owned());
        }
        let result = self.conflist(served.as_ref(), &files, told, now, &mut round);
        self.settle(result, "the configuration cannot be written", Folder::of_configurations, &mut round);
        round
    }

    fn settle(&self, result: io::Result<()>, what: &str, of: fn(&Host) -> Folder, round: &mut Round) {
        let Err(error) = result else { return };
        let host = &self.config.host;
        let why = denied::explain_first(&[of(host), Folder::of_state(host)], &error);
        round.missing.push(format!("{what}: {}", why.unwrap_or_else(|| error.to_string())));
        round.again = Some(round.again.map_or(pace::SOON, |again| again.min(pace::SOON)));
    }

    fn executables(&mut self, now: Instant, round: &mut Round) -> io::Result<()> {
        let delay = self.executables.delay(now, pace::SLOW);
        if self.installed && delay > Duration::ZERO {
            round.again = Some(delay);
        }
        let links = self.config.executable.link_names();
        if self.installed && delay > Duration::ZERO && !self.is_installed() {
            round.missing.push("another program keeps changing the executables".to_owned());
            return Ok(());
        }
        let Config { host, executable, .. } = &self.config;
        let looked = executables::install(host, &executable.source, &links, &mut self.record)?;
        if self.installed && !looked.written.is_empty() {
            self.executables.done(now);
        }
        let did = if self.installed { Did::RestoredExecutable } else { Did::Installed };
        round.did.extend(looked.written.into_iter().map(did));
        if looked.taken != self.taken {
            tracing::warn!(
                "these names belong to other plugins and are left alone: {}",
                looked.taken.join(", ")
            );
            self.taken = looked.taken;
        }
        self.installed = true;
        Ok(())
    }

    fn is_installed(&self) -> bool {
        let path = self.config.host.bin().join(super::EXECUTABLE);
        let (there, source) = (fs::metadata(path), fs::metadata(&self.config.executable.source));
        there.is_ok_and(|there| there.is_file() && source.is_ok_and(|source| source.len() == there.len()))
    }

    /// Brings the mirror up to date; the definition as the shim has it now.
    fn mirror(&self, told: &Told, files: &Files, round: &mut Round) -> Option<Nad> {
        let state = self.config.host.state();
        let known = read_mirror(&state);
        // On its way out it would refuse every pod; it is made anew in a moment, and what is on disk holds until then.
        let nad = told.nad.as_ref().filter(|nad| !nad.is_terminating()).cloned();
        let Some(nad) = nad.or_else(|| self.before_the_first(told, known.as_ref())) else { return known };
        let nad = default_network::complete(&nad, files, told.built_in.as_deref());
        if self.needs_built_in(&nad) && known.is_some() {
            return known;
        }
        if known.as_ref() == Some(&nad) {
            return known;
        }
        // A definition that no pod could start with does not take the place of one that works.
        if let (Some(known), Err(why)) = (&known, self.try_out(&nad, files.clone(), told))
            && self.try_out(known, files.clone(), told).is_ok()
        {
            round.missing.push(format!("the default network stays as it was: {why}"));
            return Some(known.clone());
        }
        let bytes = serde_json::to_vec_pretty(&nad).expect("names and texts always serialise");
        match durable::put(&state, MIRROR, &bytes, 0o600) {
            Ok(()) => round.did.push(Did::Mirrored),
            Err(why) => round.missing.push(format!("the default network cannot be mirrored to disk: {why}")),
        }
        read_mirror(&state)
    }

    /// The controller needs a network to start, and it makes the definition: what it will say is known here, so no node
    /// waits for it. Who keeps the definition by hand is waited for.
    fn before_the_first(&self, told: &Told, known: Option<&Nad>) -> Option<Nad> {
        let default = &self.config.default_network;
        let reference = || NadRef::new(&self.config.namespace, &default.name).ok();
        match (default.source, known.cloned()) {
            (DefaultSource::Unmanaged, _) => None,
            (DefaultSource::BuiltIn, _) if told.built_in.is_none() => None,
            (DefaultSource::BuiltIn, Some(known)) => Some(Nad { config: None, ..known }),
            (DefaultSource::Existing, Some(known)) => Some(known),
            (DefaultSource::BuiltIn, None) => reference().map(|reference| Nad::new(reference, None)),
            (DefaultSource::Existing, None) => {
                let mut nad = Nad::new(reference()?, None);
                let named = default.configuration.iter().map(|name| (CONFIGURATION.to_owned(), name.clone()));
                nad.annotations.extend(named);
                Some(nad)
            }
        }
    }

    fn needs_built_in(&self, nad: &Nad) -> bool {
        self.config.default_network.source == DefaultSource::BuiltIn && nad.config.is_none()
    }

    fn try_out(&self, nad: &Nad, files: Files, told: &Told) -> Result<default_network::Served, String> {
        let host = &self.config.host;
        let on_disk = |kind: &PluginType| manifold_cni::find(kind, &[host.bin()]).is_ok();
        default_network::judge(nad, files, &self.policy, self.version(told), on_disk, &host.bin_dir)
    }

    fn judge(
        &self,
        mirror: Option<&Nad>,
        files: Files,
        told: &Told,
        round: &mut Round,
    ) -> Option<default_network::Served> {
        let Some(nad) = mirror else {
            if self.config.default_network.source == DefaultSource::BuiltIn && told.built_in.is_none() {
                round.missing.push("the node has no pod CIDR yet".to_owned());
                return None;
            }
            let name = &self.config.default_network.name;
            round.missing.push(format!("the definition `{}/{name}` is not known yet", self.config.namespace));
            return None;
        };
        if self.needs_built_in(nad) {
            round.missing.push("the node has no pod CIDR yet".to_owned());
            return None;
        }
        self.try_out(nad, files, told).inspect_err(|why| round.missing.push(why.clone())).ok()
    }

    fn version(&self, told: &Told) -> Version {
        conflist::version(self.config.cni_version, runtime_of(told))
    }

    fn conflist(
        &mut self,
        served: Option<&default_network::Served>,
        files: &Files,
        told: &Told,
        now: Instant,
        round: &mut Round,
    ) -> io::Result<()> {
        let text = match (served, &self.record.conflist) {
            (Some(served), _) if round.missing.is_empty() => {
                conflist::text(&self.config, runtime_of(told), &served.capabilities)
            }
            // Once written it stays, whatever is missing now.
            (_, Some(written)) => written.clone(),
            _ => return Ok(()),
        };
        let others: Vec<&str> = files.files.iter().map(|(name, _)| name.as_str()).collect();
        let name = conflist::name_before(others.iter().copied());
        let there: Vec<&str> = others.iter().copied().filter(|file| conflist::is_a_name(file)).collect();
        let folder = self.config.host.conf();
        let wrong = wrong(&folder, &there, &name, files, &text, self.record.conflist.as_deref());
        let Some(wrong) = wrong else { return Ok(()) };
        let is_news = !matches!(wrong, Wrong::Undone(_));
        let delay = if is_news { Duration::ZERO } else { self.conflist.delay(now, pace::RIVAL) };
        if delay > Duration::ZERO {
            round.again = Some(round.again.map_or(delay, |again| again.min(delay)));
            let Wrong::Undone(what) = wrong else { return Ok(()) };
            round
                .missing
                .push(format!("another program keeps undoing the configuration: {}", what.with_remedy()));
            return Ok(());
        }
        let before = self.record.conflist.clone().unwrap_or_default();
        self.write(&there, &name, &text)?;
        match wrong {
            Wrong::Undone(what) => {
                self.conflist.done(now);
                rival::clear(&self.config.host.conf(), &[&text, &before]);
                round.did.push(Did::RestoredConfiguration(name, what));
            }
            Wrong::News => round.did.push(Did::WroteConfiguration(name)),
        }
        Ok(())
    }

    /// There is never none and never two: an older name becomes the new one by a rename.
    fn write(&mut self, there: &[&str], name: &str, text: &str) -> io::Result<()> {
        let (state, root, folder) =
            (self.config.host.state(), self.config.host.root.clone(), self.config.host.conf());
        // Read back before anything is touched: nothing that a runtime cannot read is ever written.
        Inlined::parse(text.as_bytes()).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.why))?;
        durable::folder(&folder, 0o755)?;
        let mut olds = there.iter().filter(|old| **old != name);
        if let (false, Some(old)) = (there.contains(&name), olds.next()) {
            self.record.renamed(installed::Folder::Conf, old, name);
            self.record.save(&state)?;
            durable::rename(&folder, old, name)?;
        }
        self.record.note(&state, &root, installed::Folder::Conf, name, Content::Bytes(text.as_bytes()))?;
        self.record.conflist = Some(text.to_owned());
        self.record.save(&state)?;
        let is_right = fs::read(folder.join(name)).is_ok_and(|bytes| bytes == text.as_bytes());
        if !is_right {
            durable::put(&folder, name, text.as_bytes(), 0o600)?;
        }
        for old in olds {
            fs::remove_file(folder.join(old))?;
        }
        Ok(())
    }
}

/// What the Node object says of the runtime, as far as it may be known.
fn runtime_of(told: &Told) -> Option<&str> {
    told.runtime.as_ref().and_then(|runtime| runtime.as_deref())
}

enum Wrong {
    /// It is written for the first time, or says something else now.
    News,
    /// Somebody did it.
    Undone(Undone),
}

fn wrong(
    folder: &Path,
    there: &[&str],
    name: &str,
    files: &Files,
    text: &str,
    written: Option<&str>,
) -> Option<Wrong> {
    let content = |file: &str| files.files.iter().find(|(f, _)| f == file).map(|(_, bytes)| bytes.as_slice());
    let Some(written) = written else { return Some(Wrong::News) };
    match there {
        [] => {
            let configurations = files.files.iter().map(|(_, bytes)| bytes.as_slice());
            Some(Wrong::Undone(Undone::gone(folder, configurations, SystemTime::now())))
        }
        [one] if *one == name => match content(one) {
            Some(bytes) if bytes == text.as_bytes() => None,
            Some(bytes) if bytes == written.as_bytes() => Some(Wrong::News),
            other => Some(Wrong::Undone(Undone::changed(other.unwrap_or_default()))),
        },
        [_] => Some(Wrong::Undone(Undone::new("it was no longer the first in the folder"))),
        _ => Some(Wrong::Undone(Undone::new("there was more than one copy of it"))),
    }
}

/// The mirror as it is on disk.
pub fn read_mirror(state_dir: &Path) -> Option<Nad> {
    serde_json::from_slice(&fs::read(state_dir.join(MIRROR)).ok()?).ok()
}

/// The configurations of the folder, with the plugins that lie in folders beside them.
fn conf_dir(folder: &Path) -> Files {
    let mut files = Files::new(read_all(folder, conflist::is_configuration));
    let beside: BTreeMap<_, _> = (files.with_folders().into_iter())
        .filter(|network| !network.contains('/') && network != "..")
        .map(|network| {
            let plugins = read_all(&folder.join(&network), |file| file.ends_with(".conf"));
            (network, plugins)
        })
        .collect();
    files.beside = beside;
    files
}

fn read_all(folder: &Path, takes: impl Fn(&str) -> bool) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|e| Some(e.ok()?.path()));
    let read = |path: std::path::PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        let fits = takes(&name) && fs::metadata(&path).is_ok_and(|m| m.is_file() && m.len() <= FILE_MOST);
        Some((name, if fits { fs::read(&path).ok()? } else { return None }))
    };
    let mut files: Vec<_> = entries.filter_map(read).collect();
    files.sort();
    files
}

#[cfg(test)]
#[path = "keep_tests.rs"]
mod tests;
