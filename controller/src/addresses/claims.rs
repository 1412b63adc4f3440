//! What becomes of IPAMClaims and their addresses. Pure: what is to be done is decided here, `claim_writes.rs` does it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use kube::core::DynamicObject;
use manifold_addresses::moment::Seconds;
use manifold_crds::ipam::{Domain, Sticky};
use manifold_crds::{ClaimName, NadRef};
use serde_json::json;

use super::read::ClaimObject;
use super::resource;
use super::view::View;

/// On a claim that has addresses: it stays until they are free.
pub(super) const FINALIZER: &str = "ipam.manifold.network/addresses";
/// An ADD that took addresses for a claim writes them there itself; who was killed in between is helped after so long.
const COMPLETE_AFTER_SECONDS: Seconds = 5;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ClaimTask {
    /// It has addresses, so it must not vanish without a word.
    AddFinalizer { namespace: String, name: String, uid: String },
    /// It ends: its addresses go, once no pod names it, and then the claim.
    Release { namespace: String, name: String, uid: String, addresses: Vec<(Domain, IpAddr)> },
    /// It has addresses that its status does not tell, with the prefix lengths of their pools.
    Complete { namespace: String, name: String, uid: String, ips: Vec<String> },
    /// A pod of a StatefulSet is to keep its address.
    Create(Box<DynamicObject>),
}

/// Since when claims have addresses that their status does not tell, by UID.
pub(super) type Untold = BTreeMap<String, Seconds>;

pub(super) fn tasks(view: &View, untold: &mut Untold, now: Seconds) -> Vec<ClaimTask> {
    if !view.has_claims {
        return Vec::new();
    }
    let of_claims = view.of_claims();
    let mut tasks = Vec::new();
    let mut still = Untold::new();
    for claim in view.claims.iter() {
        let addresses = of_claims.get(claim.uid.as_str()).map_or(&[][..], Vec::as_slice);
        tasks.extend(of_claim(view, claim, addresses, untold, &mut still, now));
    }
    *untold = still;
    tasks.extend(sticky(view));
    tasks
}

fn of_claim(
    view: &View,
    claim: &ClaimObject,
    addresses: &[(&Domain, IpAddr)],
    untold: &Untold,
    still: &mut Untold,
    now: Seconds,
) -> Option<ClaimTask> {
    let ClaimObject { namespace, name, uid, .. } = claim.clone();
    let is_ours = claim.finalizers.iter().any(|finalizer| finalizer == FINALIZER);
    if claim.is_going {
        let addresses = addresses.iter().map(|(domain, ip)| ((*domain).clone(), *ip)).collect();
        return is_ours.then_some(ClaimTask::Release { namespace, name, uid, addresses });
    }
    if addresses.is_empty() {
        return None;
    }
    if !is_ours {
        return Some(ClaimTask::AddFinalizer { namespace, name, uid });
    }
    if !claim.ips.is_empty() {
        return None;
    }
    let since = *untold.get(&uid).unwrap_or(&now);
    still.insert(uid.clone(), since);
    let ips = told(view, addresses);
    let is_due = now.saturating_sub(since) >= COMPLETE_AFTER_SECONDS && !ips.is_empty();
    is_due.then_some(ClaimTask::Complete { namespace, name, uid, ips })
}

/// One address of each subnet, with its prefix length: two ADDs at once may have taken two.
fn told(view: &View, addresses: &[(&Domain, IpAddr)]) -> Vec<String> {
    let mut by_subnet = BTreeMap::new();
    for (domain, ip) in addresses {
        let has =
            |pool: &&manifold_addresses::pool::Pool| pool.domain == **domain && pool.subnet.contains(ip);
        if let Some(pool) = view.read_pools().map(|(_, pool)| pool).find(has) {
            by_subnet
                .entry((*domain, pool.subnet))
                .or_insert_with(|| format!("{ip}/{}", pool.subnet.prefix_len()));
        }
    }
    by_subnet.into_values().collect()
}

/// Claims that pods of StatefulSets need in pools with `sticky: StatefulSet`, and that are not there.
fn sticky(view: &View) -> Vec<ClaimTask> {
    let mut tasks = Vec::new();
    for (pod, _, asks) in view.pods.asking() {
        let (Some(set), Some((namespace, pod))) = (&asks.set, pod.split_once('/')) else { continue };
        for (network, interface) in &asks.interfaces {
            let Some(network) = network.split_once('/').and_then(|(a, b)| NadRef::new(a, b).ok()) else {
                continue;
            };
            if !is_sticky(view, &network) {
                continue;
            }
            let Some(name) = claim_name(pod, &network, interface) else { continue };
            if view.claims.get(&(namespace.to_owned(), name.to_string())).is_none() {
                tasks.push(ClaimTask::Create(Box::new(claim(namespace, &name, &network, interface, set))));
            }
        }
    }
    tasks
}

fn is_sticky(view: &View, network: &NadRef) -> bool {
    let pools = view.definitions.get(network).into_iter().flat_map(|definition| definition.pools());
    let spec = |name: &manifold_crds::ipam::PoolName| {
        view.pools.get(&name.as_str().to_owned()).map(|pool| pool.spec.sticky)
    };
    pools.filter_map(spec).any(|sticky| sticky == Sticky::StatefulSet)
}

/// `<pod>.<network>.<interface>`, the usual form (NPWG-8.3-1). None where that is no name: an interface may be called `A_1`.
fn claim_name(pod: &str, network: &NadRef, interface: &str) -> Option<ClaimName> {
    format!("{pod}.{}.{interface}", network.name).parse().ok()
}

fn claim(
    namespace: &str,
    name: &ClaimName,
    network: &NadRef,
    interface: &str,
    set: &super::facts::Owner,
) -> DynamicObject {
    let mut object = DynamicObject::new(name.as_str(), &resource::claims());
    object.metadata.namespace = Some(namespace.to_owned());
    object.metadata.labels =
        Some([("app.kubernetes.io/managed-by".to_owned(), "manifold".to_owned())].into());
    object.metadata.owner_references =
        Some(vec![k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
            api_version: "apps/v1".to_owned(),
            kind: "StatefulSet".to_owned(),
            name: set.name.clone(),
            uid: set.uid.clone(),
            ..Default::default()
        }]);
    object.data = json!({ "spec": { "network": network.name.as_str(), "interface": interface } });
    object
}
