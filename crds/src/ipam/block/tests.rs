use serde_json::{Value, json};

use super::*;

const STORE: &str = "0123456789abcdef0123456789abcdef";

fn read(extra: Value) -> Result<BlockSpec, String> {
    let mut whole = json!({ "domain": "default", "start": "10.1.7.16" });
    whole.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(whole).map_err(|e| e.to_string())
}

fn holder() -> Value {
    json!({ "node": "worker-7", "uid": "u-7", "store": STORE, "epoch": 2 })
}

#[test]
fn a_block_comes_back_as_it_was_written() {
    let held = json!({
        "domain": "default", "start": "10.1.7.16", "state": "Held", "holder": holder(),
        "recall": { "reason": "PoolShort" }, "withheld": { "7": { "pod": "shop/old-2" } },
    });
    let shared = json!({
        "domain": "default", "start": "10.1.7.16", "state": "Shared", "allocations": {
            "3": { "node": "worker-9", "uid": "u-9", "store": STORE, "epoch": 0, "pod": "shop/cart-7", "interface": "net1" },
            "4": { "claim": { "namespace": "shop", "name": "vm-a.left", "uid": "c" } },
            "5": { "foreign": { "by": "whereabouts", "pod": "shop/old-1", "id": "x" } },
        },
    });
    for whole in [held, shared] {
        let spec: BlockSpec = serde_json::from_value(whole.clone()).unwrap();
        assert_eq!(serde_json::to_value(&spec).unwrap(), whole);
        assert_eq!(spec.object_name(), "default.10-1-7-16");
    }
}

#[test]
fn every_node_with_a_part_in_a_block_finds_it_by_its_label() {
    let share = |uid: &str| json!({ "node": "n", "uid": uid, "store": STORE });
    let spec = read(
        json!({ "state": "Shared", "allocations": { "1": share("u-1"), "2": share("u-2"), "3": share("u-1") } }),
    );
    let labels = spec.unwrap().labels();
    let keys: Vec<_> = labels.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["held-by.ipam.manifold.network/u-1", "held-by.ipam.manifold.network/u-2", DOMAIN_LABEL]
    );
}

#[test]
fn a_state_with_fields_of_the_other_is_refused() {
    let claim = json!({ "1": { "claim": { "namespace": "a", "name": "b", "uid": "c" } } });
    let cases = [
        (json!({ "state": "Held" }), "no `holder`"),
        (json!({ "state": "Held", "holder": holder(), "allocations": claim }), "has `allocations`"),
        (json!({ "state": "Shared", "holder": holder() }), "has a `holder`"),
        (json!({ "state": "Shared", "recall": { "reason": "PoolShort" } }), "`recall`"),
        (json!({ "state": "Lent" }), "neither"),
        (json!({ "state": "Shared", "allocations": { "16": {} } }), "0 to 15"),
        (json!({ "state": "Shared", "allocations": { "01": {} } }), "0 to 15"),
        (json!({ "state": "Shared", "allocations": { "1": {} } }), "did not match"),
    ];
    for (extra, part) in cases {
        let error = read(extra.clone()).unwrap_err();
        assert!(error.contains(part), "{extra}: {error}");
    }
}
