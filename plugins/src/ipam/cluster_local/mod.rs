//! `cluster-local`: addresses that are given once in the whole cluster.
//!
//! Works on files: ADD finds the leases that the shim made for this interface before the first plugin ran, and answers with
//! them. Where nobody made any, because another meta-plugin runs it, it gives what the node holds, and claims more where its
//! executable knows how to ([`Surroundings::claims`]). DEL, CHECK, GC and STATUS only look at the files of the node; what is
//! leased is what these say, whatever the configuration says today.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use manifold_address_store::give::{AddressRequest, Missing, give_held, remove_leases};
use manifold_address_store::leases::Found;
use manifold_address_store::no_address::NoAddress;
use manifold_address_store::obtain::without_cluster;
use manifold_address_store::{Claims, Store, StoreError};
use manifold_addresses::lease::Lease;
use manifold_cni::{Attachment, AttachmentId, CniError, CniResult, Detachment, Dns, Input, Plugin};
use manifold_plugin_conf::{ClusterLocalConf, cluster_local};

use super::host_local::resolv_conf;

pub mod answer;
mod check;
mod readiness;
pub mod sources;

use sources::Sources;

/// Where Manifold keeps its state if nobody says otherwise.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/cni/manifold";

/// What the executable knows that a configuration does not say.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// In which the folder of addresses lies.
    pub state_dir: PathBuf,
    /// Makes what asks the API server, from the state folder; none: nobody can be asked.
    pub claims: Option<MakeClaims>,
}

/// Makes what asks the API server, from the state folder.
pub type MakeClaims = fn(&Path) -> Box<dyn Claims>;

static TOLD: OnceLock<Surroundings> = OnceLock::new();

/// Tells the plugin, once for the process, before its first call.
pub fn tell(surroundings: Surroundings) {
    // Only tests serve several calls in a process, all with the same folder.
    let _ = TOLD.set(surroundings);
}

/// In which the folder of addresses lies, as this process was told.
pub fn state_dir() -> PathBuf {
    TOLD.get().map_or_else(|| DEFAULT_STATE_DIR.into(), |told| told.state_dir.clone())
}

/// The plugin.
#[derive(Clone, Debug)]
pub struct ClusterLocal {
    /// None: what [`tell`] was told.
    pub surroundings: Option<Surroundings>,
}

/// As it is found by its type.
pub static CLUSTER_LOCAL: ClusterLocal = ClusterLocal { surroundings: None };

impl ClusterLocal {
    fn surroundings(&self) -> Surroundings {
        let usual = || Surroundings { state_dir: DEFAULT_STATE_DIR.into(), claims: None };
        self.surroundings.clone().or_else(|| TOLD.get().cloned()).unwrap_or_else(usual)
    }

    fn store(&self) -> Store {
        Store::of(&self.surroundings().state_dir)
    }

    /// The addresses of an attachment: those that it has leases of, else new ones.
    fn addresses(
        &self,
        store: &Store,
        requests: &[AddressRequest],
        input: &Input,
        claims: Option<&mut Box<dyn Claims>>,
    ) -> Result<Vec<IpAddr>, NoAddress> {
        let me = match store.identity() {
            Err(StoreError::NoIdentity { .. }) if claims.is_none() => {
                let missing = Missing::Short { request: 0, shortages: Vec::new() };
                return Err(without_cluster(requests, &missing));
            }
            me => me?,
        };
        if let Some(claims) = claims {
            return claims.obtain(store, &me, requests, input.deadline);
        }
        sources::by_domain(requests, |domain, requests| {
            let given = give_held(&store.domain(domain), &me, requests, input.deadline)?;
            match given.missing {
                None => Ok(given.addresses.into_iter().flatten().collect()),
                Some(missing) => Err(without_cluster(requests, &missing)),
            }
        })
    }
}

