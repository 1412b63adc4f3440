//! Claims of addresses by the API server: blocks and pools, over the connection of the ADD.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use manifold_address_store::give::AddressRequest;
use manifold_address_store::kept::{ClaimApi, IpamClaim, KeptRequest, obtain_kept};
use manifold_address_store::no_address::NoAddress;
use manifold_address_store::obtain::obtain;
use manifold_address_store::{ApiError, BlockApi, Claims, PoolObject, Store, Written};
use manifold_addresses::api::{Identity, ResourceVersion, Stored, Write};
use manifold_crds::ipam::{BlockCidr, BlockSpec, Claim, Domain, PoolName, PoolSpec, PoolStatus};
use manifold_crds::{ClaimName, Namespace};
use serde::Deserialize;

use super::ask::{Answer, Ask};
use super::call::{Session, Setback};
use super::credentials::Credentials;
use super::{Kubernetes, no_resource, within};
use crate::config::Limits;
use crate::source::{Kind, SourceError};

impl Claims for Kubernetes {
    fn obtain(
        &mut self,
        store: &Store,
        me: &Identity,
        requests: &[AddressRequest],
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, NoAddress> {
        let deadline = within(deadline, Limits::API);
        let session = self.session().map_err(told)?;
        session.run(obtain(store, me, &Requests { session, deadline }, requests, deadline))
    }

    fn obtain_kept(
        &mut self,
        store: &Store,
        wanted: &KeptRequest,
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, NoAddress> {
        let deadline = within(deadline, Limits::API);
        let session = self.session().map_err(told)?;
        session.run(obtain_kept(store, &Requests { session, deadline }, wanted, deadline))
    }

    fn pool(&mut self, name: &PoolName, deadline: Instant) -> Result<Option<PoolObject>, ApiError> {
        let deadline = within(deadline, Limits::API);
        let session = self.session().map_err(told)?;
        session.run(Requests { session, deadline }.pool(name))
    }
}

/// For the plugin alone, called by another meta-plugin: with the credentials that the node role keeps. None where there are
/// none: no cluster.
pub fn claims(state_dir: &Path) -> Box<dyn Claims> {
    Box::new(Kubernetes::new(Credentials::Kubeconfig(kubeconfig(state_dir)), state_dir))
}

/// Where the node role puts it.
pub fn kubeconfig(state_dir: &Path) -> std::path::PathBuf {
    state_dir.join("credentials/kubeconfig")
}

fn told(error: SourceError) -> ApiError {
    ApiError::new(error.what)
}

/// Every request of one ADD.
struct Requests<'a> {
    session: &'a Session,
    deadline: Instant,
}

impl BlockApi for Requests<'_> {
    async fn block(&self, domain: &Domain, block: BlockCidr) -> Result<Option<Stored>, ApiError> {
        let ask = Ask::block(&block.object_name(domain));
        let read = |answer: &Answer| read_block(domain, block, &ask, answer);
        self.session.call(&ask, self.deadline, read).await.map_err(told)
    }

    async fn write(&self, write: &Write) -> Result<Written, ApiError> {
        let (spec, version) = match write {
            Write::Create(spec) => (spec, None),
            Write::Replace { spec, version } => (spec, Some(version)),
            Write::Delete { .. } => {
                return Err(ApiError::new("a node deletes no block; report this as a bug"));
            }
        };
        let ask = Ask::write_block(spec, version);
        let read = |answer: &Answer| read_written(&ask, answer, version.is_some());
        self.session.call(&ask, self.deadline, read).await.map_err(told)
    }

    async fn pool(&self, name: &PoolName) -> Result<Option<PoolObject>, ApiError> {
        let ask = Ask::pool(name);
        let read = |answer: &Answer| read_pool(name, &ask, answer);
        self.session.call(&ask, self.deadline, read).await.map_err(told)
    }

    async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

impl ClaimApi for Requests<'_> {
    async fn ipam_claim(
        &self,
        namespace: &Namespace,
        name: &ClaimName,
    ) -> Result<Option<IpamClaim>, ApiError> {
        let ask = Ask::ipam_claim(namespace, name);
        let read = |answer: &Answer| read_claim(name, &ask, answer);
        self.session.call(&ask, self.deadline, read).await.map_err(told)
    }

