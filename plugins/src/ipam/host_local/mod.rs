//! `host-local`: gives addresses out of configured ranges and remembers them in files of this host.
//!
//! The files are those of the reference plugin, byte for byte, and the lock is the same, so both can serve one folder
//! at the same time and each releases what the other has leased. DEL, CHECK and GC need no range: what is leased is
//! what the files say, whatever the configuration says today.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use manifold_cni::{Attachment, AttachmentId, CniError, CniResult, Detachment, Dns, Input, Plugin, code};
use manifold_plugin_conf::{HostLocalConf, host_local};

use folder::Folder;
use lease::Holder;
use leases::Leases;
use lock::{Lock, LockError};

mod allocate;
mod folder;
mod lease;
mod leases;
mod lock;
pub(in crate::ipam) mod readiness;
pub(in crate::ipam) mod resolv_conf;
mod round_robin;

#[derive(Clone, Copy, Debug, Default)]
pub struct HostLocal;

impl Plugin for HostLocal {
    fn name(&self) -> &'static str {
        "host-local"
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        at.args.require_known(host_local::CNI_ARGS)?;
        let conf = HostLocalConf::read(&input.config, &at.args, input.version)
            .map_err(|p| p.into_error(&input.name))?;
        let wishes = allocate::wishes(&conf, input)?;
        let dns = dns(&conf, input)?;
        let folder = Folder::new(&conf.data_dir, &input.name);
        let ips = allocate::allocate(&conf, &wishes, &folder, input, &at.id())?;
        Ok(CniResult { ips, routes: conf.routes, dns, ..CniResult::default() })
    }

    /// Any leases will do, as a later plugin may have changed the addresses; but as many as ADD gave.
    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let id = at.id();
        let folder = folder_of(input);
        let leases = Leases::read(&folder, &|content| lease::holder(content, &id))
            .map_err(|e| io_error(input, "cannot be read", folder.path(), &e))?;
        let held = [leases.of(Holder::Ours), leases.of(Holder::OursOfOld)].concat();
        if let Some(lost) = lost_address(input, at, &held).filter(|_| !held.is_empty()) {
            return Err(CniError::check(format!(
                "network `{}`: the lease of `{lost}` for interface `{}` of container `{}` is gone from `{}`; recreate the pod",
                input.name,
                id.ifname,
                id.container,
                folder.path().display()
            )));
        }
        if !held.is_empty() {
            return Ok(());
        }
        Err(CniError::check(format!(
            "network `{}`: there is no lease for interface `{}` of container `{}` in `{}`; recreate the pod",
            input.name,
            id.ifname,
            id.container,
            folder.path().display()
        )))
    }

    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        let id = at.id();
        release(input, &|content| lease::holder(content, &id))
    }

    fn status(&self, input: &Input) -> Result<(), CniError> {
        let conf = HostLocalConf::read_without_request(&input.config, input.version)
            .map_err(|p| p.into_error(&input.name))?;
        readiness::ready(&conf, &Folder::new(&conf.data_dir, &input.name), input)
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        let alive: HashSet<(&[u8], &[u8])> =
            keep.iter().map(|id| (id.container.trim().as_bytes(), id.ifname.as_bytes())).collect();
        let containers: HashSet<&[u8]> = alive.iter().map(|(container, _)| *container).collect();
        let judge = |content: &[u8]| match lease::owner(content) {
            None => Holder::Nobody,
            Some((container, None)) if containers.contains(container) => Holder::Other,
            Some((container, Some(ifname))) if alive.contains(&(container, ifname)) => Holder::Other,
            Some(_) => Holder::Ours,
        };
        release(input, &judge)
    }
}

/// An address of this interface, out of the configured ranges, whose lease is gone. `None` where there are as many leases
/// as such addresses.
fn lost_address(input: &Input, at: &Attachment, held: &[IpAddr]) -> Option<IpAddr> {
    let conf = HostLocalConf::read_without_request(&input.config, input.version).ok()?;
    let prev = input.prev_result.as_ref()?;
    let own = |index: usize| prev.interfaces.get(index).is_some_and(|told| told.name == at.ifname.as_str());
    let addresses = prev.ips.iter().filter(|ip| ip.interface.is_none_or(own)).map(|ip| ip.address.addr());
    let ours: Vec<IpAddr> =
        addresses.filter(|ip| conf.sets.iter().any(|set| set.range_of(*ip).is_some())).collect();
    if held.len() >= ours.len() {
        return None;
    }
    ours.into_iter().find(|ip| !held.contains(ip))
}

