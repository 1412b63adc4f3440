//! The requests of the node role for addresses, with its own account.

use std::time::Duration;

use kube::Client;
use manifold_address_store::{ApiError, BlockApi, PoolObject, Written};
use manifold_addresses::api::{Stored, Write};
use manifold_crds::ipam::{BlockCidr, Domain, PoolName};
use tokio::time::timeout;

use crate::addresses::resource;
use crate::addresses::send::{BlockClient, Sent};
use crate::node::identity::ANSWER;

#[derive(Clone)]
pub(super) struct NodeApi {
    client: Client,
    blocks: BlockClient,
}

impl std::fmt::Debug for NodeApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeApi")
    }
}

impl NodeApi {
    pub(super) fn new(client: Client) -> Self {
        Self { blocks: BlockClient(client.clone()), client }
    }
}

impl BlockApi for NodeApi {
    async fn block(&self, domain: &Domain, block: BlockCidr) -> Result<Option<Stored>, ApiError> {
        let read = self.blocks.read(domain, block).await;
        read.map_err(|why| ApiError::new(format!("block `{block}` of `{domain}` cannot be read: {why:#}")))
    }

    async fn write(&self, write: &Write) -> Result<Written, ApiError> {
        match self.blocks.send(write).await {
            Sent::Applied(_) => Ok(Written::Applied),
            Sent::Conflict => Ok(Written::Conflict),
            Sent::Refused(why) | Sent::Unknown(why) => {
                Err(ApiError::new(format!("block `{}` cannot be written: {why}", write.block())))
            }
        }
    }

    async fn pool(&self, name: &PoolName) -> Result<Option<PoolObject>, ApiError> {
        let api = resource::all(self.client.clone(), &resource::pools());
        let no = |why: String| ApiError::new(format!("pool `{name}` cannot be read: {why}"));
        let found = timeout(ANSWER, api.get_opt(name.as_str())).await;
        let found = found.map_err(|_| no("no answer in time".to_owned()))?.map_err(|e| no(e.to_string()))?;
        let Some(object) = found.filter(|object| object.metadata.deletion_timestamp.is_none()) else {
            return Ok(None);
        };
        let read = |key: &str| object.data.get(key).cloned();
        let spec = serde_json::from_value(read("spec").unwrap_or_default()).map_err(|e| no(e.to_string()))?;
        let status =
            read("status").and_then(|status| serde_json::from_value(status).ok()).unwrap_or_default();
        Ok(Some(PoolObject { spec, status }))
    }

    async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
