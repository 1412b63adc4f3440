//! What the controller's token may write: the webhook's `caBundle` (H), no definition's words (I), a CRD that neither rewrites
//! nor completes definitions (J).

use serde_json::{Value, json};

use super::{Case, H, I, J};
use crate::attempt::{Attempt, IN_USE, Then};
use crate::bed::NETWORKS;
use crate::identity::Who;
use crate::objects::{annotations, new_network};
use crate::patch::{CUSTOM, How, merged};

const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const CRD: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/network-attachment-definitions.k8s.cni.cncf.io";
const DEFAULT_NETWORK: &str =
    "/apis/k8s.cni.cncf.io/v1/namespaces/manifold-system/network-attachment-definitions/cluster-wide-network";
const CONFIGURATION: &str = "manifold.network/configuration";
const UNINSTALL: &str = "manifold.network/uninstall";
/// What an attacker would have every node run.
const HOSTILE: &str = r#"{"cniVersion": "1.0.0", "name": "x", "type": "shell"}"#;

/// With every field, as the server would complete it. Nothing is asked about.
fn hook() -> Value {
    json!({
        "name": "nothing.example.com",
        "clientConfig": {
            "caBundle": "b25l",
            "service": {"namespace": "manifold-system", "name": "nothing", "path": "/nothing", "port": 443},
        },
        "rules": [{"apiGroups": ["example.com"], "apiVersions": ["v1"], "operations": ["CREATE"],
            "resources": ["nothings"], "scope": "Namespaced"}],
        "matchConditions": [{"name": "never", "expression": "false"}],
        "failurePolicy": "Ignore", "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
        "sideEffects": "None", "timeoutSeconds": 2, "admissionReviewVersions": ["v1"],
    })
}

fn configuration() -> (Who, &'static str, Value) {
    let object = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"labels": {"app": "x"}}, "webhooks": [hook()],
    });
    (Who::Admin, HOOKS, object)
}

fn set(how: How, webhooks: Value) -> Attempt {
    Attempt::made(Who::Cluster, how, configuration(), json!({"webhooks": webhooks}))
}

/// What the controller does all day.
fn trusts(how: How) -> Attempt {
    set(how, json!([merged(&hook(), &json!({"clientConfig": {"caBundle": "dHdv"}}))]))
}

