//! Pools, blocks and claims as the API server has them, for reviews and reports: read once, followed by nobody.

use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};
use manifold_addresses::pool::Pool;
use manifold_crds::ipam::{self, BlockSpec, Domain, PoolSpec, PoolStatus};
use serde::de::DeserializeOwned;

use crate::addresses::resource;

/// How many objects of a list are asked for at once.
const PAGE: u32 = 500;

pub fn pools(client: &Client) -> Api<DynamicObject> {
    resource::all(client.clone(), &resource::pools())
}

pub fn blocks(client: &Client) -> Api<DynamicObject> {
    resource::all(client.clone(), &resource::blocks())
}

/// The standard's claims of addresses.
pub fn claims(client: &Client) -> Api<DynamicObject> {
    resource::all(client.clone(), &resource::claims())
}

/// A pool as it is stored.
#[derive(Clone, Debug)]
pub struct StoredPool {
    pub name: String,
    pub spec: PoolSpec,
    pub status: PoolStatus,
}

impl StoredPool {
    /// None where it has no shape of a pool: whoever reads it tells of that.
    pub fn read(object: &DynamicObject) -> Option<Self> {
        Some(Self {
            name: object.metadata.name.clone()?,
            spec: part(object, "spec")?,
            status: part(object, "status").unwrap_or_default(),
        })
    }

    /// The same, read strictly.
    pub fn pool(&self) -> Option<Pool> {
        Pool::read(&self.spec).ok()
    }
}

/// What a block says. None where it has no shape of one.
pub fn block(object: &DynamicObject) -> Option<BlockSpec> {
    part(object, "spec")
}

pub(crate) fn part<T: DeserializeOwned>(object: &DynamicObject, key: &str) -> Option<T> {
    serde_json::from_value(object.data.get(key).filter(|part| !part.is_null())?.clone()).ok()
}

/// Only the blocks of a domain.
pub fn of_domain(domain: &Domain) -> ListParams {
    ListParams::default().labels(&format!("{}={domain}", ipam::DOMAIN_LABEL))
}

/// Page by page. Of a resource that the API server does not know there is nothing.
pub async fn list(api: &Api<DynamicObject>, params: ListParams) -> Result<Vec<DynamicObject>, kube::Error> {
    let mut params = params.limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = match api.list(&params).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(all),
            page => page?,
        };
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}
