//! Nobody is refused on hearsay: a definition that counts against a pod is read anew, and what cannot be read counts not.

use kube::Client;
use manifold_e2e::api_server::ApiServer;
use serde_json::{Value, json};

use super::bed::{runtime, until};
use super::target::{Target, review};

/// The verdict: allowed or not, the sentence, the warnings.
fn ask(target: &Target, networks: &str) -> (bool, String, String) {
    let (status, body) = target.answer("/pods", review(networks).to_string().as_bytes());
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let response = &answer["response"];
    let message = response["status"]["message"].as_str().unwrap_or_default().to_owned();
    (response["allowed"].as_bool().unwrap(), message, response["warnings"].to_string())
}

/// One that may read definitions, and hears nothing of them: its watch is forbidden.
fn deaf(api: &ApiServer) -> Client {
    let rights = "/apis/rbac.authorization.k8s.io/v1";
    let accounts = "/api/v1/namespaces/manifold-system/serviceaccounts";
    let create = |path: &str, object: Value| api.client().send("POST", path, &object).unwrap();
    create(accounts, json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deaf"}}));
    create(
        &format!("{rights}/clusterroles"),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "deaf"},
            "rules": [
                {"apiGroups": ["k8s.cni.cncf.io"], "resources": ["network-attachment-definitions"], "verbs": ["get"]},
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]},
            ],
        }),
    );
    create(
        &format!("{rights}/clusterrolebindings"),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "deaf"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "deaf"},
            "subjects": [{"kind": "ServiceAccount", "name": "deaf", "namespace": "manifold-system"}],
        }),
    );
    let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}});
    let token = create(&format!("{accounts}/deaf/token"), asked)["status"]["token"].clone();
    let mut kubeconfig: Value =
        serde_yaml::from_str(&std::fs::read_to_string(api.kubeconfig()).unwrap()).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": token});
    let kubeconfig = kube::config::Kubeconfig::from_yaml(&kubeconfig.to_string()).unwrap();
    runtime().block_on(async {
        let options = kube::config::KubeConfigOptions::default();
        Client::try_from(kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap()).unwrap()
    })
}

#[test]
fn a_watch_that_hears_nothing_refuses_nobody_whose_network_is_there() {
    let target = Target::start_as(deaf);
    let reads = || target.api.request_counts().unwrap().of("GET", "network-attachment-definitions");
    let before = reads();
    until("the network is read", || ask(&target, "plain") == (true, String::new(), "null".to_owned()));
    assert!(reads() > before);
    until("what is missing is told", || {
        ask(&target, "nothing").2.contains("no such NetworkAttachmentDefinition")
    });
    let ips = json!([{"name": "deaf", "ips": ["10.1.0.1/24"]}]).to_string();
    until("what it cannot do is refused", || ask(&target, &ips).1.contains("capability `ips`"));
}

#[test]
fn with_the_api_server_silent_only_what_the_pod_itself_says_counts() {
    let target = Target::start();
    let ips = json!([{"name": "deaf", "ips": ["10.1.0.1/24"]}]).to_string();
    until("it is refused while it can be read", || !ask(&target, &ips).0);
    target.api.stop();
    for networks in ["nothing", &ips] {
        let (allowed, _, warnings) = ask(&target, networks);
        assert!(allowed && warnings.contains("could not be checked in time"), "{networks}: {warnings}");
    }
    assert_eq!(ask(&target, "plain"), (true, String::new(), "null".to_owned()));
    for networks in ["plain@eth0", ",,", "other/network"] {
        assert!(!ask(&target, networks).0, "{networks}");
    }
}
