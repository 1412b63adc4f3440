//! The pods of the built-in network, by name: metadata alone, a page at a time.

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::{Api, Client, ResourceExt as _};

use super::cluster_role::LABEL;

const PAGE: u32 = 500;
/// Those that run or will, with a network of their own.
const OWN_NETWORK: &str =
    "spec.hostNetwork=false,spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed";

/// Every pod with a network of its own but those of the controller, as `namespace/name`.
pub(super) async fn with_own_network(client: &Client, namespace: &str) -> anyhow::Result<Vec<String>> {
    let api: Api<Pod> = Api::all(client.clone());
    let mut names = Vec::new();
    let mut params = ListParams::default().fields(OWN_NETWORK).limit(PAGE);
    loop {
        let page = api.list_metadata(&params).await;
        let page =
            page.context("the pods cannot be listed, so it is unknown which use the built-in network")?;
        let others = page.items.iter().filter(|pod| !is_ours(pod, namespace));
        names.extend(others.map(|pod| format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(names),
        }
    }
}

fn is_ours(pod: &PartialObjectMeta<Pod>, namespace: &str) -> bool {
    let ObjectMeta { namespace: of, labels, .. } = &pod.metadata;
    let (key, value) = LABEL;
    of.as_deref() == Some(namespace)
        && labels.as_ref().and_then(|labels| labels.get(key)).is_some_and(|label| label == value)
}