    async fn write_claim_status(
        &self,
        claim: &Claim,
        object: &serde_json::Value,
    ) -> Result<Written, ApiError> {
        let unreadable = |e: manifold_crds::name::BadName| ApiError::new(e.to_string());
        let namespace = claim.namespace.parse().map_err(unreadable)?;
        let name = claim.name.parse().map_err(unreadable)?;
        let ask = Ask::write_claim(&namespace, &name, object);
        let read = |answer: &Answer| read_written(&ask, answer, true);
        self.session.call(&ask, self.deadline, read).await.map_err(told)
    }
}

fn read_claim(name: &ClaimName, ask: &Ask, answer: &Answer) -> Result<Option<IpamClaim>, Setback> {
    #[derive(Deserialize)]
    struct Object {
        metadata: Metadata,
        #[serde(default)]
        spec: Spec,
        #[serde(default)]
        status: Status,
    }
    #[derive(Deserialize)]
    struct Metadata {
        namespace: String,
        name: String,
        uid: String,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Spec {
        network: String,
        interface: String,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Status {
        ips: Vec<String>,
    }
    if is_missing(ask, answer, name.as_str())? {
        return Ok(None);
    }
    answer.ok(ask)?;
    let object: serde_json::Value = serde_json::from_slice(&answer.body).map_err(|e| ask.garbage(&e))?;
    let Object { metadata, spec, status } =
        serde_json::from_value(object.clone()).map_err(|e| ask.garbage(&e))?;
    Ok(Some(IpamClaim {
        id: Claim { namespace: metadata.namespace, name: metadata.name, uid: metadata.uid },
        network: spec.network,
        interface: spec.interface,
        ips: status.ips,
        object,
    }))
}

fn read_block(
    domain: &Domain,
    block: BlockCidr,
    ask: &Ask,
    answer: &Answer,
) -> Result<Option<Stored>, Setback> {
    #[derive(Deserialize)]
    struct Object {
        metadata: Metadata,
        spec: BlockSpec,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        uid: String,
        resource_version: String,
    }
    let name = block.object_name(domain);
    if is_missing(ask, answer, &name)? {
        return Ok(None);
    }
    answer.ok(ask)?;
    // Asking again would give the same.
    let bad = |why: String| SourceError::new(Kind::Refused, format!("AddressBlock `{name}`: {why}"));
    let Object { metadata, spec } = serde_json::from_slice(&answer.body).map_err(|e| bad(e.to_string()))?;
    if spec.domain != *domain || spec.cidr != block {
        return Err(bad("it is about other addresses than its name says; delete it".to_owned()).into());
    }
    Ok(Some(Stored { spec, version: ResourceVersion(metadata.resource_version), uid: metadata.uid }))
}

/// 409: it exists, or has another version. 404 of a replace: it is gone.
fn read_written(ask: &Ask, answer: &Answer, is_replace: bool) -> Result<Written, Setback> {
    match answer.status {
        409 => Ok(Written::Conflict),
        404 if is_replace => Ok(Written::Conflict),
        404 => Err(no_resource(ask).into()),
        _ => answer.ok(ask).map(|()| Written::Applied),
    }
}

fn read_pool(name: &PoolName, ask: &Ask, answer: &Answer) -> Result<Option<PoolObject>, Setback> {
    #[derive(Deserialize)]
    struct Object {
        spec: PoolSpec,
        #[serde(default)]
        status: PoolStatus,
    }
    if is_missing(ask, answer, name.as_str())? {
        return Ok(None);
    }
    answer.ok(ask)?;
    let bad = |e: serde_json::Error| {
        SourceError::new(Kind::Refused, format!("AddressPool `{name}`: {e}; correct it"))
    };
    let Object { spec, status } = serde_json::from_slice(&answer.body).map_err(bad)?;
    Ok(Some(PoolObject { spec, status }))
}

/// Whether the object is missing. Only then the answer names it; else the whole resource is.
fn is_missing(ask: &Ask, answer: &Answer, name: &str) -> Result<bool, Setback> {
    if answer.status != 404 {
        return Ok(false);
    }
    let names_it = answer.kubernetes_status().and_then(|s| s.details).is_some_and(|d| d.name == name);
    if names_it { Ok(true) } else { Err(no_resource(ask).into()) }
}
