//! The policies themselves: their types, their completeness, and what all of them have in common.

use serde_json::{Value, json};

use crate::bed::{open, wait};
use crate::cases::H;
use crate::denied::BINDING;
use crate::identity::Who;
use crate::manifests;

#[test]
fn the_servers_own_check_of_types_finds_nothing() {
    let bed = open();
    for policy in manifests::policies() {
        let path = format!("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{policy}");
        wait(&format!("`{policy}` is checked"), || {
            let object = bed.must(Who::Admin, "GET", &path, "application/json", &Value::Null);
            let checked = object["status"]["observedGeneration"] == object["metadata"]["generation"];
            let warnings = &object["status"]["typeChecking"]["expressionWarnings"];
            assert!(!checked || warnings.is_null(), "`{policy}`: {warnings:#}");
            if checked { Ok(()) } else { Err(object["status"].to_string()) }
        });
    }
}

/// A field that a later server knows would be free to change.
// Proves: S-25
#[test]
fn the_policy_on_webhooks_compares_every_field_that_the_server_knows() {
    let bed = open();
    let path = "/openapi/v3/apis/admissionregistration.k8s.io/v1";
    let known = bed.must(Who::Admin, "GET", path, "application/json", &Value::Null);
    let fields = |kind: &str| -> Vec<String> {
        let kind = format!("io.k8s.api.admissionregistration.v1.{kind}");
        known["components"]["schemas"][&kind]["properties"].as_object().unwrap().keys().cloned().collect()
    };
    let mut all = manifests::read("deploy/policies").into_iter().map(|(_, object)| object);
    let policy = all.find(|o| manifests::name(o) == H && o["kind"] != BINDING).unwrap().to_string();
    let webhook = fields("ValidatingWebhook");
    assert!(webhook.len() > 10, "{webhook:?}");
    for field in webhook.iter().filter(|field| !["name", "clientConfig"].contains(&&***field)) {
        assert!(policy.contains(&format!("w.?{field} == n.?{field}")), "`{field}`");
    }
    for field in fields("WebhookClientConfig").iter().filter(|field| *field != "caBundle") {
        assert!(policy.contains(&format!("w.clientConfig.?{field} == n.clientConfig.?{field}")), "`{field}`");
    }
}

#[test]
fn every_policy_denies_fails_closed_and_says_what_to_do() {
    let all: Vec<Value> = manifests::read("deploy/policies").into_iter().map(|(_, object)| object).collect();
    let (policies, bindings): (Vec<_>, Vec<_>) =
        all.iter().partition(|object| object["kind"] == "ValidatingAdmissionPolicy");
    assert_eq!(policies.len(), bindings.len());
    for binding in bindings {
        assert_eq!(binding["spec"]["policyName"], binding["metadata"]["name"]);
        assert_eq!(binding["spec"]["validationActions"], json!(["Deny"]));
    }
    for policy in policies {
        assert_eq!(policy["spec"]["failurePolicy"], "Fail", "{policy}");
        for validation in policy["spec"]["validations"].as_array().unwrap() {
            let message = validation["message"].as_str().unwrap();
            assert_eq!(validation["reason"], "Forbidden", "{message}");
            assert!(message.contains("; "), "no way out in: {message}");
            assert!(!message.contains('\n') && message.len() < 500, "{message}");
        }
    }
    let named = manifests::read("deploy/rbac")
        .into_iter()
        .flat_map(|(_, object)| object["rules"].as_array().cloned().unwrap_or_default());
    let mut read_by_controller = named.filter(|rule| rule["resources"][0] == "validatingadmissionpolicies");
    let mut names: Vec<String> =
        serde_json::from_value(read_by_controller.next().unwrap()["resourceNames"].clone()).unwrap();
    names.sort();
    let mut shipped = manifests::policies();
    shipped.sort();
    assert_eq!(names, shipped, "the controller may read other policies than there are");
}
