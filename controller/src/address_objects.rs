//! Pools, blocks and claims as the API server has them, for reviews and reports: read once, followed by nobody.

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client};
use manifold_addresses::pool::Pool;
use manifold_crds::ipam::{self, BlockSpec, Domain, PoolSpec, PoolStatus};
use manifold_crds::keys;
use serde::de::DeserializeOwned;

/// How many objects of a list are asked for at once.
const PAGE: u32 = 500;
const CLAIMS_VERSION: &str = "v1alpha1";

fn resource(kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: ipam::GROUP.to_owned(),
        version: ipam::VERSION.to_owned(),
        api_version: ipam::API_VERSION.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

pub fn pools(client: &Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &resource(ipam::pool::KIND, ipam::pool::PLURAL))
}

pub fn blocks(client: &Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &resource(ipam::block::KIND, ipam::block::PLURAL))
}

/// The standard's claims of addresses.
pub fn claims(client: &Client) -> Api<DynamicObject> {
    let claims = ApiResource {
        group: keys::GROUP.to_owned(),
        version: CLAIMS_VERSION.to_owned(),
        api_version: format!("{}/{CLAIMS_VERSION}", keys::GROUP),
        kind: "IPAMClaim".to_owned(),
        plural: "ipamclaims".to_owned(),
    };
    Api::all_with(client.clone(), &claims)
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
