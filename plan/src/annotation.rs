//! Slips around annotations that keep anybody from reading them: a value that is no text, a key that is nearly right, a label in
//! its place (COMPAT-9). A pod with such a slip starts without its networks, in silence.

use manifold_cni::name::printable;
use manifold_cni::spelling::nearest;
use manifold_crds::{keys, nad_status};
use serde_json::Value;

use crate::Refusal;
use crate::check_config::Severity;

/// One slip, with the key that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slip {
    /// The annotation.
    pub key: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong and how to correct it.
    pub refusal: Refusal,
}

impl Slip {
    /// A finding about that annotation.
    pub fn new(key: &str, severity: Severity, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { key: key.to_owned(), severity, refusal: Refusal::new(what, fix) }
    }
}

/// By what a pod asks for networks.
pub const OF_PODS: &[&str] = &[keys::NETWORKS, keys::DEFAULT_NETWORK];
pub(crate) const OF_DEFINITIONS: &[&str] = &[keys::RESOURCE_NAME, nad_status::CONFIGURATION];

/// Keys that are right where they are, however near they come to others.
const RIGHT: &[&str] = &[
    keys::NETWORKS,
    keys::DEFAULT_NETWORK,
    keys::NETWORK_STATUS,
    // The name of the status before the standard had one; controllers still write it.
    "k8s.v1.cni.cncf.io/networks-status",
    keys::RESOURCE_NAME,
    nad_status::CONFIGURATION,
];

/// Domains in which people look for the keys of networks.
const DOMAINS: &[&str] = &["cni.cncf.io", "multus-cni.io"];

/// Slips in the annotations and labels of a pod, or of the template of pods.
pub fn of_pod_metadata(metadata: &Value) -> Vec<Slip> {
    let object = |key: &str| metadata.get(key).and_then(Value::as_object);
    let annotations = object("annotations").into_iter().flatten();
    let mut slips: Vec<Slip> = annotations.filter_map(|(key, value)| not_text(key, value)).collect();
    let names =
        |key: &str| object(key).into_iter().flat_map(|o| o.keys().map(String::as_str)).collect::<Vec<_>>();
    slips.extend(of_pod_keys(names("annotations"), names("labels")));
    slips
}

/// Slips in the keys alone.
pub fn of_pod_keys<'a>(
    annotations: impl IntoIterator<Item = &'a str>,
    labels: impl IntoIterator<Item = &'a str>,
) -> Vec<Slip> {
    let misspelt = annotations.into_iter().filter_map(|key| misspelt(key, OF_PODS));
    misspelt.chain(labels.into_iter().filter_map(as_label)).collect()
}

