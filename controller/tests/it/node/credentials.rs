//! The shim's token: bound to the Node, renewed, and good for nothing on another node.

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use super::bed::{BRIDGE, Node, define, server};

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn the_token_is_of_the_shim_and_bound_to_this_node_for_a_day() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-token", json!({})).serving();
    let claims = claims(&node.token_file());
    assert_eq!(claims["sub"], "system:serviceaccount:manifold-system:manifold-shim");
    assert_eq!(claims["kubernetes.io"]["node"]["name"], "node-token");
    assert_eq!(claims["kubernetes.io"]["node"]["uid"], node.uid.as_str());
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(life, 86_400);
    let kubeconfig: Value =
        serde_json::from_slice(&fs::read(node.state("credentials/kubeconfig")).unwrap()).unwrap();
    let cluster = &kubeconfig["clusters"][0]["cluster"];
    assert_eq!(cluster["server"], format!("https://127.0.0.1:{}", api.port()));
    assert_eq!(cluster["tls-server-name"], "kubernetes");
    assert_eq!(kubeconfig["users"][0]["user"], json!({"tokenFile": "token"}));
}

// Proves: P-UP-6
#[test]
fn a_refused_token_is_renewed_at_once_and_the_mark_goes() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-refused", json!({})).serving();
    let before = node.token_file();
    fs::write(node.state("credentials/refused"), "now").unwrap();
    let took = node.wait("another token", || {
        let now = node.token_file();
        !now.is_empty() && now != before
    });
    // By its own time it would come after hours.
    assert!(took < Duration::from_secs(60), "{took:?}");
    node.wait("no mark", || !node.state("credentials/refused").exists());
    // A token that somebody removed comes back too.
    fs::remove_file(node.state("credentials/token")).unwrap();
    node.wait("a token", || !node.token_file().is_empty());
}

// Proves: P-UP-6
#[test]
fn the_token_is_renewed_at_a_quarter_of_its_life() {
    let api = server();
    define(&api, Some(BRIDGE));
    // The server gives ten minutes at least; a quarter of them is too long for a test, so the renewals are counted.
    let node = Node::new(&api, "node-quarter", json!({"token": {"seconds": 600}})).serving();
    node.wait("the time of the next", || {
        let page = node.page("/metrics");
        page.is_some_and(|(_, body)| body.contains("manifold_node_token_next_renewal_seconds 150"))
    });
    assert_eq!(node.sum("manifold_node_token_renewals_total", &[("outcome", "Renewed")]), 1.0);
    let ends = node.sum("manifold_node_token_expires_seconds", &[]);
    let claims = claims(&node.token_file());
    // By the clock after the answer, which a busy machine may read late.
    assert!((ends - claims["exp"].as_f64().unwrap()).abs() < 60.0);
}

// Proves: F-NOD-6
#[test]
fn while_the_api_server_is_away_the_token_stays() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-away", json!({})).serving();
    let before = node.token_file();
    api.stop();
    fs::write(node.state("credentials/refused"), "now").unwrap();
    node.wait("a failure", || {
        node.sum("manifold_node_token_renewals_total", &[("outcome", "Failed")]) >= 1.0
    });
    assert_eq!(node.token_file(), before);
    api.start_again().unwrap();
    node.wait("another token", || {
        let now = node.token_file();
        !now.is_empty() && now != before
    });
}

// Proves: S-4, S-5, P-SEC-2
#[test]
fn from_the_stolen_token_of_one_node_nothing_of_another_can_be_changed() {
    let api = server();
    define(&api, Some(BRIDGE));
    let a = Node::new(&api, "node-a", json!({})).serving();
    let _b = Node::new(&api, "node-b", json!({}));
    let shop = api.namespace("stolen").unwrap();
    for (pod, node) in [("of-a", "node-a"), ("of-b", "node-b")] {
        api.pod(shop.name(), pod, node, &[]).unwrap();
    }
    let thief = api.client_with_token(&a.token_file()).unwrap();
    let pods = format!("/api/v1/namespaces/{}/pods", shop.name());
    let merge = "application/merge-patch+json";
    let status =
        json!({"metadata": {"annotations": {"k8s.v1.cni.cncf.io/network-status": "[]"}}}).to_string();
    let patch = |path: &str, body: &str| thief.call("PATCH", path, merge, body.as_bytes()).unwrap().status;
    // The server heeds policies and rights a moment after they are stored.
    a.wait("that the policies hold", || patch(&format!("{pods}/of-b/status"), &status) == 403);
    a.wait("its own right", || patch(&format!("{pods}/of-a/status"), &status) == 200);
    assert_eq!(patch(&format!("{pods}/of-b/status"), &status), 403);
    let label = json!({"metadata": {"labels": {"x": "y"}}}).to_string();
    for path in [
        format!("{pods}/of-b"),
        format!("{pods}/of-a"),
        "/api/v1/nodes/node-b".to_owned(),
        "/api/v1/nodes/node-b/status".to_owned(),
        super::bed::DEFAULT.to_owned(),
    ] {
        assert_eq!(patch(&path, &label), 403, "{path}");
    }
    let send = |method: &str, path: &str, body: &Value| {
        thief.call(method, path, "application/json", body.to_string().as_bytes()).unwrap().status
    };
    assert_eq!(send("DELETE", &format!("{pods}/of-b"), &json!({})), 403);
    assert_eq!(send("GET", &pods, &json!({})), 403, "no list");
    assert_eq!(send("GET", "/api/v1/secrets", &json!({})), 403);
    for account in ["manifold-shim", "manifold-node", "manifold-cluster"] {
        let path = format!("/api/v1/namespaces/manifold-system/serviceaccounts/{account}/token");
        let bound = json!({"apiVersion": "v1", "kind": "Node", "name": "node-b"});
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600, "boundObjectRef": bound},
        });
        assert_eq!(send("POST", &path, &request), 403, "{account}");
    }
    // Nor does the node agent's own token make one of another node.
    let own = fs::read_to_string(a.host.path().join("token")).unwrap();
    let node_role = api.client_with_token(&own).unwrap();
    for bound in [json!({"apiVersion": "v1", "kind": "Node", "name": "node-b"}), Value::Null] {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600, "boundObjectRef": bound},
        });
        let path = "/api/v1/namespaces/manifold-system/serviceaccounts/manifold-shim/token";
        let answer =
            node_role.call("POST", path, "application/json", request.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
}

#[test]
fn a_node_that_was_made_anew_gets_a_token_of_the_new_one() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-anew", json!({})).serving();
    let path = "/api/v1/nodes/node-anew";
    api.client().call("DELETE", path, "application/json", b"").unwrap();
    let again = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-anew"}});
    api.client().create_if_missing("/api/v1/nodes", &again).unwrap();
    let uid = node.get(path).unwrap()["metadata"]["uid"].clone();
    assert_ne!(uid, node.uid.as_str());
    fs::write(node.state("credentials/refused"), "now").unwrap();
    node.wait("a token of the new Node", || {
        let token = node.token_file();
        !token.is_empty() && claims(&token)["kubernetes.io"]["node"]["uid"] == uid
    });
}
