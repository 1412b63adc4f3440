//! Addresses of an attachment that an IPAMClaim keeps: those that the claim has, else new ones, written into its status before
//! anybody answers with them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;
use manifold_addresses::claim::{Search, candidates};
use manifold_addresses::give::Shortage;
use manifold_addresses::holdings::Holdings;
use manifold_addresses::keep::{ClaimChance, Keep, keep};
use manifold_crds::ipam::{BlockCidr, Claim, Mode};
use manifold_crds::{ClaimName, Namespace};
use serde_json::json;

use crate::give::{AddressRequest, PoolChoice};
use crate::no_address::{Full, NoAddress, block_holder};
use crate::{ApiError, BlockApi, PoolObject, Store, Written};

/// So often a block or a claim is read again after a conflict.
const TRIES: usize = 4;

/// An IPAMClaim as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpamClaim {
    /// Which.
    pub id: Claim,
    /// `spec.network`; empty: any.
    pub network: String,
    /// `spec.interface`; empty: any.
    pub interface: String,
    /// `status.ips`, with prefix lengths.
    pub ips: Vec<String>,
    /// The whole object, so that a write keeps what is not ours.
    pub object: serde_json::Value,
}

/// The requests for IPAMClaims.
#[expect(
    async_fn_in_trait,
    reason = "callers use it with types that they know, and need no bounds on the futures"
)]
pub trait ClaimApi: BlockApi {
    /// A claim; `None` where there is none of that name.
    async fn ipam_claim(
        &self,
        namespace: &Namespace,
        name: &ClaimName,
    ) -> Result<Option<IpamClaim>, ApiError>;

    /// Writes the status of `object`, which is the whole claim, if the stored one is still as it was read.
    async fn write_claim_status(
        &self,
        claim: &Claim,
        object: &serde_json::Value,
    ) -> Result<Written, ApiError>;
}

/// Puts addresses, with prefix lengths, into the status of a claim. The schema of claims requires `ownerPod` beside them:
/// `owner` is the pod's name, and without it the owner that is there stays, or is empty.
pub fn set_addresses(object: &mut serde_json::Value, ips: &[String], owner: Option<&str>) {
    let Some(object) = object.as_object_mut() else { return };
    let status = object.entry("status").or_insert_with(|| json!({}));
    let Some(status) = status.as_object_mut() else { return };
    status.insert("ips".to_owned(), json!(ips));
    match owner {
        Some(pod) => drop(status.insert("ownerPod".to_owned(), json!(pod))),
        None => drop(status.entry("ownerPod").or_insert_with(|| json!(""))),
    }
}

/// What an attachment asks for.
#[derive(Clone, Debug)]
pub struct KeptRequest {
    /// Of the pod.
    pub namespace: Namespace,
    /// The pod's name.
    pub pod: String,
    /// Of the claim.
    pub claim: ClaimName,
    /// How the network may be called in the claim.
    pub networks: Vec<String>,
    /// One for each address, all of one attachment.
    pub requests: Vec<AddressRequest>,
}

/// The claim's addresses, each with a lease of this attachment.
///
/// # Errors
/// Why there are none.
pub async fn obtain_kept<A: ClaimApi>(
    store: &Store,
    api: &A,
    wanted: &KeptRequest,
    deadline: Instant,
) -> Result<Vec<IpAddr>, NoAddress> {
    for _ in 0..TRIES {
        let claim = read(api, wanted).await?;
        let given =
            if claim.ips.is_empty() { choose(api, wanted, &claim).await? } else { told(wanted, &claim)? };
        if claim.ips.is_empty() {
            let ips: Vec<String> =
                wanted.requests.iter().zip(&given).map(|(r, ip)| with_prefix(r, *ip)).collect();
            let mut object = claim.object.clone();
            set_addresses(&mut object, &ips, Some(&wanted.pod));
            if api.write_claim_status(&claim.id, &object).await? == Written::Conflict {
                // Another pod of the claim may have been faster: its addresses are this one's too.
                continue;
            }
        } else {
            reserve(api, wanted, &claim, &given).await?;
        }
        lease(store, wanted, &given, deadline)?;
        return Ok(given);
    }
    Err(NoAddress::Claim(format!(
        "IPAMClaim `{}/{}` was changed by others each time; the runtime tries again",
        wanted.namespace, wanted.claim
    )))
}

async fn read<A: ClaimApi>(api: &A, wanted: &KeptRequest) -> Result<IpamClaim, NoAddress> {
    let KeptRequest { namespace, claim: name, networks, requests, .. } = wanted;
    let place = format!("IPAMClaim `{namespace}/{name}`");
    let claim = api.ipam_claim(namespace, name).await?;
    let claim = claim.ok_or_else(|| {
        NoAddress::Claim(format!(
            "{place} is not there; create it, or correct `ipam-claim-reference` of the pod"
        ))
    })?;
    if !claim.network.is_empty() && !networks.contains(&claim.network) {
        let network = manifold_cni::name::printable(&claim.network);
        return Err(NoAddress::WrongClaim(format!(
            "{place} is for network `{network}` and not for this one; refer to another claim"
        )));
    }
    let interface = requests.first().map(|r| r.lease.interface.as_str()).unwrap_or_default();
    if !claim.interface.is_empty() && claim.interface != interface {
        let meant = manifold_cni::name::printable(&claim.interface);
        return Err(NoAddress::WrongClaim(format!(
            "{place} is for interface `{meant}` and not for `{interface}`; refer to another claim, or name the interface so"
        )));
    }
    Ok(claim)
}

