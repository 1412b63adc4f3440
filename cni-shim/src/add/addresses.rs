//! Addresses of IPAM type `cluster-local`, for all networks of the pod at once: after the entry is durable, so that DEL knows
//! whose leases these are, and before the first plugin runs, so that a pod without addresses was never attached.
//!
//! The plugin finds the leases by container and interface, in the process or executed below somebody's interface plugin.

use std::time::Instant;

use manifold_address_store::give::{AddressRequest, Given, give_held};
use manifold_address_store::kept::KeptRequest;
use manifold_address_store::no_address::NoAddress;
use manifold_address_store::obtain::without_cluster;
use manifold_address_store::{Claims, Store, StoreError};
use manifold_addresses::api::Identity;
use manifold_addresses::lease::Lease;
use manifold_cni::derive::Derived;
use manifold_cni::{CniArgs, CniError, ContainerId, RawObject};
use manifold_crds::ipam::Domain;
use manifold_crds::{ClaimName, NadRef};
use manifold_ledger::{Entry, Recorded, RecordedPlugin};
use manifold_plan::Plan;
use manifold_plugin_conf::{ClusterLocalConf, cluster_local};
use manifold_plugins::ipam::cluster_local::sources::Sources;

use crate::chain;
use crate::config::Limits;
use crate::crash;
use crate::shim::Shim;
use crate::source::Source;