/// An annotation that nobody reads and that was probably meant to be one of `known`.
pub(crate) fn misspelt(key: &str, known: &[&'static str]) -> Option<Slip> {
    let meant = meant(key, known)?;
    let what = format!("the annotation `{}` is unknown and has no effect", printable(key));
    Some(Slip::new(key, Severity::Warning, what, format!("did you mean `{meant}`?")))
}

fn meant(key: &str, known: &[&'static str]) -> Option<&'static str> {
    if RIGHT.contains(&key) {
        return None;
    }
    let Some((domain, name)) = key.split_once('/') else { return nearest(key, known.iter().copied()) };
    let domain = domain.to_ascii_lowercase();
    let fits = |known: &&str| {
        let Some((its_domain, its_name)) = known.split_once('/') else { return false };
        let at_home = DOMAINS.iter().any(|d| domain.ends_with(d)) || nearest(&domain, [its_domain]).is_some();
        at_home && nearest(name, [its_name]).is_some()
    };
    known.iter().copied().find(fits)
}

fn as_label(key: &str) -> Option<Slip> {
    let what = format!("`{key}` is a label here, but has an effect only as an annotation");
    OF_PODS.contains(&key).then(|| Slip::new(key, Severity::Warning, what, "move it to `annotations`"))
}

/// The API server takes text for an annotation, and refuses the object otherwise.
fn not_text(key: &str, value: &Value) -> Option<Slip> {
    let found = match value {
        Value::Null | Value::String(_) => return None,
        _ if !OF_PODS.contains(&key) && meant(key, OF_PODS).is_none() => return None,
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
        Value::Bool(_) | Value::Number(_) => "a number or boolean",
    };
    let text = value.to_string();
    let fix = match text.len() {
        0..=200 => format!("write it as text, in quotes: '{}'", printable(&text)),
        _ => "write it as text: `|` behind the key, and below it, indented, the list as JSON".to_owned(),
    };
    Some(Slip::new(
        key,
        Severity::Error,
        format!("the annotation `{}` is {found}, and must be text", printable(key)),
        fix,
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(key: &str, known: &[&'static str], expected: Option<&str>) {
        assert_eq!(meant(key, known), expected, "{key}");
    }

    // Shows part of: COMPAT-9
    #[test]
    fn a_key_that_is_nearly_right_finds_the_right_one() {
        for key in [
            "k8s.v1.cni.cncf.io/network",
            "k8s.v1.cni.cncf.io/Networks",
            "k8s.v1.cni.cncf.io/netwoks",
            "kubernetes.v1.cni.cncf.io/networks",
            "k8s.cni.cncf.io/networks",
            "cni.cncf.io/networks",
            "k8s.v1.cni.cnfc.io/networks",
            "K8s.v1.cni.cncf.io/networks",
            "k8s.v1.cni.cncf.io.networks",
            "v1.multus-cni.io/networks",
        ] {
            check(key, OF_PODS, Some("k8s.v1.cni.cncf.io/networks"));
        }
        for key in [
            "k8s.v1.cni.cncf.io/default-network",
            "multus-cni.io/default-network",
            "v1.multus-cni.io/default-networks",
        ] {
            check(key, OF_PODS, Some("v1.multus-cni.io/default-network"));
        }
        check("k8s.v1.cni.cncf.io/resourcename", OF_DEFINITIONS, Some("k8s.v1.cni.cncf.io/resourceName"));
        check("k8s.cni.cncf.io/resourceName", OF_DEFINITIONS, Some("k8s.v1.cni.cncf.io/resourceName"));
        check("manifold.network/config", OF_DEFINITIONS, None);
    }

    // Shows part of: COMPAT-9
    #[test]
    fn keys_that_are_somebodys_own_are_left_alone() {
        for key in [
            "k8s.v1.cni.cncf.io/networks",
            "k8s.v1.cni.cncf.io/network-status",
            "k8s.v1.cni.cncf.io/networks-status",
            "v1.multus-cni.io/default-network",
            "k8s.v1.cni.cncf.io/policy-for",
            "k8s.ovn.org/pod-networks",
            "cni.projectcalico.org/podIP",
            "example.com/networks",
            "networks",
            "",
            "/",
        ] {
            check(key, OF_PODS, None);
        }
    }

    // Proves: S-8
    #[test]
    fn odd_metadata_is_no_panic() {
        for metadata in [
            json!(null),
            json!([]),
            json!({"annotations": []}),
            json!({"annotations": {"/": 1}, "labels": 1}),
        ] {
            assert!(of_pod_metadata(&metadata).is_empty(), "{metadata}");
        }
    }

    // Shows part of: COMPAT-9
    #[test]
    fn a_value_that_is_no_text_is_an_error_with_the_text_to_write() {
        let slips = of_pod_metadata(&json!({"annotations": {
            "k8s.v1.cni.cncf.io/networks": [{"name": "macvlan-conf"}], "other": 1, "k8s.v1.cni.cncf.io/network-status": [],
        }}));
        assert_eq!(slips.len(), 1, "{slips:?}");
        assert_eq!(slips[0].severity, Severity::Error);
        assert_eq!(
            slips[0].refusal.to_string(),
            "the annotation `k8s.v1.cni.cncf.io/networks` is a list, and must be text; write it as text, in quotes: \
             '[{\"name\":\"macvlan-conf\"}]'"
        );
        // A number is what YAML makes of a name of digits.
        assert_eq!(
            of_pod_metadata(&json!({"annotations": {"v1.multus-cni.io/default-network": 5}})).len(),
            1
        );
        let misspelt = of_pod_metadata(&json!({"annotations": {"k8s.v1.cni.cncf.io/network": ["a"]}}));
        assert_eq!(misspelt.len(), 2, "{misspelt:?}");
        let label = of_pod_metadata(&json!({"labels": {"k8s.v1.cni.cncf.io/networks": "a"}}));
        assert!(label[0].refusal.to_string().contains("is a label here"), "{label:?}");
    }
}
