//! The thread that keeps the folders: woken by changes of folders, by news from the API server, and by time.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use manifold_crds::NadRef;
use manifold_ledger::installed;
use tokio::sync::watch;

use super::config::Config;
use super::credentials::{self, Shim};
use super::definition::{LEAVE, Seen};
use super::identity::Identity;
use super::keep::{Did, Keeper, Round, Told};
use super::metrics::{File, Metrics, Written};
use super::node_object::Facts;
use crate::events::{About, Events, Reason, Severity};

/// Without any news.
const SLOW: Duration = Duration::from_secs(60);

/// What the thread reads before each round.
#[derive(Debug)]
pub(super) struct News {
    pub(super) seen: watch::Receiver<Seen>,
    pub(super) shim: watch::Receiver<Option<Shim>>,
    pub(super) identity: watch::Receiver<Option<Identity>>,
    pub(super) node: watch::Receiver<Option<Option<Facts>>>,
    pub(super) built_in: watch::Receiver<Option<String>>,
}

/// What stands in the way, for `/readyz`.
pub(super) type Missing = Arc<Mutex<Vec<String>>>;

pub(super) struct Rounds {
    pub(super) config: Config,
    pub(super) keeper: Keeper,
    pub(super) news: News,
    pub(super) missing: Missing,
    pub(super) metrics: Metrics,
    pub(super) events: Events,
    /// The mark that was answered.
    pub(super) uninstalled: Option<String>,
    pub(super) warned_of_folders: bool,
    pub(super) runtime: tokio::runtime::Handle,
}

impl Rounds {
    /// Returns when nobody wakes it any more.
    pub(super) fn run(mut self, woken: &Receiver<()>) {
        loop {
            let mark = self.news.seen.borrow().uninstall.clone();
            let again = match mark {
                Some(mark) => {
                    self.uninstall(&mark);
                    None
                }
                // A node that has given its folders back must not begin anew before it knows of the mark.
                None if self.must_ask_first() => None,
                None => {
                    self.uninstalled = None;
                    self.round()
                }
            };
            match woken.recv_timeout(again.unwrap_or(SLOW)) {
                Err(RecvTimeoutError::Disconnected) => return,
                _ => while woken.try_recv().is_ok() {},
            }
        }
    }

    fn must_ask_first(&self) -> bool {
        let first = !self.news.seen.borrow().told && !self.keeper.has_installed();
        if first {
            let sentence = "it is not known yet whether Manifold is to be installed here".to_owned();
            *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = vec![sentence];
        }
        first
    }

    fn round(&mut self) -> Option<Duration> {
        let told = self.told();
        let Round { did, missing, again } = self.keeper.round(&told, Instant::now());
        self.metrics.serves(missing.is_empty());
        let mut known = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != missing {
            match missing.is_empty() {
                true => tracing::info!("this node is ready to attach pods"),
                false => tracing::info!("not ready: {}", missing.join("; ")),
            }
            *known = missing;
        }
        drop(known);
        for one in did {
            self.tell(&one);
        }
        self.warn_of_folders();
        again
    }

    /// Once in a life, and when it is known for whom the event is.
    fn warn_of_folders(&mut self) {
        let platform = self.news.node.borrow().as_ref().and_then(|facts| facts.as_ref()?.platform);
        let Some(platform) = platform.filter(|_| !self.warned_of_folders) else { return };
        self.warned_of_folders = true;
        if let Some(sentence) = platform.warning(&self.config.host) {
            self.event(Reason::FoldersNotRead, sentence);
        }
    }

    fn told(&self) -> Told {
        let tried = self.news.shim.borrow().is_some();
        let state = self.config.host.state();
        Told {
            nad: self.news.seen.borrow().nad.clone(),
            credentials: credentials::on_disk(&state, jiff::Timestamp::now(), tried),
            runtime: self.news.node.borrow().clone().map(|facts| facts.and_then(|facts| facts.runtime)),
            built_in: self.news.built_in.borrow().clone(),
        }
    }

