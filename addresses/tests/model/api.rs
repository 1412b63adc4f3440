//! The API server: objects with versions, and requests that are lost, late or doubled.

use std::collections::BTreeMap;

use manifold_addresses::api::{ResourceVersion, Stored, Write};
use manifold_crds::ipam::BlockCidr;

use crate::rng::Rng;

pub(crate) type Blocks = BTreeMap<BlockCidr, Stored>;

/// What the sender hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Applied,
    Conflict,
    /// A timeout: it may have been applied, or will be.
    Unknown,
}

#[derive(Debug, Default)]
pub(crate) struct Server {
    pub(crate) blocks: Blocks,
    revision: u64,
    /// On their way still: when they land.
    late: Vec<(u64, Write)>,
    backup: Option<Blocks>,
    /// Planted: versions are not compared.
    pub(crate) ignores_versions: bool,
    /// Planted: a create of what exists replaces it.
    pub(crate) creates_over: bool,
    pub(crate) requests: u64,
}

/// How likely requests go wrong, one in so many; 0: never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    pub(crate) wrong: u64,
    pub(crate) kill: u64,
}

impl Server {
    /// Sends a write. `cut`: nothing gets through now; what was sent may do so later.
    pub(crate) fn send(
        &mut self,
        write: &Write,
        cut: bool,
        faults: Faults,
        now: u64,
        rng: &mut Rng,
    ) -> Answer {
        self.requests += 1;
        let goes_wrong = cut || rng.one_in(faults.wrong);
        if !goes_wrong {
            return self.apply(write);
        }
        let delay = 1 + rng.next() % [20, 300, 4000][rng.index(3)];
        let fate = rng.index(if cut { 2 } else { 5 });
        match fate {
            0 => {}
            1 => self.late.push((now + delay, write.clone())),
            2 => {
                self.apply(write);
            }
            3 => {
                // Sent again by a library that heard nothing: the sender hears of the second.
                self.apply(write);
                return self.apply(write);
            }
            _ => {
                self.late.push((now + delay, write.clone()));
                return self.apply(write);
            }
        }
        Answer::Unknown
    }

    /// Lets land what is due.
    pub(crate) fn land(&mut self, now: u64) {
        let (due, late) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= now);
        self.late = late;
        let due: Vec<(u64, Write)> = due;
        for (_, write) in due {
            self.apply(&write);
        }
    }

    pub(crate) fn apply(&mut self, write: &Write) -> Answer {
        let block = write.block();
        let found = self.blocks.get(&block);
        let matches = |version: &ResourceVersion| {
            found.is_some_and(|stored| stored.version == *version || self.ignores_versions)
        };
        let uid = match write {
            Write::Create(_) => match found {
                Some(_) if !self.creates_over => return Answer::Conflict,
                _ => format!("b{}", self.revision),
            },
            Write::Replace { version, .. } if !matches(version) => return Answer::Conflict,
            Write::Delete { version, uid, .. } => {
                let same = found.is_some_and(|stored| stored.uid == *uid || self.ignores_versions);
                if !matches(version) || !same {
                    return Answer::Conflict;
                }
                self.blocks.remove(&block);
                return Answer::Applied;
            }
            Write::Replace { .. } => found.map(|stored| stored.uid.clone()).unwrap_or_default(),
        };
        if let Write::Create(spec) | Write::Replace { spec, .. } = write
            // The server moves no version for a write that changes nothing.
            && found.is_none_or(|stored| stored.spec != *spec)
        {
            self.revision += 1;
            let version = ResourceVersion(self.revision.to_string());
            self.blocks.insert(block, Stored { spec: spec.clone(), version, uid });
        }
        Answer::Applied
    }

    pub(crate) fn back_up(&mut self) {
        self.backup = Some(self.blocks.clone());
    }

    /// Puts the backup back. Versions go on from where they were, as etcd is told to do on a restore (bump of the
    /// revision), and what was on its way dies with the server that was stopped.
    pub(crate) fn restore(&mut self) -> bool {
        let Some(backup) = self.backup.take() else { return false };
        self.late.clear();
        self.blocks = backup;
        for stored in self.blocks.values_mut() {
            self.revision += 1;
            stored.version = ResourceVersion(self.revision.to_string());
        }
        true
    }
}
