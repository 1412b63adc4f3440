//! The places that one network's pods may have at the same time: bytes of one file, so many for each network.
//!
//! A pod takes one of each of its networks, all or none: who waits for one network holds up none of the others. Those that
//! want the same networks stand in a queue of their own.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;

use super::watch::Watch;
use super::{Lane, NoPlace, Wait, writable_file};
use crate::byte_lock::{first_byte, lock_for_ever, try_lock, unlock};
use crate::flock::{How, Waited, wait_until};

/// The places of a pod's networks.
#[derive(Debug)]
pub(super) struct Held {
    /// The file whose locks they are.
    pub(super) places: File,
    /// Of one of the networks it is the first that a pod can have: most often no other of its pods is inside.
    pub(super) is_first: bool,
}

/// None for a plain pod.
pub(super) fn places(
    folder: &Path,
    lane: Lane,
    each: u32,
    networks: &[&str],
    wait: &Wait<'_>,
) -> io::Result<Result<Option<Held>, NoPlace>> {
    let networks: BTreeSet<&str> = networks.iter().copied().collect();
    if networks.is_empty() {
        return Ok(Ok(None));
    }
    let open = |name: &str| writable_file(folder, &format!("{}-{name}", lane.name));
    let places = match open("networks") {
        // There is no cap where nothing can be written, only the places for all.
        Err(e) if e.kind() == io::ErrorKind::ReadOnlyFilesystem => return Ok(Ok(None)),
        other => other?,
    };
    let refused = |network: &str| {
        let places = usize::try_from(each).unwrap_or(usize::MAX);
        wait.refusal(places, &format!("{} such as `{network}`", lane.whose))
    };
    let joined: Vec<&str> = networks.iter().copied().collect();
    let queue = first_byte(&joined.join(" "), 1);
    let file = open("networks-queue")?;
    let in_front = match try_lock(&file, queue, How::Exclusive)? {
        true => Waited::Locked(file),
        false => {
            wait_until(file, wait.deadline, || (wait.go_on)().is_ok(), move |f| lock_for_ever(f, queue))?
        }
    };
    let Waited::Locked(_in_front) = in_front else { return Ok(Err(refused(&joined.join("`, `")))) };
    let had = wait_for_each(folder, &places, each, &networks, wait)?;
    Ok(had.map(|is_first| Some(Held { places, is_first })).map_err(refused))
}

/// Whether one of the places is a network's first; or the network that had none left to the end.
fn wait_for_each<'n>(
    folder: &Path,
    places: &File,
    each: u32,
    networks: &BTreeSet<&'n str>,
    wait: &Wait<'_>,
) -> io::Result<Result<bool, &'n str>> {
    let mut watch = None;
    loop {
        let full = match one_of_each(places, each, networks)? {
            Ok(is_first) => return Ok(Ok(is_first)),
            Err(full) => full,
        };
        // The watch stands before the second look, so no release falls between the two.
        let Some(watch) = &watch else {
            watch = Some(Watch::on(folder));
            continue;
        };
        if wait.is_over() {
            return Ok(Err(full));
        }
        watch.wait(wait.deadline);
    }
}

/// One place of each network now, or none.
fn one_of_each<'n>(
    places: &File,
    each: u32,
    networks: &BTreeSet<&'n str>,
) -> io::Result<Result<bool, &'n str>> {
    let (mut taken, mut is_first) = (Vec::new(), false);
    for network in networks {
        let first = first_byte(network, each);
        let mut free = None;
        for byte in (0..each).map(|n| first + i64::from(n)) {
            if try_lock(places, byte, How::Exclusive)? {
                free = Some(byte);
                break;
            }
        }
        let Some(byte) = free else {
            taken.into_iter().try_for_each(|byte| unlock(places, byte))?;
            return Ok(Err(network));
        };
        is_first |= byte == first;
        taken.push(byte);
    }
    Ok(Ok(is_first))
}
