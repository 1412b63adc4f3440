//! Reviews of what makes pods: an annotation on a Deployment itself asks for nothing, and is told to whoever writes it.

use serde_json::Value;

use super::review::{Operation, Question, Verdict};
use crate::workload;

/// The verdict on one request. Nothing of it is refused: the workload may carry the key for programs of its own.
pub(super) fn review(question: &Question) -> Verdict {
    if !matches!(question.operation, Operation::Create | Operation::Update) {
        return Verdict::allow();
    }
    let Ok(Some(object)) = question.object::<Value>() else { return Verdict::allow() };
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let slips = workload::beside(kind, &object);
    Verdict::warn(slips.iter().map(|slip| slip.refusal.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reviewed(operation: &str, object: &Value) -> Verdict {
        let body = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {"uid": "u", "operation": operation, "object": object},
        });
        review(&Question::read(body.to_string().as_bytes()).unwrap())
    }

    // Shows part of: COMPAT-9
    #[test]
    fn an_annotation_beside_the_template_is_a_warning() {
        let object = json!({
            "kind": "Deployment", "metadata": {"annotations": {"k8s.v1.cni.cncf.io/networks": "a"}},
            "spec": {"template": {"metadata": {}}},
        });
        for operation in ["CREATE", "UPDATE"] {
            let Verdict { refusal, warnings } = reviewed(operation, &object);
            assert_eq!(refusal, None);
            assert!(warnings[0].contains("move it to `spec.template.metadata.annotations`"), "{warnings:?}");
        }
        assert_eq!(reviewed("DELETE", &object), Verdict::allow());
        for odd in [json!(null), json!([]), json!({"kind": 1}), json!({"kind": "Job", "metadata": 1})] {
            assert_eq!(reviewed("CREATE", &odd), Verdict::allow());
        }
    }
}
