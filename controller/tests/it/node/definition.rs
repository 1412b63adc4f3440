//! How the definition of the default network is followed.

use std::thread;
use std::time::Duration;

use manifold_e2e::api_server::ApiServer;
use manifold_e2e::controller::Metrics;
use serde_json::json;

use super::bed::{BRIDGE, CONFLIST, Node, define, server};

/// How often definitions were asked for, by whoever.
fn asked(api: &ApiServer) -> f64 {
    let metrics = Metrics(api.client().get("/metrics").unwrap().text());
    let labels = [("resource", "network-attachment-definitions"), ("verb", "GET")];
    metrics.sum("apiserver_request_total", &labels)
}

/// There may be thousands of nodes, and no definition for as long as nobody writes it.
#[test]
fn a_definition_that_is_not_there_is_waited_for_and_not_asked_for_again_and_again() {
    let api = server();
    let node = Node::new(&api, "node-patient", json!({}));
    node.start();
    node.wait("a word why", || {
        node.page("/readyz").is_some_and(|(_, body)| body.contains("is not known yet"))
    });
    node.wait("the first question", || asked(&api) > 0.0);
    let before = asked(&api);
    thread::sleep(Duration::from_secs(5));
    let again = asked(&api) - before;
    assert!(again <= 2.0, "asked {again} times in 5 s");
    define(&api, Some(BRIDGE));
    node.wait("the configuration", || node.conf(CONFLIST).exists());
}