    fn tell(&self, did: &Did) {
        let conf = self.config.host.conf_dir.display();
        let bin = self.config.host.bin_dir.display();
        match did {
            Did::Installed(name) => {
                tracing::info!("`{bin}/{name}` is installed");
                self.metrics.wrote(File::Executable, Written::Installed);
            }
            Did::Mirrored => {
                tracing::info!("the default network is mirrored to disk");
                self.metrics.wrote(File::Mirror, Written::Installed);
            }
            Did::WroteConfiguration(name) => {
                tracing::info!("`{conf}/{name}` is written");
                self.metrics.wrote(File::Configuration, Written::Installed);
            }
            Did::RestoredExecutable(name) => {
                self.metrics.wrote(File::Executable, Written::Restored);
                let sentence = format!(
                    "`{bin}/{name}` was restored because another program had changed it; find the program that writes to that folder"
                );
                self.event(Reason::ExecutableRestored, sentence);
            }
            Did::RestoredConfiguration(name, undone) => {
                self.metrics.wrote(File::Configuration, Written::Restored);
                self.metrics.undone_by(undone.rival);
                let sentence = format!("`{conf}/{name}` was restored because {}", undone.with_remedy());
                self.event(Reason::ConfigurationRestored, sentence);
            }
        }
    }

    fn event(&self, reason: Reason, sentence: String) {
        tracing::warn!("{sentence}");
        let Some(own) = self.news.identity.borrow().clone() else { return };
        let about = About::Node { uid: own.uid.unwrap_or_else(|| own.node.clone()), name: own.node };
        self.post(about, Severity::Warning, reason, sentence);
    }

    fn post(&self, about: About, severity: Severity, reason: Reason, sentence: String) {
        let events = self.events.clone();
        self.runtime.spawn(async move { events.tell(&about, severity, reason, &sentence).await });
    }

    /// Gives the folders back, once for each mark, and says how it went.
    fn uninstall(&mut self, mark: &str) {
        self.metrics.serves(false);
        *self.missing.lock().unwrap_or_else(PoisonError::into_inner) =
            vec!["Manifold is uninstalled from this node".to_owned()];
        if self.uninstalled.as_deref() == Some(mark) {
            return;
        }
        let Some(own) = self.news.identity.borrow().clone() else { return };
        let (is_done, sentence) = self.give_back(mark.starts_with(LEAVE), &format!("{} [{mark}]", own.node));
        match is_done {
            true => tracing::info!("{sentence}"),
            false => tracing::warn!("{sentence}"),
        }
        let (severity, reason) = match is_done {
            true => (Severity::Normal, Reason::NodeUninstalled),
            false => (Severity::Warning, Reason::NodeNotUninstalled),
        };
        let uid = self.news.seen.borrow().uid.clone();
        if let Ok(reference) = NadRef::new(&self.config.namespace, &self.config.default_network.name) {
            self.post(About::Definition { reference, uid }, severity, reason, sentence);
        }
        // Refused for its pods, it is tried again when some have gone.
        self.uninstalled = is_done.then(|| mark.to_owned());
    }

    fn give_back(&mut self, leave: bool, node: &str) -> (bool, String) {
        match installed::pods_with_networks(&self.config.host.state()) {
            Ok(pods) if !pods.is_empty() && !leave => {
                return (false, format!("{node}: {}", installed::refusal(&pods)));
            }
            Err(why) if !leave => return (false, format!("{node}: the ledger cannot be read: {why}")),
            _ => {}
        }
        match self.keeper.give_back() {
            Ok(done) if done.left.is_empty() => {
                (true, format!("{node}: the CNI folders are as they were found"))
            }
            Ok(done) => (
                true,
                format!("{node}: the CNI folders are restored except for this: {}", done.left.join("; ")),
            ),
            Err(why) => (false, format!("{node}: the CNI folders cannot be restored: {why}")),
        }
    }
}
