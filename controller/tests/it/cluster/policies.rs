//! A policy, a binding or the webhook that is missing or changed is told, in a condition, a metric and an event.

use serde_json::{Value, json};

use super::bed::{Bed, CRD, DEFAULT, bed};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

fn condition(bed: &Bed) -> anyhow::Result<Option<Value>> {
    let network = bed.get(DEFAULT)?.unwrap_or_default();
    let all = network.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(all.into_iter().find(|c| c["type"] == "PoliciesInPlace"))
}

fn wait_for(bed: &Bed, status: &str, reason: &str, words: &str) {
    bed.wait(&format!("`{reason}` with `{words}`"), || {
        let Some(condition) = condition(bed)? else { return Ok(false) };
        let told = condition["message"].as_str().unwrap_or_default().to_owned();
        anyhow::ensure!(condition["status"] == status && told.contains(words), "{condition}");
        Ok(condition["reason"] == reason)
    });
}

fn not_in_place(bed: &Bed, kind: &str, state: &str) -> f64 {
    bed.metric("manifold_policies_not_in_place", &[("kind", kind), ("state", state)]).unwrap()
}

/// Without what only the server may write.
fn fresh(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"] = json!({"name": object["metadata"]["name"]});
    object.as_object_mut().unwrap().remove("status");
    object
}

fn each_is_missed_when_it_is_gone(bed: &Bed, plural: &str, name: &str, kind: &str, words: &str) {
    let (list, path) = (format!("{GROUP}/{plural}"), format!("{GROUP}/{plural}/{name}"));
    let object = bed.get(&path).unwrap().unwrap();
    bed.delete(&path);
    wait_for(bed, "False", "Missing", &format!("{words} `{name}` is missing"));
    assert_eq!(not_in_place(bed, kind, "Missing"), 1.0);
    bed.wait("the event", || {
        let told = bed.events("manifold-system", "PolicyMissing")?;
        Ok(told.iter().any(|(about, note)| about == "cluster-wide-network" && note.contains(name)))
    });
    bed.api().client().send("POST", &list, &fresh(&object)).unwrap();
    wait_for(bed, "True", "InPlace", "unchanged");
    assert_eq!(not_in_place(bed, kind, "Missing"), 0.0);
}

// Proves: F-CTL-7
#[test]
fn every_policy_binding_and_webhook_that_goes_is_told_and_the_crd_comes_back() {
    let bed = bed();
    bed.afresh();
    wait_for(&bed, "True", "InPlace", "unchanged");
    for (plural, kind, words) in [
        ("validatingadmissionpolicies", "Policy", "policy"),
        ("validatingadmissionpolicybindings", "Binding", "policy binding"),
        ("validatingwebhookconfigurations", "Webhook", "webhook configuration"),
    ] {
        let list = bed.get(&format!("{GROUP}/{plural}")).unwrap().unwrap();
        let names: Vec<String> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .filter(|name| name.starts_with("manifold"))
            .collect();
        assert!(!names.is_empty(), "{plural}");
        for name in names {
            each_is_missed_when_it_is_gone(&bed, plural, &name, kind, words);
        }
    }
    let uid = |crd: &Value| crd["metadata"]["uid"].clone();
    let before = uid(&bed.get(CRD).unwrap().unwrap());
    bed.delete(CRD);
    bed.wait("the CRD", || Ok(bed.get(CRD)?.is_some_and(|crd| uid(&crd) != before)));
    bed.wait("the default network", || Ok(bed.get(DEFAULT)?.is_some()));
    wait_for(&bed, "True", "InPlace", "unchanged");
}

#[test]
fn a_policy_that_was_weakened_is_told_with_the_place() {
    let bed = bed();
    wait_for(&bed, "True", "InPlace", "unchanged");
    let policy = format!("{GROUP}/validatingadmissionpolicies/manifold-selection-frozen");
    let before = bed.get(&policy).unwrap().unwrap();
    let mut conditions = before["spec"]["matchConditions"].as_array().cloned().unwrap_or_default();
    conditions.push(json!({"name": "nobody", "expression": "false"}));
    bed.patch(&policy, &json!({"spec": {"matchConditions": conditions}}));
    wait_for(&bed, "False", "Changed", "`manifold-selection-frozen` was changed at `matchConditions`");
    assert_eq!(not_in_place(&bed, "Policy", "Changed"), 1.0);
    bed.patch(&policy, &json!({"spec": {"matchConditions": before["spec"].get("matchConditions")}}));
    wait_for(&bed, "True", "InPlace", "unchanged");

    let binding = format!("{GROUP}/validatingadmissionpolicybindings/manifold-selection-frozen");
    bed.patch(&binding, &json!({"spec": {"validationActions": ["Audit"]}}));
    wait_for(&bed, "False", "Changed", "`validationActions[0]`");
    bed.patch(&binding, &json!({"spec": {"validationActions": ["Deny"]}}));
    wait_for(&bed, "True", "InPlace", "unchanged");
}
