//! Whom the API server trusts when it calls: `caBundle` in the webhook configuration, and nothing else of it.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::plan::Trust;
use crate::objects::FIELD_MANAGER;

pub(in crate::admission) struct TrustStore {
    configurations: Api<ValidatingWebhookConfiguration>,
    name: String,
}

impl TrustStore {
    pub(in crate::admission) fn new(client: Client, name: &str) -> Self {
        Self { configurations: Api::all(client), name: name.to_owned() }
    }

    /// Whether the API server trusts this bundle, in every webhook of the configuration.
    pub(in crate::admission) async fn look(&self, bundle: &str) -> anyhow::Result<Trust> {
        let Some(configuration) = self.read().await? else { return Ok(Trust::Nobody) };
        let trusts = |ca: Option<&k8s_openapi::ByteString>| ca.is_some_and(|ca| ca.0 == bundle.as_bytes());
        let webhooks = configuration.webhooks.unwrap_or_default();
        let all = webhooks.iter().all(|w| trusts(w.client_config.ca_bundle.as_ref()));
        Ok(if all { Trust::Bundle } else { Trust::Others })
    }

    /// Sets the bundle in every webhook that is there. Everything else of the configuration is its author's.
    pub(in crate::admission) async fn tell(&self, bundle: &str) -> anyhow::Result<()> {
        let Some(configuration) = self.read().await? else { return Ok(()) };
        let ca = STANDARD.encode(bundle);
        let webhooks: Vec<Value> = configuration
            .webhooks
            .unwrap_or_default()
            .iter()
            .map(|w| json!({"name": w.name, "clientConfig": {"caBundle": ca}}))
            .collect();
        let patch = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": self.name},
            "webhooks": webhooks,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.configurations.patch(&self.name, &params, &Patch::Apply(&patch)).await.with_context(|| {
            format!("the ValidatingWebhookConfiguration `{}` cannot be given its CA", self.name)
        })?;
        Ok(())
    }

    async fn read(&self) -> anyhow::Result<Option<ValidatingWebhookConfiguration>> {
        let read = self.configurations.get_opt(&self.name).await;
        read.with_context(|| format!("the ValidatingWebhookConfiguration `{}` cannot be read", self.name))
    }
}