/// Removes the leases that `holder` calls ours, and those that a crash left empty. Whether any is there is looked up
/// before the lock: a DEL that finds nothing needs neither a lock nor a writable disk.
fn release(input: &Input, holder: &dyn Fn(&[u8]) -> Holder) -> Result<(), CniError> {
    let folder = folder_of(input);
    let unreadable = |e: io::Error| io_error(input, "cannot be read", folder.path(), &e);
    let before = Leases::read(&folder, holder).map_err(unreadable)?;
    let any_of_ours = before.has(Holder::Ours) || before.has(Holder::OursOfOld);
    if !any_of_ours && !before.has(Holder::Nobody) {
        return Ok(());
    }
    let (_lock, leases) = match again_under_lock(&before, &folder, input, holder) {
        Ok(locked) => locked,
        // What a crash left of others can wait for the next who comes.
        Err(_) if !any_of_ours => return Ok(()),
        Err(error) => return Err(error),
    };
    for ip in leases.of(Holder::Nobody) {
        let _ = folder.release(ip);
    }
    let mut ours = leases.of(Holder::Ours);
    if ours.is_empty() {
        ours = leases.of(Holder::OursOfOld);
    }
    // What was read before the lock may be of another lease since: file systems give a new file the inode of an old one.
    ours.retain(|ip| folder.read(*ip).ok().flatten().is_none_or(|content| holder(&content) != Holder::Other));
    let failed: Vec<(IpAddr, io::Error)> =
        ours.into_iter().filter_map(|ip| folder.release(ip).err().map(|e| (ip, e))).collect();
    failed.first().map_or(Ok(()), |(_, first)| Err(not_released(input, &folder, &failed, first)))
}

fn not_released(
    input: &Input,
    folder: &Folder,
    failed: &[(IpAddr, io::Error)],
    first: &io::Error,
) -> CniError {
    let msg = format!(
        "network `{}`: {} of its leases in `{}` could not be removed; remove the cause and repeat",
        input.name,
        failed.len(),
        folder.path().display()
    );
    let each: Vec<String> = failed.iter().map(|(ip, e)| format!("`{ip}`: {e}")).collect();
    CniError::io(first, msg).details(each.join("; "))
}

/// The lock, and the leases as they are under it.
fn under_lock(
    folder: &Folder,
    input: &Input,
    holder: &dyn Fn(&[u8]) -> Holder,
) -> Result<(Lock, Leases), CniError> {
    let before =
        Leases::read(folder, holder).map_err(|e| io_error(input, "cannot be read", folder.path(), &e))?;
    again_under_lock(&before, folder, input, holder)
}

fn again_under_lock(
    before: &Leases,
    folder: &Folder,
    input: &Input,
    holder: &dyn Fn(&[u8]) -> Holder,
) -> Result<(Lock, Leases), CniError> {
    let lock = lock::take(folder, input.deadline).map_err(|e| match e {
        LockError::Io(e) => io_error(input, "cannot be locked", folder.path(), &e),
        LockError::Busy => {
            let path = folder.path().display();
            let msg = format!("network `{}`: the lock of `{path}` was not free in time: {e}", input.name);
            CniError::new(code::TRY_AGAIN, msg)
        }
    })?;
    let leases =
        before.again(folder, holder).map_err(|e| io_error(input, "cannot be read", folder.path(), &e))?;
    Ok((lock, leases))
}

fn folder_of(input: &Input) -> Folder {
    Folder::new(&HostLocalConf::data_dir(&input.config), &input.name)
}

fn dns(conf: &HostLocalConf, input: &Input) -> Result<Dns, CniError> {
    conf.resolv_conf.as_deref().map_or(Ok(Dns::default()), |path| resolv_conf::read_for(&input.name, path))
}

fn io_error(input: &Input, what: &str, path: &Path, e: &io::Error) -> CniError {
    CniError::io(e, format!("network `{}`: the lease folder `{}` {what}: {e}", input.name, path.display()))
}