/// Makes a lease for each address that the entry's networks need. Opens no connection while the node has free ones.
pub(super) fn lease(
    shim: &Shim,
    entry: &Entry,
    plan: &Plan,
    source: Option<&mut (dyn Source + 'static)>,
) -> Result<(), CniError> {
    // Most pods have none, and pay nothing for it.
    if !entry.attachments.iter().any(|recorded| recorded.plugins.iter().any(is_ours)) {
        return Ok(());
    }
    let mut claims = source.and_then(|source| source.claims());
    let deadline = shim.add_deadline().min(Instant::now() + Limits::API);
    let store = Store::of(&shim.config.state_dir);
    let mut requests: Vec<AddressRequest> = Vec::new();
    for (n, recorded) in entry.attachments.iter().enumerate() {
        let place = |e: CniError| e.context(&format!("network `{}`", recorded.display));
        let planned = plan.attachments.get(n);
        for config in configurations(recorded)? {
            let definition = planned.and_then(|planned| planned.nad.as_ref());
            let of = Asking { store: &store, container: &entry.container, recorded, definition, deadline };
            let found = of.requests(&config, claims.as_deref_mut()).map_err(place)?;
            match planned.and_then(|planned| planned.ipam_claim.as_ref()) {
                None => requests.extend(found),
                Some(claim) => keep(&of, claim, found, entry, claims.as_deref_mut()).map_err(place)?,
            }
        }
    }
    if requests.is_empty() {
        return Ok(());
    }
    let made = make(&store, &requests, claims, deadline);
    crash::point("leased");
    made.map_err(|error| told(error, entry, &requests))
}

/// The addresses of an attachment that refers to an IPAMClaim.
fn keep(
    of: &Asking<'_>,
    claim: &ClaimName,
    requests: Vec<AddressRequest>,
    entry: &Entry,
    claims: Option<&mut (dyn Claims + 'static)>,
) -> Result<(), CniError> {
    let claims = claims.ok_or_else(|| {
        CniError::config(
            "`ipam-claim-reference` needs a cluster, and this node has none; remove it from the pod",
        )
    })?;
    let pod = entry.pod.as_ref().map(|pod| (pod.namespace.parse(), pod.name.clone()));
    let Some((Ok(namespace), pod)) = pod else {
        return Err(CniError::config("`ipam-claim-reference` needs a pod of Kubernetes; remove it"));
    };
    // Writers of claims call a network by its configuration's name, or by its definition's.
    let mut networks = vec![of.recorded.network.to_string(), of.recorded.display.clone()];
    networks.extend(of.definition.map(|definition| definition.name.to_string()));
    let wanted = KeptRequest { namespace, pod, claim: claim.clone(), networks, requests };
    claims.obtain_kept(of.store, &wanted, of.deadline).map(drop).map_err(CniError::from)
}

fn make(
    store: &Store,
    requests: &[AddressRequest],
    claims: Option<&mut (dyn Claims + 'static)>,
    deadline: Instant,
) -> Result<(), NoAddress> {
    let me = match (store.identity(), &claims) {
        (Err(StoreError::NoIdentity { .. }), None) => return Err(nobody(requests)),
        (me, _) => me?,
    };
    if held(store, &me, requests, deadline)? {
        return Ok(());
    }
    match claims {
        Some(claims) => claims.obtain(store, &me, requests, deadline).map(drop),
        None => {
            manifold_address_store::give::take_back(store, requests, deadline)?;
            Err(nobody(requests))
        }
    }
}

fn nobody(requests: &[AddressRequest]) -> NoAddress {
    let missing = manifold_address_store::give::Missing::Short { request: 0, shortages: Vec::new() };
    without_cluster(requests, &missing)
}

/// Whether the node has an address for each.
fn held(
    store: &Store,
    me: &Identity,
    requests: &[AddressRequest],
    deadline: Instant,
) -> Result<bool, NoAddress> {
    let mut domains: Vec<&Domain> = requests.iter().filter_map(AddressRequest::domain).collect();
    domains.sort();
    domains.dedup();
    for domain in domains {
        let own: Vec<AddressRequest> =
            requests.iter().filter(|r| r.domain() == Some(domain)).cloned().collect();
        let Given { missing, .. } = give_held(&store.domain(domain), me, &own, deadline)?;
        if missing.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// With the network where it can only be one's fault.
fn told(error: NoAddress, entry: &Entry, requests: &[AddressRequest]) -> CniError {
    let error = CniError::from(error);
    let asks = |recorded: &&Recorded| {
        requests.iter().any(|r| r.lease.interface == recorded.ifname && r.lease.network == recorded.network)
    };
    let mut asking = entry.attachments.iter().filter(asks);
    match (asking.next(), asking.next()) {
        (Some(only), None) => error.context(&format!("network `{}`", only.display)),
        _ => error,
    }
}

/// One network's part.
struct Asking<'a> {
    store: &'a Store,
    container: &'a ContainerId,
    recorded: &'a Recorded,
    definition: Option<&'a NadRef>,
    deadline: Instant,
}

impl Asking<'_> {
    fn requests(
        &self,
        config: &RawObject,
        claims: Option<&mut (dyn Claims + 'static)>,
    ) -> Result<Vec<AddressRequest>, CniError> {
        let args = CniArgs::parse(&self.recorded.args_add);
        let conf = ClusterLocalConf::read(config, &args, self.recorded.version)
            .map_err(|problem| problem.into_error(&self.recorded.network))?;
        let sources = Sources::read(&conf, self.store, self.definition, claims, self.deadline)?;
        let lease = Lease {
            container: self.container.clone(),
            interface: self.recorded.ifname.clone(),
            network: self.recorded.network.clone(),
        };
        sources.requests(&conf.requested, &lease)
    }
}

/// What the plugins of a network that have our IPAM get on their stdin.
fn configurations(recorded: &Recorded) -> Result<Vec<RawObject>, CniError> {
    let runtime = recorded
        .runtime
        .iter()
        .map(|(key, value)| Ok((key.clone(), chain::raw(value)?)))
        .collect::<Result<_, CniError>>()?;
    let mut found = Vec::new();
    for plugin in recorded.plugins.iter().filter(|plugin| is_ours(plugin)) {
        let derived = Derived {
            name: &recorded.network,
            version: recorded.version,
            runtime: Some(&runtime),
            prev_result: None,
            valid_attachments: None,
        };
        let bytes = derived.bytes(&chain::conf(plugin)?);
        let keys = RawObject::parse(&bytes).map_err(|e| CniError::failed(e.to_string()))?;
        found.push(keys);
    }
    Ok(found)
}

fn is_ours(plugin: &RecordedPlugin) -> bool {
    #[derive(serde::Deserialize)]
    struct Named {
        #[serde(rename = "type")]
        kind: Option<String>,
    }
    let keys = RawObject::parse(plugin.config.as_slice()).ok();
    let ipam = keys.and_then(|keys| keys.get_as::<Named>("ipam").ok().flatten());
    ipam.and_then(|ipam| ipam.kind).is_some_and(|kind| kind == cluster_local::TYPE)
}
