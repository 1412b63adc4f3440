//! The admission webhook: definitions and pods are refused when they are written, in the words that a node would use.
//!
//! Every replica answers. Nothing here may stand in the way of the cluster: the API server goes on without an answer
//! after two seconds, so no answer is given later than that, none at all when something is wrong with us, and no review of a pod
//! or a definition lists anything (S-19, F-CTL-1). Certificates are issued by the leader and read by all from one Secret.

mod certificate;
mod clients;
mod common_name;
mod definition;
mod guard;
mod known;
mod metrics;
pub mod offline;
mod pod;
mod pool;
mod review;
mod server;
mod service;
mod use_of;
mod used_addresses;
mod workload;

pub use certificate::keep::{Lifetimes, keep_certificate, keep_certificate_with};
pub use metrics::{Ending, Metrics, Subject};

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::context::{Context, Stop};
use certificate::serving::Serving;
use clients::Door;
use known::KnownDefinitions;
use service::Webhook;

/// Answers reviews at the configured address until it is time to end.
pub async fn run(context: Context, metrics: Metrics, stop: Stop) -> anyhow::Result<()> {
    let address = context.config.admission.address;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("the webhook cannot listen at `{address}`; set `admission.address`"))?;
    serve(listener, context, metrics, stop).await
}

/// The same on a socket that listens already.
pub async fn serve(
    listener: TcpListener,
    context: Context,
    metrics: Metrics,
    stop: Stop,
) -> anyhow::Result<()> {
    let serving = Serving::new();
    let known = KnownDefinitions::new(context.client.clone());
    let door = Door::new(serving.clone(), &context.config.admission)?;
    let webhook = Webhook::new(&context, metrics.clone(), known.clone());
    tokio::join!(
        certificate::serving::follow(&context, &serving, &metrics, stop.clone()),
        known.follow(stop.clone()),
        door.follow(stop.clone()),
        server::accept(listener, door.clone(), webhook, stop),
    );
    Ok(())
}
