//! What makes pods: where in it the pods' metadata is, and annotations beside that place, which no pod gets (COMPAT-9).

use manifold_plan::annotation::{OF_PODS, Slip};
use manifold_plan::check_config::Severity;
use serde_json::Value;

/// Where the metadata of the pods is, as a JSON pointer to the object that holds it, in an object of that kind.
pub(crate) fn template(kind: &str, object: &Value) -> Option<&'static str> {
    match kind {
        "Pod" => Some(""),
        "PodTemplate" => Some("/template"),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job" => {
            Some("/spec/template")
        }
        "CronJob" => Some("/spec/jobTemplate/spec/template"),
        // Kinds of others, such as Rollout or CloneSet, have the template of a Deployment.
        _ => object.pointer("/spec/template/spec/containers").map(|_| "/spec/template"),
    }
}

/// The metadata of its pods.
pub(crate) fn pod_metadata<'a>(kind: &str, object: &'a Value) -> Option<&'a Value> {
    object.pointer(&format!("{}/metadata", template(kind, object)?))
}

/// Annotations that ask for networks and are not on the template. Where the template has the same key, somebody wrote it to
/// all objects (kustomize does), and the pods have it too.
pub(crate) fn beside(kind: &str, object: &Value) -> Vec<Slip> {
    let places: &[&str] = match template(kind, object) {
        None | Some("") => return Vec::new(),
        Some("/spec/jobTemplate/spec/template") => &["", "/spec/jobTemplate"],
        Some(_) => &[""],
    };
    let on_pods = pod_metadata(kind, object).and_then(|metadata| metadata.get("annotations"));
    let has = |annotations: Option<&Value>, key: &str| annotations.is_some_and(|all| all.get(key).is_some());
    let slip = |key: &str, place: &str| {
        let there = has(object.pointer(&format!("{place}/metadata/annotations")), key);
        (there && !has(on_pods, key)).then(|| of(kind, object, key, place))
    };
    OF_PODS.iter().flat_map(|key| places.iter().filter_map(move |place| slip(key, place))).collect()
}

fn of(kind: &str, object: &Value, key: &str, place: &str) -> Slip {
    let dotted = |pointer: &str| pointer.trim_start_matches('/').replace('/', ".");
    let kind = manifold_cni::name::printable(kind);
    let of_whom = match place {
        "" => format!("the {kind} itself"),
        place => format!("`{}` of the {kind}", dotted(place)),
    };
    let what =
        format!("the annotation `{key}` is on {of_whom}, and its pods do not get it, so it has no effect");
    let target = template(&kind, object).map(dotted).unwrap_or_default();
    Slip::new(key, Severity::Warning, what, format!("move it to `{target}.metadata.annotations`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "k8s.v1.cni.cncf.io/networks";

    #[track_caller]
    fn told(object: &Value, expected: &[&str]) {
        let slips = beside(object["kind"].as_str().unwrap(), object);
        let slips: Vec<String> = slips.iter().map(|slip| slip.refusal.to_string()).collect();
        assert_eq!(slips.len(), expected.len(), "{slips:?}");
        for (slip, words) in slips.iter().zip(expected) {
            assert!(slip.contains(words), "{slip}");
        }
    }

    // Shows part of: COMPAT-9
    #[test]
    fn an_annotation_beside_the_template_is_told_with_its_place() {
        let own = json!({"annotations": {KEY: "a"}});
        for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"] {
            told(
                &json!({"kind": kind, "metadata": own, "spec": {"template": {"metadata": {}}}}),
                &["`spec.template.metadata.annotations`"],
            );
        }
        told(
            &json!({"kind": "PodTemplate", "metadata": own, "template": {}}),
            &["`template.metadata.annotations`"],
        );
        let rollout =
            json!({"kind": "Rollout", "metadata": own, "spec": {"template": {"spec": {"containers": []}}}});
        told(&rollout, &["on the Rollout itself"]);
        let job = json!({"metadata": own, "spec": {"template": {}}});
        told(
            &json!({"kind": "CronJob", "metadata": own, "spec": {"jobTemplate": job}}),
            &["on the CronJob itself", "on `spec.jobTemplate` of the CronJob"],
        );
    }

    #[test]
    fn what_pods_get_is_no_slip() {
        let own = json!({"annotations": {KEY: "a"}});
        told(&json!({"kind": "Pod", "metadata": own}), &[]);
        told(&json!({"kind": "Deployment", "metadata": own, "spec": {"template": {"metadata": own}}}), &[]);
        told(&json!({"kind": "ConfigMap", "metadata": own, "spec": {"template": {}}}), &[]);
        told(&json!({"kind": "Deployment", "metadata": {"annotations": {"other": "a"}}}), &[]);
        told(&json!({"kind": "Deployment", "metadata": []}), &[]);
    }
}