/// The addresses that the claim has, one for each request.
fn told(wanted: &KeptRequest, claim: &IpamClaim) -> Result<Vec<IpAddr>, NoAddress> {
    let place = format!("IPAMClaim `{}/{}`", wanted.namespace, wanted.claim);
    let mut ips: Vec<IpAddr> = Vec::new();
    for raw in &claim.ips {
        let net = raw.parse::<IpNet>().map(|net| net.addr()).or_else(|_| raw.parse::<IpAddr>());
        let shown = manifold_cni::name::printable(raw);
        ips.push(net.map_err(|_| {
            NoAddress::WrongClaim(format!("{place} has `{shown}`, which is no address; delete it"))
        })?);
    }
    let of = |request: &AddressRequest| {
        let can = |ip: &&IpAddr| request.pools.iter().any(|c| c.pool.check_requested(**ip).is_ok());
        ips.iter().find(can).copied().ok_or_else(|| {
            let pool = request.pools.first().map(PoolChoice::display).unwrap_or_default();
            NoAddress::WrongClaim(format!("{place} has no address of {pool}; refer to another claim"))
        })
    };
    wanted.requests.iter().map(of).collect()
}

fn with_prefix(request: &AddressRequest, ip: IpAddr) -> String {
    let pool = request.pools.iter().find(|choice| choice.pool.subnet.contains(&ip));
    pool.map_or_else(|| ip.to_string(), |choice| format!("{ip}/{}", choice.pool.subnet.prefix_len()))
}

/// What the claim says is its own at the blocks too: a claim that was restored with its status has nothing there yet.
async fn reserve<A: ClaimApi>(
    api: &A,
    wanted: &KeptRequest,
    claim: &IpamClaim,
    given: &[IpAddr],
) -> Result<(), NoAddress> {
    for (request, ip) in wanted.requests.iter().zip(given) {
        let Some(choice) = request.pools.iter().find(|c| c.pool.check_requested(*ip).is_ok()) else {
            continue;
        };
        let (block, offset) = (BlockCidr::of(*ip), BlockCidr::offset_of(*ip));
        if one(api, choice, block, Some(offset), claim).await?.is_none() {
            let read = api.block(&choice.pool.domain, block).await?;
            let by = read.map_or_else(String::new, |stored| block_holder(&stored.spec, offset));
            return Err(NoAddress::Taken { ip: *ip, by });
        }
    }
    Ok(())
}

/// A new address for each request.
async fn choose<A: ClaimApi>(
    api: &A,
    wanted: &KeptRequest,
    claim: &IpamClaim,
) -> Result<Vec<IpAddr>, NoAddress> {
    let mut given = Vec::new();
    for request in &wanted.requests {
        given.push(any_of(api, request, claim).await?);
    }
    Ok(given)
}

async fn any_of<A: ClaimApi>(
    api: &A,
    request: &AddressRequest,
    claim: &IpamClaim,
) -> Result<IpAddr, NoAddress> {
    let mut idle = None;
    for choice in &request.pools {
        let read = match &choice.object {
            Some(name) => api.pool(name).await?,
            None => None,
        };
        if choice.pool.paused {
            return Err(NoAddress::Paused(choice.display()));
        }
        idle = read.as_ref().map(|object| object.status.idle);
        let hints = read.as_ref().map(PoolObject::hints).unwrap_or_default();
        let nothing = Holdings::nothing(choice.pool.domain.clone());
        let mut chance = ClaimChance::of(&claim.id);
        for block in candidates(&choice.pool, Mode::Singles, &hints, &nothing, Search::Every, &mut chance) {
            if let Some(ip) = one(api, choice, block, None, claim).await? {
                return Ok(ip);
            }
        }
    }
    let last = request.pools.last().ok_or_else(|| NoAddress::NoPool("none".to_owned()))?;
    Err(NoAddress::Full(Full::of(last, &Shortage::default(), idle, BTreeSet::new())))
}

async fn one<A: ClaimApi>(
    api: &A,
    choice: &PoolChoice,
    block: BlockCidr,
    by_name: Option<manifold_crds::ipam::Offset>,
    claim: &IpamClaim,
) -> Result<Option<IpAddr>, NoAddress> {
    for _ in 0..TRIES {
        let read = api.block(&choice.pool.domain, block).await?;
        match keep(block, read.as_ref(), by_name, &choice.pool, &claim.id) {
            Keep::Has(offset) => return Ok(Some(block.address(offset))),
            Keep::Skip => return Ok(None),
            Keep::Send(write, offset) => {
                if api.write(&write).await? == Written::Applied {
                    return Ok(Some(block.address(offset)));
                }
            }
        }
    }
    Ok(None)
}

fn lease(store: &Store, wanted: &KeptRequest, given: &[IpAddr], deadline: Instant) -> Result<(), NoAddress> {
    for (request, ip) in wanted.requests.iter().zip(given) {
        let Some(domain) = request.domain() else { continue };
        let folder = store.domain(domain);
        let locked = folder.lock(deadline)?;
        let is_there = |found: &crate::leases::Found| {
            found.kept && found.ip == *ip && found.lease.as_ref() == Some(&request.lease)
        };
        if !locked.found()?.iter().any(is_there) {
            locked.add_kept_lease(*ip, &request.lease)?;
        }
    }
    Ok(())
}
