//! Whether this replica can do its work: the CRDs are served, and admission reviews are answered. Not: whether it leads.

use std::time::Duration;

use kube::api::DynamicObject;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::admission;

use super::crd;

const LOOK: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct Ready {
    crd: watch::Receiver<bool>,
    admission: admission::Metrics,
}

impl Ready {
    pub(super) fn new(client: Client, admission: admission::Metrics) -> Self {
        let (sender, crd) = watch::channel(false);
        tokio::spawn(async move {
            let api: Api<DynamicObject> = Api::all_with(client, &crd::resource());
            for wanted in crd::all() {
                while !is_established(&api, crd::name(&wanted)).await {
                    sleep(LOOK).await;
                }
            }
            sender.send_replace(true);
            sender.closed().await;
        });
        Self { crd, admission }
    }

    /// What is missing yet, in words.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if !*self.crd.borrow() {
            missing.push("the CustomResourceDefinitions are not established yet".to_owned());
        }
        if !self.admission.has_certificate() {
            missing.push("the webhook has no certificate yet".to_owned());
        }
        missing
    }
}

async fn is_established(api: &Api<DynamicObject>, name: &str) -> bool {
    let found = timeout(LOOK * 5, api.get_opt(name)).await;
    matches!(found, Ok(Ok(Some(object))) if crd::is_established(&object))
}
