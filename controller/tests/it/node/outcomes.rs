//! What the shim did becomes events and metrics.

use manifold_ledger::spool::{NetworkOutcome, Outcome, Spool};
use serde_json::json;

use super::bed::{BRIDGE, Node, define, server};

fn outcome(namespace: &str, verb: &str, code: u32, message: &str) -> Outcome {
    let network = |n: usize, network: &str| NetworkOutcome {
        network: network.into(),
        ifname: format!("net{n}"),
        kind: ["macvlan", "somebodys"][n - 1].into(),
        duration_ms: 20,
        code,
        ips: vec![format!("10.1.0.{n}/24")],
        ..NetworkOutcome::default()
    };
    Outcome {
        time: 1_790_000_000,
        verb: verb.into(),
        container: "c1".into(),
        namespace: Some(namespace.into()),
        pod: Some("cart-7".into()),
        uid: Some("0f1e2d3c-0000-4000-8000-0123456789ab".into()),
        outcome: if code == 0 { "success" } else { "failed" }.into(),
        code,
        duration_ms: 40,
        message: message.into(),
        networks: vec![network(1, "shop/left"), network(2, "shop/right")],
    }
}

// Proves: P-USE-6
#[test]
fn outcomes_become_events_on_the_pod_and_counts_by_network() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-outcomes", json!({})).serving();
    let shop = api.namespace("outcomes").unwrap();
    let spool = Spool::new(&node.state(""));
    spool.append(&outcome(shop.name(), "ADD", 0, "")).unwrap();
    spool.append(&outcome(shop.name(), "ADD", 7, "network `shop/left`: no address is left")).unwrap();
    spool.append(&outcome(shop.name(), "DEL", 0, "")).unwrap();
    node.wait("the event", || !node.events(shop.name(), "NetworksNotAttached", "cart-7").is_empty());
    let told = node.events(shop.name(), "NetworksAttached", "cart-7");
    assert!(told[0].contains("net1 to `shop/left` (10.1.0.1/24); net2 to `shop/right`"), "{told:?}");
    let failed = node.events(shop.name(), "NetworksNotAttached", "cart-7");
    assert_eq!(failed, ["network `shop/left`: no address is left"]);
    let calls =
        |verb, outcome| node.sum("manifold_node_calls_total", &[("verb", verb), ("outcome", outcome)]);
    let counted = || (calls("Add", "Success"), calls("Add", "Failed"), calls("Del", "Success"));
    node.wait("the counts", || counted() == (1.0, 1.0, 1.0));
    let left = [("network", "shop/left"), ("verb", "Add"), ("outcome", "Success")];
    assert_eq!(node.sum("manifold_node_networks_total", &left), 1.0);
    assert_eq!(node.sum("manifold_node_call_seconds_count", &[("verb", "Add")]), 2.0);
    for kind in ["macvlan", "other"] {
        let of_type = |verb| [("type", kind), ("verb", verb)];
        assert_eq!(
            node.sum("manifold_node_network_seconds_count", &of_type("Add")),
            1.0,
            "{kind}: one failed"
        );
        assert_eq!(node.sum("manifold_node_network_seconds_sum", &of_type("Del")), 0.02, "{kind}");
    }
    node.wait("an empty spool", || Spool::new(&node.state("")).take().unwrap().is_none());
    assert_eq!(counted(), (1.0, 1.0, 1.0), "nothing is told twice");
}
