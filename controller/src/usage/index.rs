//! The index of use: every pod that counts, the definitions it uses, and what changed since somebody asked last.
//!
//! Pure data. It takes events as a watch tells them, twice and out of order too, and after a complete list it is what a
//! fresh start would be. Names of namespaces and sets of networks are kept once for all pods that have them.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use manifold_crds::NadRef;

use crate::usage::pod::Uid;
use crate::usage::users::{Named, Users};

/// How many pods that have gone are remembered, so that a late event does not bring one back.
const REMEMBERED: usize = 4096;

/// A pod as it is told to the index.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) uid: Uid,
    pub(super) namespace: String,
    pub(super) name: String,
    /// Grows with every change; 0 is unknown, and believed.
    pub(super) version: u64,
    pub(super) networks: Vec<NadRef>,
    /// It asked for networks and has no status yet.
    pub(super) awaits_status: bool,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    pods: HashMap<Uid, Entry>,
    users: HashMap<NadRef, Users>,
    namespaces: HashSet<Arc<str>>,
    sets: HashSet<Arc<[NadRef]>>,
    awaiting: HashSet<Uid>,
    gone: Gone,
    /// Which list an entry was in last.
    list: u32,
    is_listing: bool,
    is_complete: bool,
    changed: BTreeSet<NadRef>,
}

#[derive(Debug)]
struct Entry {
    namespace: Arc<str>,
    name: Box<str>,
    networks: Arc<[NadRef]>,
    version: u64,
    list: u32,
}

impl Entry {
    fn named(&self, uid: Uid) -> Named {
        (format!("{}/{}", self.namespace, self.name), uid)
    }
}

impl Index {
    /// A list of all pods begins. What is known stays until it is complete.
    pub(super) fn list_begins(&mut self) {
        self.list = self.list.wrapping_add(1);
        self.is_listing = true;
    }

    /// A list is right whatever events said before, even where its versions are lower: the API server's store may have been
    /// put back to an earlier day.
    pub(super) fn listed(&mut self, pod: Seen) {
        self.gone.forget(pod.uid);
        self.put(pod);
    }

    /// Whoever was not in the list is no more.
    pub(super) fn list_ends(&mut self) {
        if !self.is_listing {
            return;
        }
        let list = self.list;
        let missing = self.pods.iter().filter(|(_, entry)| entry.list != list);
        let missing: Vec<(Uid, u64)> = missing.map(|(uid, entry)| (*uid, entry.version)).collect();
        for (uid, version) in missing {
            self.take(uid);
            self.gone.push(uid, version);
        }
        self.is_listing = false;
        self.is_complete = true;
    }

    /// A pod was made or changed.
    pub(super) fn set(&mut self, pod: Seen) {
        let known = self.pods.get(&pod.uid).map(|entry| entry.version).or_else(|| self.gone.version(pod.uid));
        if pod.version == 0 || known.is_none_or(|known| known < pod.version) {
            self.put(pod);
        }
    }

    /// A pod has gone, or ended.
    pub(super) fn remove(&mut self, uid: Uid, version: u64) {
        let is_late = |entry: &Entry| version != 0 && entry.version > version;
        if self.pods.get(&uid).is_some_and(is_late) {
            return;
        }
        self.take(uid);
        self.gone.push(uid, version);
    }