impl Plugin for ClusterLocal {
    fn name(&self) -> &'static str {
        cluster_local::TYPE
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        at.args.require_known(cluster_local::CNI_ARGS)?;
        let conf = ClusterLocalConf::read(&input.config, &at.args, input.version)
            .map_err(|p| p.into_error(&input.name))?;
        let dns = dns(&conf, input)?;
        let place = |error: CniError| error.context(&format!("network `{}`", input.name));
        let around = self.surroundings();
        let store = Store::of(&around.state_dir);
        let mut claims = around.claims.map(|make| make(&around.state_dir));
        let sources =
            Sources::read(&conf, &store, None, claims.as_deref_mut(), input.deadline).map_err(place)?;
        let requests = sources.requests(&conf.requested, &lease(&at.id(), input)?).map_err(place)?;
        let given = self.addresses(&store, &requests, input, claims.as_mut());
        let given = given.map_err(|error| place(error.into()));
        let given = given.inspect_err(|_| {
            // What was given of the one family goes with the other's failure.
            let _ = manifold_address_store::give::take_back(&store, &requests, input.deadline);
        })?;
        Ok(answer::result(&sources, &given, conf.routes, dns))
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        check::check(&self.store(), input, at)
    }

    /// The leases of the attachment go, whatever the configuration says. One that is damaged goes with the address that ADD
    /// answered.
    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        let id = at.id();
        let mine = |lease: &Lease| is_of(lease, &id) && lease.network == input.name;
        release(&self.store(), input, &mine)?;
        let answered = input.prev_result.iter().flat_map(|prev| &prev.ips);
        let answered: Vec<IpAddr> = answered.map(|ip| ip.address.addr()).collect();
        remove_damaged(&self.store(), input, &answered)
    }

    fn status(&self, input: &Input) -> Result<(), CniError> {
        let conf = ClusterLocalConf::read_without_request(&input.config, input.version)
            .map_err(|p| p.into_error(&input.name))?;
        readiness::ready(&conf, &self.store(), input)
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        let is_left = |lease: &Lease| lease.network == input.name && !keep.iter().any(|id| is_of(lease, id));
        release(&self.store(), input, &is_left)
    }
}

fn is_of(lease: &Lease, id: &AttachmentId) -> bool {
    lease.container.as_str() == id.container.trim() && lease.interface.as_str() == id.ifname
}

/// The lease that an attachment has or gets.
fn lease(id: &AttachmentId, input: &Input) -> Result<Lease, CniError> {
    let bad = |e: manifold_cni::name::BadName| {
        CniError::new(manifold_cni::code::INVALID_ENVIRONMENT, e.to_string())
    };
    Ok(Lease {
        container: id.container.trim().parse().map_err(bad)?,
        interface: id.ifname.parse().map_err(bad)?,
        network: input.name.clone(),
    })
}

/// In every domain: a definition may have another one today than when its pods came.
fn release(store: &Store, input: &Input, is_meant: &dyn Fn(&Lease) -> bool) -> Result<(), CniError> {
    let mut first = Ok(());
    for domain in store.domains().map_err(|e| told(input, e))? {
        let removed = remove_leases(&domain, is_meant, input.deadline);
        first = first.and(removed.map(drop).map_err(|e| told(input, e)));
    }
    first
}

fn remove_damaged(store: &Store, input: &Input, ips: &[IpAddr]) -> Result<(), CniError> {
    for domain in store.domains().map_err(|e| told(input, e))? {
        let is_meant = |found: &&Found| found.lease.is_none() && ips.contains(&found.ip);
        let found = domain.found().map_err(|e| told(input, e))?;
        if found.iter().any(|found| is_meant(&found)) {
            let locked = domain.lock(input.deadline).map_err(|e| told(input, e))?;
            let now = manifold_address_store::clock::now().map_err(|e| told(input, e))?;
            let found = locked.found().map_err(|e| told(input, e))?;
            for one in found.iter().filter(is_meant) {
                locked.remove_lease(one, &now).map_err(|e| told(input, e))?;
            }
        }
    }
    Ok(())
}

fn told(input: &Input, error: StoreError) -> CniError {
    CniError::from(error).context(&format!("network `{}`", input.name))
}

fn dns(conf: &ClusterLocalConf, input: &Input) -> Result<Dns, CniError> {
    let Some(path) = &conf.resolv_conf else { return Ok(Dns::default()) };
    resolv_conf::read_for(&input.name, path)
}
