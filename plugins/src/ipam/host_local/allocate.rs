//! Takes one address out of each range set, or none at all (PLG-HL-6, -8, -9).

use std::net::IpAddr;

use ipnet::IpNet;
use manifold_cni::{AttachmentId, CniError, Input, IpConfig, code};
use manifold_plugin_conf::host_local::Wishes;
use manifold_plugin_conf::{HostLocalConf, RangeSet};

use super::folder::Folder;
use super::lease::{self, Holder};
use super::leases::Leases;
use super::round_robin::RoundRobin;
use super::{io_error, under_lock};

/// What each set must give.
pub(super) fn wishes(conf: &HostLocalConf, input: &Input) -> Result<Wishes, CniError> {
    conf.wishes().map_err(|why| CniError::config(format!("network `{}`: {why}", input.name)))
}

/// Reserves, under the network's lock. On failure nothing is left reserved.
pub(super) fn allocate(
    conf: &HostLocalConf,
    wishes: &Wishes,
    folder: &Folder,
    input: &Input,
    id: &AttachmentId,
) -> Result<Vec<IpConfig>, CniError> {
    folder.create().map_err(|e| io_error(input, "could not be made", folder.path(), &e))?;
    let (_lock, mut leases) = under_lock(folder, input, &|content| lease::holder(content, id))?;
    for ip in leases.of(Holder::Nobody) {
        // One that cannot be removed stays taken.
        if folder.release(ip).is_ok() {
            leases.forget(ip);
        }
    }
    refuse_second(conf, &leases, input, id)?;
    let content = lease::content(id);
    let mut given: Vec<IpConfig> = Vec::with_capacity(conf.sets.len());
    for (n, (set, wish)) in conf.sets.iter().zip(wishes).enumerate() {
        let taking = Taking { set, n, leases: &leases, folder, input, content: &content };
        match taking.take(*wish) {
            Ok(ip) => given.push(ip),
            Err(error) => return Err(undo(error, &given, folder)),
        }
    }
    Ok(given)
}

/// An attachment gets one address of a set. Asking again without a DEL is the caller's mistake, and must not cost the
/// living attachment its address.
fn refuse_second(
    conf: &HostLocalConf,
    leases: &Leases,
    input: &Input,
    id: &AttachmentId,
) -> Result<(), CniError> {
    let mut mine = leases.of(Holder::Ours);
    mine.extend(leases.of(Holder::OursOfOld));
    match mine.iter().find(|ip| conf.sets.iter().any(|set| set.contains(**ip))) {
        None => Ok(()),
        Some(ip) => {
            let msg = format!(
                "network `{}`: interface `{}` of container `{}` has the address `{ip}` already; \
                 a second ADD needs a DEL first",
                input.name, id.ifname, id.container
            );
            Err(CniError::new(code::ALREADY_ATTACHED, msg))
        }
    }
}

fn undo(mut error: CniError, given: &[IpConfig], folder: &Folder) -> CniError {
    for ip in given {
        if let Err(e) = folder.release(ip.address.addr()) {
            error.details.push_str(&format!("; and releasing `{}` again: {e}", ip.address.addr()));
        }
    }
    error
}

struct Taking<'a> {
    set: &'a RangeSet,
    n: usize,
    leases: &'a Leases,
    folder: &'a Folder,
    input: &'a Input,
    content: &'a [u8],
}

impl Taking<'_> {
    fn take(&self, wish: Option<IpAddr>) -> Result<IpConfig, CniError> {
        match wish {
            Some(ip) if self.leases.taken(ip) || !self.reserve(ip)? => {
                let msg = format!(
                    "network `{}`: the requested address `{ip}` is leased already; ask for another, or end its holder",
                    self.input.name
                );
                Err(CniError::new(code::TRY_AGAIN, msg))
            }
            Some(ip) => self.record(ip),
            None => self.record(self.any()?),
        }
    }

    fn any(&self) -> Result<IpAddr, CniError> {
        for ip in RoundRobin::new(self.set, self.folder.last(self.n)) {
            if !self.leases.taken(ip) && self.reserve(ip)? {
                return Ok(ip);
            }
        }
        Err(full(self.input, self.n, self.set, code::TRY_AGAIN))
    }

    fn reserve(&self, ip: IpAddr) -> Result<bool, CniError> {
        let failed = |e| io_error(self.input, "cannot take a lease", self.folder.path(), &e);
        self.folder.reserve(ip, self.content).map_err(failed)
    }

    fn record(&self, ip: IpAddr) -> Result<IpConfig, CniError> {
        if let Err(e) = self.folder.set_last(self.n, ip) {
            let error = io_error(self.input, "cannot take a counter", self.folder.path(), &e);
            return Err(undo(error, &[IpConfig::new(ip.into(), None)], self.folder));
        }
        let range = self.set.range_of(ip).expect("only addresses of the set are reserved");
        let address = IpNet::new(ip, range.subnet.prefix_len()).expect("the subnet is of the same family");
        Ok(IpConfig::new(address, Some(range.gateway)))
    }
}

/// The pool is exhausted. Time can mend that, so an ADD is told to try again.
pub(super) fn full(input: &Input, n: usize, set: &RangeSet, code: u32) -> CniError {
    let msg = format!(
        "network `{}`: all {} addresses of range set {n} (`{set}`) are leased; \
         give the network a larger range, or end some of its pods",
        input.name,
        set.capacity()
    );
    CniError::new(code, msg)
}