    /// Whether there was a complete list. Before it, no count means anything.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    pub(super) fn pods(&self) -> usize {
        self.pods.len()
    }

    /// Definitions that have users now.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.users.len()
    }

    /// The definitions whose users changed since the last call.
    pub(super) fn take_changed(&mut self) -> BTreeSet<NadRef> {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn count(&self, nad: &NadRef) -> u64 {
        self.users.get(nad).map_or(0, Users::count)
    }

    /// How many pods use it, and the first of them by name.
    pub(super) fn users(&mut self, nad: &NadRef) -> (u64, Vec<String>) {
        let Some(users) = self.users.get_mut(nad) else { return (0, Vec::new()) };
        if users.wants_names() {
            let of_nad = self.pods.iter().filter(|(_, entry)| entry.networks.contains(nad));
            users.refill(of_nad.map(|(uid, entry)| entry.named(*uid)));
        }
        (users.count(), users.names())
    }

    /// The users from other namespaces than the definition's own, all of them counted, the first `most` named. It looks
    /// through all pods, so it is asked only for definitions that are being deleted.
    pub(super) fn foreign_users(&self, nad: &NadRef, most: usize) -> (u64, Vec<String>) {
        let home = nad.namespace.as_str();
        let (mut count, mut names) = (0, BTreeSet::new());
        for (uid, entry) in &self.pods {
            if &*entry.namespace != home && entry.networks.contains(nad) {
                count += 1;
                names.insert(entry.named(*uid));
                if names.len() > most {
                    names.pop_last();
                }
            }
        }
        (count, names.into_iter().map(|(name, _)| name).collect())
    }

    /// The pods that asked for networks and have no status.
    pub(super) fn awaiting(&self) -> &HashSet<Uid> {
        &self.awaiting
    }

    /// Namespace and name.
    pub(super) fn pod(&self, uid: Uid) -> Option<(&str, &str)> {
        self.pods.get(&uid).map(|entry| (&*entry.namespace, &*entry.name))
    }

    fn put(&mut self, pod: Seen) {
        let Seen { uid, namespace, name, version, networks, awaits_status } = pod;
        match awaits_status {
            true => self.awaiting.insert(uid),
            false => self.awaiting.remove(&uid),
        };
        if let Some(entry) = self.pods.get_mut(&uid)
            && *entry.networks == *networks
        {
            (entry.version, entry.list) = (version, self.list);
            return;
        }
        self.forget(uid);
        let entry = Entry {
            namespace: shared(&mut self.namespaces, &*namespace),
            name: name.into_boxed_str(),
            networks: shared(&mut self.sets, &*networks),
            version,
            list: self.list,
        };
        for nad in &networks {
            self.users.entry(nad.clone()).or_default().add(entry.named(uid));
            self.changed.insert(nad.clone());
        }
        self.pods.insert(uid, entry);
    }

    fn take(&mut self, uid: Uid) {
        self.awaiting.remove(&uid);
        self.forget(uid);
    }

    fn forget(&mut self, uid: Uid) {
        let Some(entry) = self.pods.remove(&uid) else { return };
        let named = entry.named(uid);
        for nad in entry.networks.iter() {
            if let Some(users) = self.users.get_mut(nad) {
                users.remove(&named);
                if users.count() == 0 {
                    self.users.remove(nad);
                }
            }
            self.changed.insert(nad.clone());
        }
        release(&mut self.namespaces, entry.namespace);
        release(&mut self.sets, entry.networks);
    }
}

/// One copy for everyone who has the same.
fn shared<T: ?Sized + Eq + std::hash::Hash>(all: &mut HashSet<Arc<T>>, value: &T) -> Arc<T>
where
    for<'a> Arc<T>: From<&'a T>,
{
    if let Some(known) = all.get(value) {
        return Arc::clone(known);
    }
    let new: Arc<T> = Arc::from(value);
    all.insert(Arc::clone(&new));
    new
}

/// The last one drops the copy too.
fn release<T: ?Sized + Eq + std::hash::Hash>(all: &mut HashSet<Arc<T>>, value: Arc<T>) {
    if Arc::strong_count(&value) == 2 {
        all.remove(&*value);
    }
}

/// The pods that have gone last.
#[derive(Debug, Default)]
struct Gone {
    versions: HashMap<Uid, u64>,
    order: VecDeque<Uid>,
}

impl Gone {
    fn version(&self, uid: Uid) -> Option<u64> {
        self.versions.get(&uid).copied()
    }

    fn forget(&mut self, uid: Uid) {
        self.versions.remove(&uid);
    }

    fn push(&mut self, uid: Uid, version: u64) {
        if self.versions.insert(uid, version).is_none() {
            self.order.push_back(uid);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.versions.remove(&oldest);
        }
    }
}
