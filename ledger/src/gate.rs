//! How many ADDs and DELs run at once on this node, so that a boot storm does not eat its memory (F-RUN-4), and neighbours
//! that hang hold nobody else up (F-RUN-8).
//!
//! Three gates: before the API server is asked, before an ADD attaches, before a DEL takes down. A place is a locked file: the
//! kernel frees the places of the dead. Plain pods have places of their own at the last two, so whatever further networks or
//! the API server do, plain pods start and stop. Of the other places one network's pods have only some, and some are kept for
//! networks that have nobody inside, so that it takes many networks that hang to keep out one that does not.
//!
//! Whoever finds no place free stands in a queue, which is one more lock, and only the first of the queue watches the
//! places; the others sleep until it is their turn. The watch tells of every closed file, so a free place is taken at once.

mod networks;
mod watch;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use manifold_cni::{CniError, code};
use nix::fcntl::OFlag;

use crate::flock::{self, How, Waited, try_lock};
use watch::Watch;

/// Which of the gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Before TLS and everything else that costs memory.
    Ask,
    Add,
    Del,
}

impl Gate {
    /// How long a caller should be ready to wait.
    pub const PATIENCE: Duration = Duration::from_secs(60);

    /// How many of those with further networks may be inside for one of them.
    pub const fn places_of_one_network(self) -> u32 {
        match self {
            Self::Ask | Self::Add => 8,
            Self::Del => 4,
        }
    }

    const fn lane(self, is_plain: bool) -> Lane {
        match (self, is_plain) {
            (Self::Ask, _) => {
                Lane { name: "ask", whose: "calls that ask the API server", places: 16, first: 0 }
            }
            (Self::Add, true) => Lane {
                name: "add-plain",
                whose: "calls of ADD without further networks",
                places: 16,
                first: 0,
            },
            (Self::Add, false) => {
                Lane { name: "add", whose: "calls of ADD with further networks", places: 16, first: 16 }
            }
            (Self::Del, true) => Lane {
                name: "del-plain",
                whose: "calls of DEL without further networks",
                places: 8,
                first: 0,
            },
            (Self::Del, false) => {
                Lane { name: "del", whose: "calls of DEL with further networks", places: 12, first: 12 }
            }
        }
    }
}

/// The places of one kind of call.
#[derive(Clone, Copy, Debug)]
struct Lane {
    /// What its files are called.
    name: &'static str,
    whose: &'static str,
    places: usize,
    /// More of them, for calls of a network that has no other inside: a few networks that hang take all the places above.
    first: usize,
}

/// Leave to go on; dropping it frees the place.
#[derive(Debug)]
pub struct Pass(#[expect(dead_code, reason = "held, not read: the place is free when they close")] Vec<File>);

/// No place was had.
#[derive(Debug, thiserror::Error)]
pub enum NoPlace {
    #[error("{places} {whose} run on this node already, and none ended within {seconds} s")]
    Crowded { places: usize, whose: String, seconds: u64 },
    /// The caller's own reason to wait no longer.
    #[error(transparent)]
    GaveUp(CniError),
}

impl From<NoPlace> for CniError {
    fn from(e: NoPlace) -> Self {
        match e {
            NoPlace::Crowded { .. } => Self::new(code::TRY_AGAIN, e.to_string()).details(
                "nothing was touched; fix: none needed; the runtime retries. If this persists, look for a plugin that hangs",
            ),
            NoPlace::GaveUp(error) => error,
        }
    }
}

/// A wait at a gate.
struct Wait<'a> {
    begun: Instant,
    deadline: Instant,
    /// Asked now and then; its error ends the wait.
    go_on: &'a dyn Fn() -> Result<(), CniError>,
}

impl Wait<'_> {
    fn is_over(&self) -> bool {
        (self.go_on)().is_err() || Instant::now() >= self.deadline
    }

    fn refusal(&self, places: usize, whose: &str) -> NoPlace {
        match (self.go_on)() {
            Err(error) => NoPlace::GaveUp(error),
            Ok(()) => {
                NoPlace::Crowded { places, whose: whose.to_owned(), seconds: self.begun.elapsed().as_secs() }
            }
        }
    }
}

