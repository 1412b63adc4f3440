//! What the Node object of this node says of the runtime: for the version of the configuration, whether pods' annotations are
//! passed, and in which folders it looks.
//!
//! Asked once for each identity. Where that is not allowed, the configuration is written in the version that every runtime
//! reads, and offers every runtime to pass a pod's annotations.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::identity::{ANSWER, Identity};
use super::platform::Platform;
use crate::context::Stop;

const AGAIN: Duration = Duration::from_secs(5);

/// What is read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The runtime's name and version.
    pub runtime: Option<String>,
    pub platform: Option<Platform>,
}

/// Tells what the Node object says; `Some(None)`: nothing that we may know.
pub async fn follow(
    client: Client,
    mut identity: watch::Receiver<Option<Identity>>,
    told: watch::Sender<Option<Option<Facts>>>,
    mut stop: Stop,
) {
    let asking = async {
        let Ok(own) = identity.wait_for(Option::is_some).await.map(|own| own.clone()) else { return };
        let Some(own) = own else { return };
        loop {
            match ask(&client, &own.node).await {
                Ok(answer) => {
                    told.send_replace(Some(answer));
                    return;
                }
                Err(why) => tracing::warn!("the Node `{}` cannot be read yet: {why}", own.node),
            }
            sleep(AGAIN).await;
        }
    };
    tokio::select! {
        () = stop.asked() => {}
        () = asking => {}
    }
    // The last word stands until the end.
    told.closed().await;
}

async fn ask(client: &Client, name: &str) -> Result<Option<Facts>, String> {
    let api: Api<Node> = Api::all(client.clone());
    match timeout(ANSWER, api.get_opt(name)).await {
        Ok(Ok(node)) => Ok(node.map(|node| Facts {
            platform: Platform::of(&node),
            runtime: node.status.and_then(|s| s.node_info).map(|info| info.container_runtime_version),
        })),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
            tracing::info!(
                "the Node may not be read, so the configuration is written in CNI 1.0.0 and the runtime is assumed to pass annotations; set `cniVersion` and `podAnnotations`, or grant `get` of nodes"
            );
            Ok(None)
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}
