//! Objects as the feeds hand them out, and what is kept of each.

use std::net::IpAddr;

use kube::core::DynamicObject;
use manifold_addresses::api::{ResourceVersion, Stored};
use manifold_addresses::pool::{Pool, PoolProblem};
use manifold_crds::NadRef;
use manifold_crds::ipam::{BlockSpec, NodeUid, PoolSpec, PoolStatus};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::mirror::Kept;
use crate::objects::Malformed;
use crate::objects::unreadable;

/// On a pool that shows a definition's own ranges: which definition, as `namespace/name`.
pub(super) const OF_DEFINITION: &str = "ipam.manifold.network/definition";
/// The taint by which an administrator says that a machine is off.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    namespace: String,
    name: String,
    uid: String,
    resource_version: String,
    deletion_timestamp: Option<String>,
    finalizers: Vec<String>,
}

#[derive(Deserialize)]
struct Object<T> {
    #[serde(default)]
    metadata: Metadata,
    spec: T,
}

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, Malformed> {
    serde_json::from_str(raw.get()).map_err(|e| unreadable(raw, &e))
}

/// A block.
pub(crate) fn block(raw: &RawValue) -> Result<Stored, Malformed> {
    let Object::<BlockSpec> { metadata, spec } = parse(raw)?;
    Ok(Stored { spec, version: ResourceVersion(metadata.resource_version), uid: metadata.uid })
}

/// The same of an answer.
pub(crate) fn stored(object: &DynamicObject) -> Result<Stored, serde_json::Error> {
    let spec = object.data.get("spec").cloned().unwrap_or_default();
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    Ok(Stored {
        spec: serde_json::from_value(spec)?,
        version: ResourceVersion(text(&object.metadata.resource_version)),
        uid: text(&object.metadata.uid),
    })
}

/// A pool, with the object itself: it is written back as it was but for what is ours.
#[derive(Clone, Debug)]
pub(super) struct PoolObject {
    pub(super) name: String,
    uid: String,
    version: String,
    pub(super) generation: Option<i64>,
    pub(super) finalizers: Vec<String>,
    pub(super) is_going: bool,
    /// The definition whose ranges it shows.
    pub(super) definition: Option<NadRef>,
    pub(super) spec: PoolSpec,
    pub(super) pool: Result<Pool, PoolProblem>,
    pub(super) status: PoolStatus,
    pub(super) object: DynamicObject,
}

impl Kept for PoolObject {
    type Key = String;

    fn key(&self) -> String {
        self.name.clone()
    }

    fn uid(&self) -> &str {
        &self.uid
    }

    fn version(&self) -> &str {
        &self.version
    }
}

pub(super) fn pool(raw: &RawValue) -> Result<PoolObject, Malformed> {
    pool_of(parse(raw)?)
}

pub(super) fn pool_of(mut object: DynamicObject) -> Result<PoolObject, Malformed> {
    object.metadata.managed_fields = None;
    let (meta, data) = (&object.metadata, &object.data);
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let malformed = |e: serde_json::Error| Malformed { reference: text(&meta.name), why: e.to_string() };
    let spec: PoolSpec =
        serde_json::from_value(data.get("spec").cloned().unwrap_or_default()).map_err(malformed)?;
    // What cannot be read is written anew.
    let status = serde_json::from_value(data.get("status").cloned().unwrap_or_default()).unwrap_or_default();
    let definition = meta.annotations.as_ref().and_then(|all| all.get(OF_DEFINITION));
    Ok(PoolObject {
        name: text(&meta.name),
        uid: text(&meta.uid),
        version: text(&meta.resource_version),
        generation: meta.generation,
        finalizers: meta.finalizers.clone().unwrap_or_default(),
        is_going: meta.deletion_timestamp.is_some(),
        definition: definition.and_then(|raw| raw.split_once('/')).and_then(|(a, b)| NadRef::new(a, b).ok()),
        pool: Pool::read(&spec),
        spec,
        status,
        object,
    })
}

/// A node: whether it is there is all that counts.
#[derive(Clone, Debug)]
pub(super) struct NodeObject {
    pub(super) name: String,
    pub(super) uid: NodeUid,
    pub(super) is_out_of_service: bool,
    version: String,
}

impl Kept for NodeObject {
    type Key = String;

    fn key(&self) -> String {
        self.name.clone()
    }

    fn uid(&self) -> &str {
        self.uid.as_str()
    }

    fn version(&self) -> &str {
        &self.version
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    taints: Vec<Taint>,
}

#[derive(Deserialize)]
struct Taint {
    key: String,
}

pub(super) fn node(raw: &RawValue) -> Result<NodeObject, Malformed> {
    let Object::<NodeSpec> { metadata, spec } = parse(raw)?;
    let uid = metadata
        .uid
        .parse()
        .map_err(|e| Malformed { reference: metadata.name.clone(), why: format!("{e}") })?;
    Ok(NodeObject {
        uid,
        is_out_of_service: spec.taints.iter().any(|taint| taint.key == OUT_OF_SERVICE),
        name: metadata.name,
        version: metadata.resource_version,
    })
}

/// An IPAMClaim.
#[derive(Clone, Debug)]
pub(super) struct ClaimObject {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    version: String,
    pub(super) finalizers: Vec<String>,
    pub(super) is_going: bool,
    /// As its status names them.
    pub(super) ips: Vec<IpAddr>,
}

impl Kept for ClaimObject {
    type Key = (String, String);

    fn key(&self) -> (String, String) {
        (self.namespace.clone(), self.name.clone())
    }

    fn uid(&self) -> &str {
        &self.uid
    }

    fn version(&self) -> &str {
        &self.version
    }
}

#[derive(Deserialize)]
struct ClaimRaw {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    status: ClaimStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClaimStatus {
    ips: Vec<String>,
}

pub(super) fn claim(raw: &RawValue) -> Result<ClaimObject, Malformed> {
    let ClaimRaw { metadata, status } = parse(raw)?;
    let address = |text: &String| text.split('/').next().unwrap_or_default().parse().ok();
    Ok(ClaimObject {
        ips: status.ips.iter().filter_map(address).collect(),
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
        version: metadata.resource_version,
        finalizers: metadata.finalizers,
        is_going: metadata.deletion_timestamp.is_some(),
    })
}
