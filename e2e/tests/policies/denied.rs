//! Each refusal of the list and its twin, with RBAC open, so that the policies hold alone.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::attempt::{Attempt, IN_USE, Outcome, Then};
use crate::bed::{Bed, NETWORKS, open, open_alone, wait};
use crate::cases::{self, A2, Case, H, J};
use crate::identity::Who;
use crate::manifests;
use crate::objects::{annotations, new_network};
use crate::patch::How;

pub(crate) const BINDING: &str = "ValidatingAdmissionPolicyBinding";

/// One case of which this policy alone decides.
fn probe(policy: &str) -> Case {
    let of_it = |case: &Case| case.by == [policy];
    cases::all().into_iter().find(of_it).unwrap_or_else(|| panic!("no case is about `{policy}` alone"))
}

/// Returns when every policy has an effect.
pub(crate) fn wait_for_all(bed: &Bed) {
    for policy in manifests::policies() {
        let bound = json!({"spec": {"policyName": policy}});
        let path =
            format!("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/{policy}");
        let binding = bed.must(Who::Admin, "GET", &path, "application/json", &Value::Null);
        assert!(crate::patch::holds(&binding, &bound), "{binding}");
        // What RBAC refuses anyway tells nothing of the policy.
        if bed.is_open() || ![A2, H].contains(&&*policy) {
            wait_until(bed, &policy, true);
        }
    }
}

fn wait_until(bed: &Bed, policy: &str, refused: bool) {
    let mut probe = probe(policy);
    if !bed.is_open() && probe.denied.who == Who::User {
        probe.denied = probe.denied.by(Who::Admin);
    }
    wait(&format!("`{policy}` refuses `{}`: {refused}", probe.name), || {
        let outcome = probe.denied.run(bed);
        let is = if refused { outcome.policy().is_some() } else { outcome.answer.ok() };
        if is { Ok(()) } else { Err(outcome.message()) }
    });
}

/// What is wrong with the case, in one line.
fn judge(bed: &Bed, case: &Case) -> Option<String> {
    let denied = case.denied.run(bed);
    let by = denied.policy();
    if !by.as_deref().is_some_and(|by| case.by.contains(&by)) {
        return Some(format!("not refused by {:?}: {}", case.by, told(&denied)));
    }
    if !denied.is_unchanged() {
        return Some("refused, and yet stored".into());
    }
    let twin = case.twin.run(bed);
    (!twin.is(case.then)).then(|| format!("the twin is not {:?}: {}", case.then, told(&twin)))
}

fn told(outcome: &Outcome) -> String {
    format!("{} {}: {}", outcome.url, outcome.answer.status, outcome.message())
}

// Proves: S-5, S-6, S-7, S-12, S-25, S-26, T-12, IPAM-72, IPAM-74
#[test]
fn every_refusal_holds_without_rbac_and_has_an_allowed_twin() {
    let bed = open();
    let cases = cases::all();
    let mut wrong = String::new();
    for case in &cases {
        if let Some(why) = judge(&bed, case) {
            let _ = writeln!(wrong, "{}: {why}", case.name);
        }
    }
    assert!(wrong.is_empty(), "of {} cases:\n{wrong}", cases.len());
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    let mut names = BTreeSet::new();
    for case in &cases {
        assert!(names.insert(&case.name), "two cases have the name `{}`", case.name);
    }
}

// Proves: T-12, IPAM-73
#[test]
fn without_its_binding_what_a_policy_refuses_is_done() {
    let bed = open_alone();
    for policy in manifests::policies() {
        // Returns only when the probe is done, and then when it is refused again.
        without(&bed, &policy, || {});
    }
}

/// Takes a policy's binding away for as long as the work takes.
pub(crate) fn without(bed: &Bed, policy: &str, work: impl FnOnce()) {
    let all = manifests::read("deploy/policies").into_iter().map(|(_, object)| object);
    let mut named = all.filter(|object| manifests::name(object) == policy && object["kind"] == BINDING);
    let binding = named.next().unwrap();
    let back = Back { bed, binding };
    bed.must(Who::Admin, "DELETE", &manifests::place(&back.binding), "application/json", &Value::Null);
    wait_until(bed, policy, false);
    work();
    drop(back);
    wait_until(bed, policy, true);
}

/// Brings the binding back, also when the work fails: the tests that come next need it.
struct Back<'a> {
    bed: &'a Bed,
    binding: Value,
}

impl Drop for Back<'_> {
    fn drop(&mut self) {
        // Whether it is there is seen by whoever waits for it.
        let _ = manifests::sent(self.bed.api.client(), &self.binding);
    }
}

