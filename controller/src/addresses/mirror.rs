//! What a feed tells, as a map: after a list it is what a fresh start would be, whatever was told before (IPAM-71).

use std::collections::{BTreeMap, BTreeSet};

use manifold_addresses::api::Stored;
use manifold_crds::ipam::{BlockCidr, Domain};

use crate::feed::Event;

/// What is kept of an object.
pub(crate) trait Kept {
    type Key: Ord + Clone;

    fn key(&self) -> Self::Key;

    /// `metadata.uid`: an object that was deleted and made again is another one.
    fn uid(&self) -> &str;

    /// `metadata.resourceVersion`.
    fn version(&self) -> &str;
}

/// Whether a version is older than another. Versions that are no numbers are believed.
pub(crate) fn is_older(version: &str, than: &str) -> bool {
    matches!((version.parse::<u64>(), than.parse::<u64>()), (Ok(version), Ok(than)) if version < than)
}

#[derive(Debug)]
pub(crate) struct Mirror<T: Kept> {
    all: BTreeMap<T::Key, T>,
    listed: BTreeSet<T::Key>,
    is_complete: bool,
    /// Since somebody asked last.
    has_changed: bool,
}

impl<T: Kept> Default for Mirror<T> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), listed: BTreeSet::new(), is_complete: false, has_changed: false }
    }
}

impl<T: Kept> Mirror<T> {
    pub(crate) fn take(&mut self, event: Event<T>) {
        match event {
            Event::ListBegins => self.listed.clear(),
            Event::Listed(object) => {
                self.listed.insert(object.key());
                self.insert(object);
            }
            Event::ListEnds => {
                let listed = std::mem::take(&mut self.listed);
                self.all.retain(|key, _| listed.contains(key));
                (self.is_complete, self.has_changed) = (true, true);
            }
            Event::Set(object) => self.set(object),
            Event::Gone(object) => self.remove(&object.key(), object.uid()),
            Event::Malformed | Event::Interrupted | Event::Resumed => {}
        }
    }

    /// As an answer says it, or a watch: later than what is known, or another object.
    pub(crate) fn set(&mut self, object: T) {
        let is_old = |known: &T| known.uid() == object.uid() && is_older(object.version(), known.version());
        if !self.all.get(&object.key()).is_some_and(is_old) {
            self.insert(object);
        }
    }

    /// Only if it is still the one that is known under this key.
    pub(crate) fn remove(&mut self, key: &T::Key, uid: &str) {
        if self.all.get(key).is_some_and(|known| known.uid() == uid) {
            self.all.remove(key);
            self.has_changed = true;
        }
    }

    fn insert(&mut self, object: T) {
        self.all.insert(object.key(), object);
        self.has_changed = true;
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether anything changed since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    pub(crate) fn get(&self, key: &T::Key) -> Option<&T> {
        self.all.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.all.values()
    }
}

/// The blocks of all domains.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    domains: BTreeMap<Domain, BTreeMap<BlockCidr, Stored>>,
    listed: BTreeSet<(Domain, BlockCidr)>,
    is_complete: bool,
}

impl Blocks {
    /// Which block changed, where only one did.
    pub(crate) fn take(&mut self, event: Event<Stored>) {
        match event {
            Event::ListBegins => self.listed.clear(),
            Event::Listed(stored) => {
                self.listed.insert((stored.spec.domain.clone(), stored.spec.cidr));
                self.insert(stored);
            }
            Event::ListEnds => {
                let listed = std::mem::take(&mut self.listed);
                for (domain, blocks) in &mut self.domains {
                    blocks.retain(|block, _| listed.contains(&(domain.clone(), *block)));
                }
                self.is_complete = true;
            }
            Event::Set(stored) => self.set(stored),
            Event::Gone(stored) => self.remove(&stored.spec.domain, stored.spec.cidr, &stored.uid),
            Event::Malformed | Event::Interrupted | Event::Resumed => {}
        }
    }

    /// As an answer says it, or a watch.
    pub(crate) fn set(&mut self, stored: Stored) {
        let is_old =
            |known: &Stored| known.uid == stored.uid && is_older(&stored.version.0, &known.version.0);
        if !self.of(&stored.spec.domain).get(&stored.spec.cidr).is_some_and(is_old) {
            self.insert(stored);
        }
    }

    pub(crate) fn remove(&mut self, domain: &Domain, block: BlockCidr, uid: &str) {
        if let Some(blocks) = self.domains.get_mut(domain)
            && blocks.get(&block).is_some_and(|known| known.uid == uid)
        {
            blocks.remove(&block);
        }
    }

    fn insert(&mut self, stored: Stored) {
        self.domains.entry(stored.spec.domain.clone()).or_default().insert(stored.spec.cidr, stored);
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    pub(crate) fn of(&self, domain: &Domain) -> &BTreeMap<BlockCidr, Stored> {
        static NONE: BTreeMap<BlockCidr, Stored> = BTreeMap::new();
        self.domains.get(domain).unwrap_or(&NONE)
    }

    pub(crate) fn domains(&self) -> impl Iterator<Item = (&Domain, &BTreeMap<BlockCidr, Stored>)> {
        self.domains.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct One(&'static str, &'static str, &'static str);

    impl Kept for One {
        type Key = &'static str;

        fn key(&self) -> &'static str {
            self.0
        }

        fn uid(&self) -> &str {
            self.1
        }

        fn version(&self) -> &str {
            self.2
        }
    }

    // Shows part of: IPAM-71
    #[test]
    fn after_a_list_nothing_else_is_known_and_what_is_old_or_another_changes_nothing() {
        let mut mirror = Mirror::default();
        let first = [Event::ListBegins, Event::Listed(One("a", "1", "5")), Event::Listed(One("b", "2", "6"))];
        first.into_iter().for_each(|event| mirror.take(event));
        assert!(!mirror.is_complete());
        mirror.take(Event::ListEnds);
        assert!(mirror.is_complete() && mirror.take_changed() && !mirror.take_changed());
        mirror.take(Event::Set(One("a", "1", "4")));
        mirror.take(Event::Gone(One("b", "9", "8")));
        assert_eq!(mirror.iter().cloned().collect::<Vec<_>>(), [One("a", "1", "5"), One("b", "2", "6")]);
        mirror.take(Event::Set(One("a", "3", "4")));
        assert_eq!(mirror.get(&"a"), Some(&One("a", "3", "4")), "made anew");
        [Event::ListBegins, Event::Listed(One("c", "4", "1")), Event::ListEnds]
            .into_iter()
            .for_each(|e| mirror.take(e));
        assert_eq!(mirror.iter().cloned().collect::<Vec<_>>(), [One("c", "4", "1")]);
    }
}
