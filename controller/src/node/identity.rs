//! Which node this is, as the API server sees it: told by the token of our own pod, not by a name that somebody set.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::timeout;

const NAME: &str = "authentication.kubernetes.io/node-name";
const UID: &str = "authentication.kubernetes.io/node-uid";
/// One question.
pub const ANSWER: Duration = Duration::from_secs(5);

/// The Node that a token is bound to, of itself or by its pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub node: String,
    pub uid: Option<String>,
}

/// Asks the server whose token this is. The error says how to mend it.
pub async fn of(client: &Client) -> anyhow::Result<Identity> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let (how, question) = (PostParams::default(), SelfSubjectReview::default());
    let answer = timeout(ANSWER, api.create(&how, &question)).await;
    let answer = answer.map_err(|_| anyhow!("no answer in time"))?.context(
        "the API server does not say which account this is; grant `create` of `selfsubjectreviews` in `authentication.k8s.io`",
    )?;
    let user = answer.status.and_then(|status| status.user_info).unwrap_or_default();
    let who = user.username.unwrap_or_default();
    read(&user.extra.unwrap_or_default()).with_context(|| {
        format!("the token of `{who}` is bound to no Node; use one that the kubelet projects into a pod (Kubernetes 1.33 or later)")
    })
}

fn read(extra: &BTreeMap<String, Vec<String>>) -> Option<Identity> {
    let one = |key: &str| match extra.get(key).map(Vec::as_slice) {
        Some([value]) if !value.is_empty() => Some(value.clone()),
        _ => None,
    };
    Some(Identity { node: one(NAME)?, uid: one(UID) })
}
