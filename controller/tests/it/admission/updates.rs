//! Pods that have no node yet: what they come to ask for is judged as if they had been made so, and nothing else of them is.

use http::Method;
use manifold_controller::admission::{Ending, Subject};
use serde_json::{Value, json};

use super::bed::{Outcome, bed, client, judged, pod, pods, request, until};
use super::target::Target;

const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
const DEFAULT: &str = "v1.multus-cni.io/default-network";
const PLAIN: &str = r#"{"cniVersion": "1.0.0", "type": "fake"}"#;

/// Nobody schedules it as long as it has its gate.
fn gated(name: &str, annotations: &[(&str, &str)]) -> Value {
    let mut object = pod(name, annotations);
    object["spec"]["schedulingGates"] = json!([{"name": "example.com/wait"}]);
    object
}

fn asking(key: &str, value: &str) -> Value {
    json!({"metadata": {"annotations": {key: value}}})
}

/// A pod in the shared bed, made with these annotations, and then patched.
struct Waiting(String);

impl Waiting {
    fn new(name: &str, annotations: &[(&str, &str)]) -> Self {
        let made =
            judged(&bed().client, &Method::POST, &pods("other"), Some(&gated(name, annotations)), None);
        // Let in unjudged for want of time, it was asked for again, and is there already.
        assert!(made.allowed() || made.status == 409, "{made:?}");
        Self(format!("{}/{name}", pods("other")))
    }

    fn change(&self, patch: &Value) -> Outcome {
        judged(&bed().client, &Method::PATCH, &self.0, Some(patch), None)
    }
}

/// Made with a gate and nothing to judge, it would walk past.
// Proves: S-27
#[test]
fn what_a_pod_without_a_node_comes_to_ask_for_is_judged() {
    bed().put_definition("other", "later", Some(PLAIN));
    let waiting = Waiting::new("waiting", &[]);
    let ask = |key: &str, value: &str| waiting.change(&asking(key, value));
    bed().refused(&ask(NETWORKS, "later@eth0"), &["interface `eth0`", "pod other/waiting"]);
    bed().refused(&ask(NETWORKS, "later,,later"), &["annotation `k8s.v1.cni.cncf.io/networks`", "element 2"]);
    bed().refused(&ask(DEFAULT, "other/later,other/later"), &["2 networks"]);
    bed().allowed(&ask(NETWORKS, "nothing"), &["network `other/nothing`"]);
    bed().allowed(&ask(NETWORKS, "later"), &[]);
    bed().refused(&ask(NETWORKS, "later@eth0"), &["interface `eth0`"]);
    bed().allowed(&waiting.change(&json!({"metadata": {"annotations": {NETWORKS: null}}})), &[]);
}

/// What it asks for already, nobody is asked about: not when its gate is lifted, and not when it has a node.
// Proves: S-27
#[test]
fn no_other_update_of_a_pod_reaches_the_webhook() {
    const ALL: [Ending; 5] =
        [Ending::Allowed, Ending::Warned, Ending::Refused, Ending::Unreadable, Ending::Unanswered];
    let target = Target::start();
    let client = client(&target.api);
    let asked =
        || ALL.iter().map(|ending| target.replica.metrics.reviews(Subject::Pod, *ending)).sum::<u64>();
    let made =
        request(&client, &Method::POST, &pods("shop"), Some(&gated("calm", &[(NETWORKS, "plain")])), None);
    assert!(made.allowed(), "{made:?}");
    let path = format!("{}/calm", pods("shop"));
    let change = |patch: &Value| {
        let outcome = request(&client, &Method::PATCH, &path, Some(patch), None);
        assert!(outcome.allowed(), "{patch}: {outcome:?}");
    };
    // By now the API server knows of the webhook, and asks about the one kind of update.
    let mut turn = 0;
    until("the webhook is asked about another selection", || {
        let before = asked();
        turn += 1;
        change(&asking(NETWORKS, &format!("plain@a{turn}")));
        asked() > before
    });
    let before = asked();
    change(&json!({"metadata": {"labels": {"a": "b"}, "finalizers": ["example.com/stay"]}}));
    change(&asking("example.com/plain", "1"));
    change(&asking(NETWORKS, &format!("plain@a{turn}")));
    change(&json!({"spec": {"schedulingGates": null}}));
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "calm"},
        "target": {"kind": "Node", "name": "node-a"}});
    let bound = request(&client, &Method::POST, &format!("{path}/binding"), Some(&binding), None);
    assert!(bound.allowed(), "{bound:?}");
    // Without the policy that refuses this, it is the node's to judge: what runs, runs.
    change(&asking(NETWORKS, "plain@eth0"));
    change(&json!({"metadata": {"finalizers": null}}));
    assert_eq!(asked(), before);
}
