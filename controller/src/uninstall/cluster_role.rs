//! The controller stops before anything else: it would restore what goes, and its pods live in the default network.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::sleep;

use super::nodes::Nodes;

const NAME: &str = "manifold-controller";
pub(super) const LABEL: (&str, &str) = ("app.kubernetes.io/name", NAME);
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct ClusterRole {
    deployments: Api<Deployment>,
    pods: Api<Pod>,
}

impl ClusterRole {
    pub(super) fn new(client: &Client, namespace: &str) -> Self {
        Self {
            deployments: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
        }
    }

    /// Whether pods of it are left on nodes that can take them down.
    pub(super) async fn has_pods(&self, nodes: &Nodes) -> anyhow::Result<bool> {
        Ok(self.pods().await?.iter().any(|pod| !nodes.is_pod_down(pod)))
    }

    /// Returns how many replicas it had when its pods are gone. Those of nodes that are down are not waited for.
    pub(super) async fn stop(&self, nodes: &Nodes, wait: Duration) -> anyhow::Result<i32> {
        let replicas = self.replicas().await.context("the replicas of the controller cannot be read")?;
        self.scale(0).await.context("the controller cannot be stopped")?;
        let deadline = Instant::now() + wait;
        loop {
            let left = self.pods().await?;
            let left: Vec<String> =
                left.into_iter().filter(|pod| !nodes.is_pod_down(pod)).map(name).collect();
            if left.is_empty() {
                return Ok(replicas);
            }
            if Instant::now() >= deadline {
                bail!(
                    "the pods of the controller do not end ({}); check their events, then uninstall again",
                    left.join(", ")
                );
            }
            sleep(LOOK).await;
        }
    }

    /// Undoes the stop.
    pub(super) async fn start(&self, replicas: i32) -> anyhow::Result<()> {
        self.scale(replicas).await.context("the controller cannot be started again; scale its Deployment")
    }

    async fn pods(&self) -> anyhow::Result<Vec<Pod>> {
        let (key, value) = LABEL;
        // An evicted pod has no network any more, and no ReplicaSet deletes it.
        let running = "status.phase!=Succeeded,status.phase!=Failed";
        let list = ListParams::default().labels(&format!("{key}={value}")).fields(running);
        let list = self.pods.list(&list).await;
        Ok(list.context("the pods of the controller cannot be listed")?.items)
    }

    /// 0 where there is no Deployment.
    async fn replicas(&self) -> Result<i32, kube::Error> {
        match self.deployments.get_scale(NAME).await {
            Ok(scale) => Ok(scale.spec.and_then(|spec| spec.replicas).unwrap_or_default()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(0),
            Err(error) => Err(error),
        }
    }

    async fn scale(&self, replicas: i32) -> Result<(), kube::Error> {
        let change = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let scaled = self.deployments.patch_scale(NAME, &PatchParams::default(), &change).await.map(drop);
        super::cluster::unless_gone(scaled)
    }
}

fn name(pod: Pod) -> String {
    format!("`{}`", pod.metadata.name.unwrap_or_default())
}
