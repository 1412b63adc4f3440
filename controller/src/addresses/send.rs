//! Sends what was decided about a block: a create, or a replace or delete that names the version it was decided on.

use std::time::Duration;

use kube::Client;
use kube::api::{DeleteParams, DynamicObject, PostParams, Preconditions};
use manifold_addresses::api::{Stored, Write};
use manifold_crds::ipam::{Allocation, BlockCidr, BlockSpec, BlockState, Domain};
use serde_json::json;
use tokio::time::timeout;

use super::{read, resource};
use crate::objects::FIELD_MANAGER;

/// A request without an answer by then may still land.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of a write.
#[derive(Debug)]
pub(crate) enum Sent {
    /// The block as it is now; none: it is gone.
    Applied(Option<Stored>),
    /// Somebody else was quicker. The block has to be read again.
    Conflict,
    /// The API server does not take it, and would not take it again.
    Refused(String),
    /// Nobody knows whether it landed or will.
    Unknown(String),
}

/// Reads and writes blocks.
#[derive(Clone)]
pub(crate) struct BlockClient(pub(crate) Client);

impl std::fmt::Debug for BlockClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BlockClient")
    }
}

impl BlockClient {
    fn api(&self) -> kube::Api<DynamicObject> {
        resource::all(self.0.clone(), &resource::blocks())
    }

    /// As it is now; none: nobody has any of it.
    pub(crate) async fn read(&self, domain: &Domain, block: BlockCidr) -> anyhow::Result<Option<Stored>> {
        let found = timeout(PATIENCE, self.api().get_opt(&block.object_name(domain))).await??;
        Ok(found.map(|object| read::stored(&object)).transpose()?)
    }

    pub(crate) async fn send(&self, write: &Write) -> Sent {
        let (api, name) = (self.api(), write.block());
        let how = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let sent = async {
            match write {
                Write::Create(spec) => api.create(&how, &object(spec, None)).await.map(Some),
                Write::Replace { spec, version } => {
                    api.replace(&spec.object_name(), &how, &object(spec, Some(&version.0))).await.map(Some)
                }
                Write::Delete { domain, version, uid, .. } => {
                    let preconditions =
                        Preconditions { resource_version: Some(version.0.clone()), uid: Some(uid.clone()) };
                    let how = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
                    api.delete(&name.object_name(domain), &how).await.map(|_| None)
                }
            }
        };
        match timeout(PATIENCE, sent).await {
            Ok(Ok(object)) => match object.map(|object| read::stored(&object)).transpose() {
                Ok(stored) => Sent::Applied(stored),
                Err(error) => Sent::Unknown(error.to_string()),
            },
            Ok(Err(kube::Error::Api(status))) => match status.code {
                404 | 409 => Sent::Conflict,
                400 | 403 | 413 | 415 | 422 => Sent::Refused(status.message.clone()),
                _ => Sent::Unknown(status.message.clone()),
            },
            Ok(Err(error)) => Sent::Unknown(error.to_string()),
            Err(_) => Sent::Unknown(format!("no answer in {PATIENCE:?}")),
        }
    }
}

/// The whole object: nobody but us writes blocks, so all of it is ours.
fn object(spec: &BlockSpec, version: Option<&str>) -> DynamicObject {
    let spec = dated(spec);
    let mut object = DynamicObject::new(&spec.object_name(), &resource::blocks());
    object.metadata.labels = Some(spec.labels());
    object.metadata.resource_version = version.map(str::to_owned);
    object.data = json!({ "spec": spec });
    object
}

/// With the time, for people, where something has begun just now.
fn dated(spec: &BlockSpec) -> BlockSpec {
    let mut spec = spec.clone();
    let now = now();
    let date = |since: &mut String| {
        if since.is_empty() {
            since.clone_from(&now);
        }
    };
    match &mut spec.state {
        BlockState::Held(held) => {
            date(&mut held.holder.since);
            held.recall.iter_mut().for_each(|recall| date(&mut recall.since));
        }
        BlockState::Shared(all) => {
            for allocation in all.values_mut() {
                if let Allocation::Node(share) = allocation {
                    date(&mut share.since);
                }
            }
        }
    }
    spec
}

/// RFC 3339, to the second.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_its_name_labels_and_dates() {
        let spec: BlockSpec = serde_json::from_value(json!({
            "domain": "default", "start": "10.1.7.16", "state": "Held",
            "holder": { "node": "n", "uid": "u-1", "store": "0123456789abcdef0123456789abcdef", "epoch": 1, "since": "s" },
            "recall": { "reason": "PoolShort" },
        }))
        .unwrap();
        let object = object(&spec, Some("7"));
        assert_eq!(object.metadata.name.as_deref(), Some("default.10-1-7-16"));
        assert_eq!(object.metadata.resource_version.as_deref(), Some("7"));
        assert!(object.metadata.labels.unwrap().contains_key("held-by.ipam.manifold.network/u-1"));
        assert_eq!(object.data.pointer("/spec/holder/since"), Some(&json!("s")));
        assert!(object.data.pointer("/spec/recall/since").and_then(|v| v.as_str()).unwrap().ends_with('Z'));
    }
}
