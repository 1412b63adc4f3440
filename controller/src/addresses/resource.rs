//! The resources of address management, as paths of the API server name them.

use std::sync::Arc;

use kube::Client;
use kube::api::{ApiResource, DynamicObject};
use manifold_crds::{ipam, keys};

use crate::feed::{Source, Trouble};
use crate::node::identity::ANSWER;

/// The standard's claims of addresses.
const CLAIMS: &str = "ipamclaims";
const CLAIMS_VERSION: &str = "v1alpha1";

fn ours(kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: ipam::GROUP.to_owned(),
        version: ipam::VERSION.to_owned(),
        api_version: ipam::API_VERSION.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

pub(crate) fn blocks() -> ApiResource {
    ours(ipam::block::KIND, ipam::block::PLURAL)
}

pub(crate) fn pools() -> ApiResource {
    ours(ipam::pool::KIND, ipam::pool::PLURAL)
}

pub(crate) fn claims() -> ApiResource {
    ApiResource {
        group: keys::GROUP.to_owned(),
        version: CLAIMS_VERSION.to_owned(),
        api_version: format!("{}/{CLAIMS_VERSION}", keys::GROUP),
        kind: "IPAMClaim".to_owned(),
        plural: CLAIMS.to_owned(),
    }
}

/// All of a resource, to be followed.
pub(crate) fn source(
    resource: &'static str,
    of: &ApiResource,
    told: impl Fn(Trouble) + Send + Sync + 'static,
) -> Source {
    let path = format!("/apis/{}/{}", of.api_version, of.plural);
    Source { resource, path, fields: None, labels: None, metadata_only: false, told: Arc::new(told) }
}

/// Whether the API server knows a resource. A question that is not answered says no. A version that is not there is not asked
/// about: that would be refused again and again, and be counted as an error by whoever watches the API server.
pub(crate) async fn is_served(client: &Client, resource: &ApiResource) -> bool {
    let asked = async {
        let groups = client.list_api_groups().await?.groups;
        let mut versions = groups.iter().flat_map(|group| &group.versions);
        if !versions.any(|version| version.group_version == resource.api_version) {
            return Ok(false);
        }
        let served = client.list_api_group_resources(&resource.api_version).await?;
        Ok::<_, kube::Error>(served.resources.iter().any(|one| one.name == resource.plural))
    };
    matches!(tokio::time::timeout(ANSWER, asked).await, Ok(Ok(true)))
}

/// Of the cluster.
pub(crate) fn all(client: Client, resource: &ApiResource) -> kube::Api<DynamicObject> {
    kube::Api::all_with(client, resource)
}