impl Gate {
    /// Waits for a place until `deadline`, or until `go_on` is an error. `networks` are the pod's further networks; a plain
    /// pod has none. Where the disk allows no lock files there is no gate: an ADD fails at its ledger write then, and a DEL
    /// must not be held up.
    pub fn enter(
        self,
        state_dir: &Path,
        networks: &[&str],
        deadline: Instant,
        go_on: &dyn Fn() -> Result<(), CniError>,
    ) -> Result<Pass, NoPlace> {
        let folder = state_dir.join(".gate");
        let wait = Wait { begun: Instant::now(), deadline, go_on };
        let lane = self.lane(networks.is_empty());
        lane.enter(&folder, networks, self.places_of_one_network(), &wait).unwrap_or_else(|error| {
            tracing::warn!(%error, "the gate for {} cannot be used and is skipped", lane.whose);
            Ok(Pass(Vec::new()))
        })
    }
}

impl Lane {
    /// The networks' places come first: who waits for them holds nothing that another network's pods need.
    fn enter(
        self,
        folder: &Path,
        networks: &[&str],
        each: u32,
        wait: &Wait<'_>,
    ) -> io::Result<Result<Pass, NoPlace>> {
        let of_networks = match networks::places(folder, self, each, networks, wait)? {
            Ok(of_networks) => of_networks,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let is_first = of_networks.as_ref().is_some_and(|held| held.is_first);
        let kept = if is_first { self.kept_for_first(folder)? } else { None };
        let place = match kept {
            Some(place) => Ok(place),
            None => self.place(folder, wait)?,
        };
        let of_networks = of_networks.map(|held| held.places);
        Ok(place.map(|place| Pass(of_networks.into_iter().chain([place]).collect())))
    }

    /// Without a wait: whoever finds none stands in the queue like everybody.
    fn kept_for_first(self, folder: &Path) -> io::Result<Option<File>> {
        for n in 0..self.first {
            let file = lock_file(folder, &format!("{}-first-{n}", self.name))?;
            if let Ok(place) = try_lock(file, How::Exclusive)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn place(self, folder: &Path, wait: &Wait<'_>) -> io::Result<Result<File, NoPlace>> {
        let refused = || wait.refusal(self.places + self.first, self.whose);
        let queue = lock_file(folder, &format!("{}-queue", self.name))?;
        let queue = match try_lock(queue, How::Exclusive)? {
            Ok(queue) => queue,
            Err(queue) => {
                let lock = |queue: &File| flock::lock_for_ever(queue, How::Exclusive);
                match flock::wait_until(queue, wait.deadline, || (wait.go_on)().is_ok(), lock)? {
                    Waited::Locked(queue) => queue,
                    Waited::Busy => return Ok(Err(refused())),
                }
            }
        };
        let found = self.first_free(folder, wait)?;
        drop(queue);
        Ok(found.ok_or_else(refused))
    }

    /// Only the first of the queue comes here. Files it has opened stay open while it watches, because closing
    /// one would wake it.
    fn first_free(self, folder: &Path, wait: &Wait<'_>) -> io::Result<Option<File>> {
        let mut busy = Vec::with_capacity(self.places);
        for n in 0..self.places {
            match try_lock(lock_file(folder, &format!("{}-{n}", self.name))?, How::Exclusive)? {
                Ok(place) => return Ok(Some(place)),
                Err(file) => busy.push(file),
            }
        }
        let watch = Watch::on(folder);
        loop {
            // The watch stands before this look, so no release falls between the two.
            for _ in 0..busy.len() {
                let Some(file) = busy.pop() else { break };
                match try_lock(file, How::Exclusive)? {
                    Ok(place) => return Ok(Some(place)),
                    Err(file) => busy.insert(0, file),
                }
            }
            if wait.is_over() {
                return Ok(None);
            }
            watch.wait(wait.deadline);
        }
    }
}

/// Opened for reading only, as `flock` needs no more: so a full or read-only disk does no harm once the files are there.
fn lock_file(folder: &Path, name: &str) -> io::Result<File> {
    let path: PathBuf = folder.join(name);
    let flags = OFlag::O_NOFOLLOW.bits();
    match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    writable_file(folder, name)
}

fn writable_file(folder: &Path, name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    match options.open(folder.join(name)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    crate::make_folder(folder).map_err(io::Error::other)?;
    options.create(true).truncate(false).open(folder.join(name))
}

#[cfg(test)]
mod tests;
