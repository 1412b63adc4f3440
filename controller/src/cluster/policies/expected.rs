//! The policies, bindings and webhook configuration that this release brings: the manifests themselves.

use anyhow::Context as _;
use kube::api::ApiResource;
use serde::Deserialize as _;
use serde_json::Value;

use crate::cluster::metrics::Guard;
use crate::config::{BUILT_IN, Config, DefaultSource, StatusOnCreate};

/// One object that has to be in place.
#[derive(Clone, Debug)]
pub struct Expected {
    pub kind: Guard,
    pub name: String,
    pub resource: ApiResource,
    /// What has to be stored, without the places that differ from cluster to cluster.
    pub content: Value,
}

/// The namespace and the default network that the manifests are written for, and what its definition may name.
const WRITTEN_FOR: &str = "manifold-system";
const DEFAULT_NETWORK: &str = "'cluster-wide-network'";
const NAMED: &str = "['manifold-built-in']";

const FILES: &[&str] = &[
    include_str!("../../../../deploy/policies/address-blocks.yaml"),
    include_str!("../../../../deploy/policies/binding-annotations.yaml"),
    include_str!("../../../../deploy/policies/claim-addresses.yaml"),
    include_str!("../../../../deploy/policies/controller-crd.yaml"),
    include_str!("../../../../deploy/policies/controller-networks.yaml"),
    include_str!("../../../../deploy/policies/controller-secrets.yaml"),
    include_str!("../../../../deploy/policies/controller-webhook.yaml"),
    include_str!("../../../../deploy/policies/network-in-use.yaml"),
    include_str!("../../../../deploy/policies/network-size.yaml"),
    include_str!("../../../../deploy/policies/node-addresses.yaml"),
    include_str!("../../../../deploy/policies/node-tokens.yaml"),
    include_str!("../../../../deploy/policies/own-events.yaml"),
    include_str!("../../../../deploy/policies/selection-frozen.yaml"),
    include_str!("../../../../deploy/policies/selection-size.yaml"),
    include_str!("../../../../deploy/policies/shim-only-status.yaml"),
    include_str!("../../../../deploy/policies/shim-own-pods.yaml"),
    include_str!("../../../../deploy/policies/status-not-for-users.yaml"),
    include_str!("../../../../deploy/cluster/webhook.yaml"),
];

/// The bindings that `statusOnCreate: warn` brings; the first takes the place of the one that denies.
const WARN: &str = include_str!("../../../../deploy/options/status-on-create-warn.yaml");

pub fn expected(config: &Config) -> anyhow::Result<Vec<Expected>> {
    let more = (config.policies.status_on_create == StatusOnCreate::Warn).then_some(&WARN);
    let documents = FILES.iter().chain(more).flat_map(|file| serde_yaml::Deserializer::from_str(file));
    let mut all: Vec<Expected> = Vec::new();
    for document in documents {
        let value = Value::deserialize(document).context("a manifest is not a YAML")?;
        let value = for_cluster(value, config);
        if let Some(one) = one(&value, config) {
            all.retain(|known| known.kind != one.kind || known.name != one.name);
            all.push(one);
        }
    }
    Ok(all)
}

fn one(manifest: &Value, config: &Config) -> Option<Expected> {
    let (kind, plural) = match manifest.get("kind")?.as_str()? {
        "ValidatingAdmissionPolicy" => (Guard::Policy, "validatingadmissionpolicies"),
        "ValidatingAdmissionPolicyBinding" => (Guard::Binding, "validatingadmissionpolicybindings"),
        "ValidatingWebhookConfiguration" => (Guard::Webhook, "validatingwebhookconfigurations"),
        _ => return None,
    };
    let name = match kind {
        Guard::Webhook => config.admission.configuration.clone(),
        Guard::Policy | Guard::Binding => manifest.pointer("/metadata/name")?.as_str()?.to_owned(),
    };
    let resource = ApiResource {
        group: "admissionregistration.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "admissionregistration.k8s.io/v1".to_owned(),
        kind: manifest.get("kind")?.as_str()?.to_owned(),
        plural: plural.to_owned(),
    };
    Some(Expected { kind, name, resource, content: content(kind, manifest) })
}

/// The part of an object that is compared: what it decides, not where it is reached or by whom it was applied.
pub(super) fn content(kind: Guard, object: &Value) -> Value {
    if kind != Guard::Webhook {
        return object.get("spec").cloned().unwrap_or_default();
    }
    let mut webhooks = object.get("webhooks").cloned().unwrap_or_default();
    for webhook in webhooks.as_array_mut().into_iter().flatten() {
        if let Some(webhook) = webhook.as_object_mut() {
            webhook.remove("clientConfig");
        }
    }
    webhooks
}

