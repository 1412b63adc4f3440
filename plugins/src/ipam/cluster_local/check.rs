//! CHECK: the lease is there, is this attachment's, is the address that ADD answered, and lies in what the node holds.

use std::net::IpAddr;

use manifold_address_store::leases::Found;
use manifold_address_store::{DomainFolder, Store};
use manifold_cni::{Attachment, CniError, Input};
use manifold_plugin_conf::ClusterLocalConf;

use super::sources::Sources;
use super::{is_of, told};

const REMEDY: &str = "create the pod again";

pub(super) fn check(store: &Store, input: &Input, at: &Attachment) -> Result<(), CniError> {
    let (network, id) = (&input.name, at.id());
    let mine = |found: &Found| {
        found.lease.as_ref().is_some_and(|lease| is_of(lease, &id) && lease.network == *network)
    };
    let mut held: Vec<IpAddr> = Vec::new();
    let mut others: Vec<Found> = Vec::new();
    for domain in store.domains().map_err(|e| told(input, e))? {
        let (ours, theirs): (Vec<Found>, Vec<Found>) =
            domain.found().map_err(|e| told(input, e))?.into_iter().partition(mine);
        lies_in_holdings(&domain, &ours, input)?;
        held.extend(ours.iter().map(|found| found.ip));
        others.extend(theirs);
    }
    let who = format!("interface `{}` of container `{}`", id.ifname, id.container);
    if held.is_empty() {
        let msg = format!("network `{network}`: there is no lease for {who}; {REMEDY}");
        return Err(CniError::check(msg));
    }
    let told = told_addresses(input, at);
    if let Some(lost) = told.iter().find(|ip| is_ours(store, input, **ip) && !held.contains(ip)) {
        let by = others.iter().find(|found| found.ip == *lost).and_then(|found| found.lease.as_ref());
        let now = match by {
            Some(lease) => {
                format!("interface `{}` of container `{}` has it", lease.interface, lease.container)
            }
            None => "it belongs to no one".to_owned(),
        };
        let msg = format!("network `{network}`: the lease of `{lost}` for {who} is gone and {now}; {REMEDY}");
        return Err(CniError::check(msg));
    }
    if let Some(other) = held.iter().find(|ip| input.prev_result.is_some() && !told.contains(ip)) {
        let msg = format!(
            "network `{network}`: {who} has a lease of `{other}`, which its ADD did not answer; {REMEDY}"
        );
        return Err(CniError::check(msg));
    }
    Ok(())
}

/// The addresses of this interface that ADD answered.
fn told_addresses(input: &Input, at: &Attachment) -> Vec<IpAddr> {
    let Some(prev) = &input.prev_result else { return Vec::new() };
    let own = |index: usize| prev.interfaces.get(index).is_some_and(|told| told.name == at.ifname.as_str());
    prev.ips.iter().filter(|ip| ip.interface.is_none_or(own)).map(|ip| ip.address.addr()).collect()
}

/// Whether an address is one of this network's: a later plugin of the list may have added others.
fn is_ours(store: &Store, input: &Input, ip: IpAddr) -> bool {
    let conf = ClusterLocalConf::read_without_request(&input.config, input.version);
    conf.is_ok_and(|conf| Sources::known(&conf, store).contains(ip))
}

fn lies_in_holdings(domain: &DomainFolder, leases: &[Found], input: &Input) -> Result<(), CniError> {
    let mut needed = leases.iter().filter(|found| !found.kept).peekable();
    if needed.peek().is_none() {
        return Ok(());
    }
    let holdings = domain.look().map_err(|e| told(input, e))?;
    let outside = needed.find(|found| !holdings.as_ref().is_some_and(|holdings| holdings.contains(found.ip)));
    outside.map_or(Ok(()), |found| {
        let msg = format!(
            "network `{}`: `{}` is leased, but this node holds it no longer; see event AddressConflict, or {REMEDY}",
            input.name, found.ip
        );
        Err(CniError::check(msg))
    })
}