pub(super) fn webhooks() -> Vec<Case> {
    let elsewhere = json!({"namespace": "shop", "name": "evil", "path": "/", "port": 443});
    let everything = json!([{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"], "scope": "*"}]);
    let changes = [
        ("service", json!({"clientConfig": {"service": elsewhere}})),
        ("url", json!({"clientConfig": {"service": null, "url": "https://127.0.0.1:1/"}})),
        ("rules", json!({"rules": everything})),
        ("matchConditions", json!({"matchConditions": [{"name": "never", "expression": "true"}]})),
        ("matchConditions, none", json!({"matchConditions": null})),
        ("matchPolicy", json!({"matchPolicy": "Exact"})),
        ("namespaceSelector", json!({"namespaceSelector": {"matchLabels": {"a": "b"}}})),
        ("objectSelector", json!({"objectSelector": {"matchLabels": {"a": "b"}}})),
        ("failurePolicy", json!({"failurePolicy": "Fail"})),
        ("timeoutSeconds", json!({"timeoutSeconds": 30})),
        ("sideEffects", json!({"sideEffects": "NoneOnDryRun"})),
        ("admissionReviewVersions", json!({"admissionReviewVersions": ["v1", "v1beta1"]})),
        ("name", json!({"name": "other.example.com"})),
    ];
    let mut cases: Vec<Case> = changes
        .into_iter()
        .map(|(name, change)| {
            let changed = set(How::Merge, json!([merged(&hook(), &change)]));
            Case::new(H, format!("a webhook's `{name}`"), changed, trusts(How::Merge))
        })
        .collect();
    for how in [How::Strategic, How::Json, How::Apply, How::Put] {
        let hostile = set(how, json!([merged(&hook(), &json!({"rules": everything}))]));
        cases.push(Case::new(H, format!("a webhook's rules, {how:?}"), hostile, trusts(how)));
    }
    let another = merged(&hook(), &json!({"name": "other.example.com"}));
    cases.extend([
        Case::new(H, "a webhook added", set(How::Merge, json!([hook(), another])), trusts(How::Merge)),
        Case::new(H, "every webhook removed", set(How::Merge, json!([])), trusts(How::Merge)),
    ]);
    let owner = json!([{"apiVersion": "v1", "kind": "Namespace", "name": "x", "uid": "x"}]);
    for (key, value) in [
        ("labels", json!({"app": "y"})),
        ("annotations", json!({"cert-manager.io/inject-ca-from": "shop/x"})),
        ("finalizers", json!(["example.com/stay"])),
        ("ownerReferences", owner),
    ] {
        let change = json!({"metadata": {key: value}});
        let changed = Attempt::made(Who::Cluster, How::Merge, configuration(), change);
        cases.push(Case::new(H, format!("a webhook configuration's {key}"), changed, trusts(How::Merge)));
    }
    let born = |who| {
        let (_, list, object) = configuration();
        let object = merged(&object, &json!({"metadata": {"generateName": "x-"}}));
        Attempt::path(who, How::Create, &format!("{list}?dryRun=All"), object)
    };
    cases.push(
        Case::new(H, "a webhook configuration made", born(Who::Cluster), born(Who::Admin))
            .then(Then::Accepted),
    );
    cases
}

pub(super) fn networks() -> Vec<Case> {
    let mut cases = Vec::new();
    for how in CUSTOM {
        let configure = |who| Attempt::network(who, how, json!({"spec": {"config": HOSTILE}}));
        let name = format!("the controller's words in a definition, {how:?}");
        cases.push(Case::new(I, name, configure(Who::Cluster), configure(Who::User)));
    }
    let own = || Attempt::network(Who::Cluster, How::Merge, json!({"metadata": {"finalizers": [IN_USE]}}));
    let by = |name: &str, change: Value| {
        let changed = |who| Attempt::network(who, How::Merge, change.clone());
        Case::new(I, format!("the controller's {name}"), changed(Who::Cluster), changed(Who::User))
    };
    cases.extend([
        by("removal of a configuration", json!({"spec": {"config": null}})),
        by("removal of `spec`", json!({"spec": null})),
        by("choice of a file of the nodes", annotations(json!({CONFIGURATION: "x"}))),
        by("choice of a device", annotations(json!({"k8s.v1.cni.cncf.io/resourceName": "x.example/vf"}))),
        by("mark of an uninstallation", annotations(json!({UNINSTALL: "leave"}))),
    ]);
    let owner = json!([{"apiVersion": "v1", "kind": "Namespace", "name": "x", "uid": "x"}]);
    let foreign = json!({"metadata": {"finalizers": ["example.com/stay"]}});
    let released = Attempt::network(Who::Cluster, How::Merge, json!({"metadata": {"finalizers": null}}));
    cases.extend([
        Case::new(
            I,
            "an owner whose end would delete a definition",
            Attempt::network(Who::Cluster, How::Merge, json!({"metadata": {"ownerReferences": owner}})),
            own(),
        ),
        Case::new(
            I,
            "the controller's finalizer of somebody else",
            Attempt::network(Who::Cluster, How::Merge, foreign.clone()),
            own(),
        ),
        Case::new(I, "a finalizer taken from somebody else", released.clone().having(foreign), released),
    ]);
    let born =
        |who| Attempt::path(who, How::Create, NETWORKS, new_network(json!({"generateName": "x-"}), HOSTILE));
    cases.push(
        Case::new(I, "the controller's own definition", born(Who::Cluster), born(Who::User))
            .then(Then::Accepted),
    );
    cases.extend(default_network());
    cases
}

/// Every new pod runs what it says.
fn default_network() -> Vec<Case> {
    let kept = |change: Value| Attempt::kept(Who::Cluster, How::Merge, DEFAULT_NETWORK, change);
    let emptied = || kept(json!({"spec": {"config": null}}));
    let named = |name: &str| kept(annotations(json!({CONFIGURATION: name})));
    let born = |config: Option<&str>| {
        let mut object = new_network(json!({"name": "cluster-wide-network"}), "");
        object["spec"] = config.map_or(json!({}), |config| json!({"config": config}));
        let list = DEFAULT_NETWORK.rsplit_once('/').unwrap().0;
        Attempt::path(Who::Cluster, How::Create, list, object)
    };
    let mark = |value: Value| {
        Attempt::kept(Who::Cluster, How::Merge, DEFAULT_NETWORK, annotations(json!({UNINSTALL: value})))
    };
    let case =
        |name: &str, denied: Attempt, twin: Attempt| Case::new(I, name, denied, twin).then(Then::Accepted);
    let mut cases: Vec<Case> = [How::Merge, How::Json, How::Apply]
        .map(|how| {
            let change = json!({"spec": {"config": HOSTILE}});
            let denied = Attempt::kept(Who::Cluster, how, DEFAULT_NETWORK, change);
            case(
                &format!("the default network's configuration by the controller, {how:?}"),
                denied,
                emptied(),
            )
        })
        .into();
    cases.extend([
        case("another file of the nodes for the default network", named("other"), named("manifold-built-in")),
        case(
            "the mark of an uninstallation on the default network",
            mark(json!("leave@x")),
            mark(json!("leave@x")).by(Who::Admin),
        ),
        // There is one: who is let through meets that.
        case("a default network made with words", born(Some(HOSTILE)), born(None)).then(Then::Passed),
    ]);
    cases
}

pub(super) fn crd() -> Vec<Case> {
    let kept = |who, change: Value| Attempt::kept(who, How::Merge, CRD, change);
    let restored = || {
        kept(
            Who::Cluster,
            json!({"spec": {"names": {"shortNames": ["net-attach-def"]}, "versions": [version()]}}),
        )
    };
    let case = |name: &str, change: Value| {
        assert_ne!(change, Value::Null);
        Case::new(J, format!("the CRD with {name}"), kept(Who::Cluster, change.clone()), restored())
            .then(Then::Accepted)
    };
    let versions = |change: Value| json!({"spec": {"versions": [merged(&version(), &change)]}});
    let schema =
        |properties: Value| versions(json!({"schema": {"openAPIV3Schema": {"properties": properties}}}));
    let webhook = json!({"strategy": "Webhook", "webhook": {
        "clientConfig": {"url": "https://127.0.0.1:1/"}, "conversionReviewVersions": ["v1"]}});
    let second = merged(&version(), &json!({"name": "v2", "storage": false}));
    let owner = json!([{"apiVersion": "v1", "kind": "Namespace", "name": "x", "uid": "x"}]);
    let mut cases = vec![
        case("a conversion webhook", json!({"spec": {"conversion": webhook}})),
        case("a second version", json!({"spec": {"versions": [version(), second]}})),
        case("a version that nobody is served", versions(json!({"served": false}))),
        case(
            "a configuration by default",
            schema(json!({"spec": {"properties": {"config": {"default": HOSTILE}}}})),
        ),
        case("a whole `spec` by default", schema(json!({"spec": {"default": {"config": HOSTILE}}}))),
        case(
            "a default of any key",
            schema(
                json!({"spec": {"properties": null, "additionalProperties": {"type": "string", "default": "x"}}}),
            ),
        ),
        case("a default in the status", schema(json!({"status": {"properties": {"pods": {"default": 1}}}}))),
        case("an owner whose end would delete it", json!({"metadata": {"ownerReferences": owner}})),
        case("a finalizer", json!({"metadata": {"finalizers": ["example.com/stay"]}})),
    ];
    // The same words of somebody who may.
    let hostile = cases[0].denied.clone();
    cases.push(
        Case::new(
            J,
            "a conversion webhook, by whom it is not about",
            hostile.clone(),
            hostile.by(Who::Admin),
        )
        .then(Then::Accepted),
    );
    cases
}

/// As it is shipped.
fn version() -> Value {
    crate::manifests::definitions_crd()["spec"]["versions"][0].clone()
}