/// As the chart renders it with this configuration.
fn for_cluster(value: Value, config: &Config) -> Value {
    match value {
        Value::String(text) => {
            let network = format!("'{}'", config.default_network.name);
            let text = text.replace(WRITTEN_FOR, &config.namespace).replace(DEFAULT_NETWORK, &network);
            Value::String(text.replace(NAMED, &named(config)))
        }
        Value::Array(list) => list.into_iter().map(|v| for_cluster(v, config)).collect(),
        Value::Object(map) => map.into_iter().map(|(k, v)| (k, for_cluster(v, config))).collect(),
        other => other,
    }
}

/// What the controller may have the definition of the default network name, as policies write it.
fn named(config: &Config) -> String {
    let default = &config.default_network;
    match (default.source, &default.configuration) {
        (DefaultSource::BuiltIn, _) => format!("['{BUILT_IN}']"),
        (DefaultSource::Existing, name) => format!("['{}']", name.as_deref().unwrap_or_default()),
        (DefaultSource::Unmanaged, _) => "[]".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The API server's answer to a manifest is the manifest and its defaults: what is compared here must know both.
    #[test]
    fn every_manifest_of_policies_is_looked_after() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/policies");
        let stored = std::fs::read_dir(folder).unwrap();
        let yaml = stored.filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == "yaml"));
        assert_eq!(yaml.count() + 1, FILES.len(), "a file of deploy/policies is not in FILES");
        let expected = expected(&Config::default()).unwrap();
        let count = |kind| expected.iter().filter(|e| e.kind == kind).count();
        assert_eq!(count(Guard::Webhook), 1);
        assert!(count(Guard::Policy) >= 9, "{}", count(Guard::Policy));
        assert!(count(Guard::Binding) >= count(Guard::Policy));
        for one in expected {
            assert!(one.content.as_object().is_some_and(|c| !c.is_empty()) || one.content.is_array());
        }
    }

    #[test]
    fn in_another_namespace_the_policies_name_its_accounts() {
        let config = Config { namespace: "nets".into(), ..Config::default() };
        let text: String = expected(&config).unwrap().iter().map(|e| e.content.to_string()).collect();
        assert!(text.contains("system:serviceaccount:nets:manifold-shim"));
        assert!(!text.contains(WRITTEN_FOR));
    }

    #[test]
    fn a_warning_on_create_is_two_bindings_in_the_place_of_one() {
        let mut config = Config::default();
        let usual = expected(&config).unwrap().len();
        config.policies.status_on_create = StatusOnCreate::Warn;
        let all = expected(&config).unwrap();
        assert_eq!(all.len(), usual + 1);
        let actions = |name: &str| {
            let one = all.iter().find(|e| e.kind == Guard::Binding && e.name == name).unwrap();
            one.content["validationActions"].clone()
        };
        assert_eq!(actions("manifold-status-not-for-users"), serde_json::json!(["Deny"]));
        assert_eq!(actions("manifold-status-not-for-users-on-create"), serde_json::json!(["Warn"]));
    }

    #[test]
    fn the_policy_names_the_default_network_that_is_configured() {
        let mut config = Config::default();
        config.default_network.name = "everyone".into();
        let text: String = expected(&config).unwrap().iter().map(|e| e.content.to_string()).collect();
        assert!(text.contains("request.name == 'everyone'") && !text.contains("cluster-wide-network"));
    }

    #[test]
    fn the_policy_names_what_the_default_network_may_name() {
        let of = |source, configuration: Option<&str>| {
            let mut config = Config::default();
            config.default_network.source = source;
            config.default_network.configuration = configuration.map(str::to_owned);
            let all = expected(&config).unwrap();
            let policy =
                all.iter().find(|e| e.kind == Guard::Policy && e.name == "manifold-controller-networks");
            let variables = policy.unwrap().content["variables"].as_array().cloned().unwrap();
            variables.iter().find(|v| v["name"] == "named").unwrap()["expression"].clone()
        };
        assert_eq!(of(DefaultSource::BuiltIn, None), "['manifold-built-in']");
        assert_eq!(of(DefaultSource::Existing, Some("cbr0")), "['cbr0']");
        assert_eq!(of(DefaultSource::Existing, None), "['']");
        assert_eq!(of(DefaultSource::Unmanaged, None), "[]");
    }
}