#[test]
fn a_refusal_names_the_pods_in_the_way_and_the_way_out() {
    let bed = open();
    let name = bed.fresh("used");
    let fresh = new_network(json!({"name": name, "finalizers": [IN_USE]}), "{}");
    bed.must(Who::Admin, "POST", NETWORKS, "application/json", &fresh);
    let path = format!("{NETWORKS}/{name}");
    let refused = |change: Value| {
        let answer =
            bed.as_(Who::User).call("PATCH", &path, How::Merge.content_type(), change.to_string().as_bytes());
        answer.unwrap().json().unwrap()["message"].as_str().unwrap().to_string()
    };
    let (edit, release) = (json!({"spec": {"config": "[]"}}), json!({"metadata": {"finalizers": null}}));
    let without = refused(edit.clone());
    assert!(without.contains("pods use this network, so its configuration"), "{without}");
    assert!(without.contains("create a definition with a new name"), "{without}");
    let names = ["shop/cart-1", "shop/cart-2"];
    let status = |pods: u32| json!({"status": {"pods": pods, "podNames": names}});
    bed.must(Who::Cluster, "PATCH", &format!("{path}/status"), How::Merge.content_type(), &status(2));
    let two = refused(edit.clone());
    assert!(two.contains("pods use this network (shop/cart-1, shop/cart-2), so its"), "{two}");
    bed.must(Who::Cluster, "PATCH", &format!("{path}/status"), How::Merge.content_type(), &status(14));
    let many = refused(edit);
    assert!(many.contains("(shop/cart-1, shop/cart-2 and 12 more)"), "{many}");
    let finalizer = refused(release);
    assert!(
        finalizer.contains("delete the pods that use this network (shop/cart-1, shop/cart-2 and 12 more)"),
        "{finalizer}"
    );
}

/// Its deletion waits for the controller, whoever asks and however the object is written meanwhile.
#[test]
fn a_network_in_use_can_be_marked_for_deletion_and_stays_until_the_controller_lets_go() {
    let bed = open();
    let name = bed.fresh("leaving");
    let fresh = new_network(json!({"name": name, "finalizers": [IN_USE]}), "{}");
    bed.must(Who::Admin, "POST", NETWORKS, "application/json", &fresh);
    let path = format!("{NETWORKS}/{name}");
    bed.must(Who::User, "DELETE", &path, "application/json", &Value::Null);
    let stays = bed.must(Who::User, "GET", &path, "application/json", &Value::Null);
    assert!(stays["metadata"]["deletionTimestamp"].is_string(), "{stays}");
    let release = json!({"metadata": {"finalizers": null}});
    let sent = release.to_string();
    let refused =
        bed.as_(Who::User).call("PATCH", &path, How::Merge.content_type(), sent.as_bytes()).unwrap();
    assert_eq!(refused.status, 403, "{}", refused.text());
    bed.must(Who::Cluster, "PATCH", &path, How::Merge.content_type(), &release);
    assert_eq!(bed.api.client().get(&path).unwrap().status, 404);
}

/// Somebody else's conversion is not the controller's to end, and must not keep it from restoring the rest.
// Proves: S-25
#[test]
fn a_conversion_that_is_there_stays_and_is_changed_by_nobody_with_the_controllers_token() {
    let bed = open();
    let list = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let webhook = |url: &str| json!({"strategy": "Webhook", "webhook": {"clientConfig": {"url": url}, "conversionReviewVersions": ["v1"]}});
    let mut crd = manifests::definitions_crd();
    crd["metadata"]["name"] = json!("things.example.com");
    crd["spec"]["group"] = json!("example.com");
    crd["spec"]["names"] = json!({"kind": "Thing", "plural": "things"});
    crd["spec"]["conversion"] = webhook("https://127.0.0.1:1/");
    bed.must(Who::Admin, "POST", list, "application/json", &crd);
    let path = format!("{list}/things.example.com");
    let change = |spec: Value| {
        let body = json!({"spec": spec}).to_string();
        bed.as_(Who::Cluster).call("PATCH", &path, How::Merge.content_type(), body.as_bytes()).unwrap()
    };
    let other = change(json!({"conversion": webhook("https://127.0.0.1:2/")}));
    assert!(other.status == 403 && other.text().contains(J), "{}", other.text());
    let rest = change(json!({"names": {"shortNames": ["thg"]}}));
    assert!(rest.ok(), "{}", rest.text());
    bed.must(Who::Admin, "DELETE", &path, "application/json", &Value::Null);
}

/// Changes that the server takes out of a request before it asks any policy.
#[test]
fn subresources_that_do_not_store_an_edit_store_none() {
    let bed = open();
    let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "x"}]);
    let selection = || annotations(json!({crate::attempt::SELECTION: "left"}));
    let attempts = [
        Attempt::pod(Who::User, How::Merge, selection()).at("/ephemeralcontainers"),
        Attempt::pod(Who::User, How::Merge, selection()).at("/resize"),
        Attempt::pod(Who::User, How::Merge, json!({"spec": {"activeDeadlineSeconds": 9}})).status(),
        Attempt::pod(Who::Shim, How::Merge, json!({"metadata": {"ownerReferences": owner}})).status(),
        Attempt::network(Who::User, How::Merge, json!({"metadata": {"finalizers": null}})).in_use().status(),
        Attempt::network(Who::User, How::Merge, json!({"spec": {"config": "[]"}})).in_use().status(),
    ];
    for attempt in attempts {
        let outcome = attempt.run(&bed);
        assert!(outcome.is(Then::Dropped), "{attempt:?}: {}", told(&outcome));
    }
}
