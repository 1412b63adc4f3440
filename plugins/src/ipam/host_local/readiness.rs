//! Whether an ADD could be served now: the folder can be written, and every range set has an address left (PLG-HL-14).

use std::path::Path;

use manifold_cni::{CniError, Input, code};
use manifold_plugin_conf::{HostLocalConf, RangeSet};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::allocate::full;
use super::folder::Folder;
use super::io_error;
use super::lease::{self, Holder};
use super::leases::Leases;

pub(super) fn ready(conf: &HostLocalConf, folder: &Folder, input: &Input) -> Result<(), CniError> {
    writable(folder.path(), input, "mount it writable, or change `dataDir`")?;
    let entries =
        folder.entries().map_err(|e| unavailable(io_error(input, "cannot be listed", folder.path(), &e)))?;
    let is_full = |set: &RangeSet| left(set, entries.iter().map(|e| e.ip)) == 0;
    if !conf.sets.iter().any(is_full) {
        return Ok(());
    }
    // Names alone say that it is full; leases that a crash left empty still count as free.
    let judge = |content: &[u8]| lease::owner(content).map_or(Holder::Nobody, |_| Holder::Other);
    let leases = Leases::read(folder, &judge)
        .map_err(|e| unavailable(io_error(input, "cannot be read", folder.path(), &e)))?;
    let held = leases.of(Holder::Other);
    let full_set = conf.sets.iter().enumerate().find(|(_, set)| left(set, held.iter().copied()) == 0);
    full_set.map_or(Ok(()), |(n, set)| Err(full(input, n, set, code::NOT_AVAILABLE)))
}

fn left(set: &RangeSet, held: impl Iterator<Item = std::net::IpAddr>) -> u128 {
    let counts = |ip| set.range_of(ip).is_some_and(|r| r.gateway != ip);
    set.capacity().saturating_sub(held.filter(|ip| counts(*ip)).count() as u128)
}

/// The folder, or the nearest one above it that exists and in which ADD would make it.
pub(in crate::ipam) fn writable(folder: &Path, input: &Input, remedy: &str) -> Result<(), CniError> {
    let place = folder.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    let refuse = |why: &str| {
        let msg =
            format!("network `{}`: no lease can be written in `{}`: {why}", input.name, place.display());
        Err(CniError::new(code::NOT_AVAILABLE, msg))
    };
    if !place.is_dir() {
        return refuse(&format!("it is not a folder; remove the file, or {remedy}"));
    }
    if let Err(e) = access(place, AccessFlags::W_OK | AccessFlags::X_OK) {
        return refuse(&format!("{}; {remedy}", e.desc()));
    }
    // Some file systems count neither blocks nor inodes; zero of zero is not full.
    match statvfs(place) {
        Ok(disk) if disk.blocks() > 0 && disk.blocks_free() == 0 => {
            refuse("the disk is full; free some space")
        }
        Ok(disk) if disk.files() > 0 && disk.files_free() == 0 => {
            refuse("the disk has no inode left; remove files")
        }
        _ => Ok(()),
    }
}

fn unavailable(mut error: CniError) -> CniError {
    error.code = code::NOT_AVAILABLE;
    error
}
