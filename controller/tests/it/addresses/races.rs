//! Several who write at once: nodes that take what the leader deletes, two leaders, one that was away.

use serde_json::{Value, json};

use super::bed::{BLOCKS, Leader, get, node, pool, server, share, spec, until, until_status};

const ROUNDS: usize = 80;

// Shows part of: IPAM-69
#[test]
fn what_a_node_took_is_never_deleted_and_what_was_deleted_was_taken_by_nobody() {
    let api = server();
    let uid = node(&api, "worker-7");
    // No pool has these blocks, so the leader deletes each as soon as it is empty.
    let _leader = Leader::start(&api, 1);
    let empty = |n: usize| format!("default.10-{}-{}-{}", 100 + n / 1000, n % 1000 / 16, n % 16 * 16);
    let mut taken = 0;
    for n in 0..ROUNDS {
        let name = empty(n);
        let start = name.trim_start_matches("default.").replace('-', ".");
        let object = |allocations: &Value| {
            json!({
                "apiVersion": "ipam.manifold.network/v1alpha1", "kind": "AddressBlock", "metadata": {"name": name},
                "spec": {"domain": "default", "start": start, "state": "Shared", "allocations": allocations},
            })
        };
        let mut made = object(&json!({"0": share("worker-7", &uid)}));
        made["spec"].as_object_mut().unwrap().remove("allocations");
        let made = api.client().send("POST", BLOCKS, &made).unwrap();
        // The leader is about to delete it.
        std::thread::sleep(std::time::Duration::from_millis((n % 40) as u64 * 10));
        let mut take = object(&json!({"0": share("worker-7", &uid)}));
        take["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
        let answer = api
            .client()
            .call("PUT", &format!("{BLOCKS}/{name}"), "application/json", take.to_string().as_bytes())
            .unwrap();
        match answer.status {
            200 => {
                taken += 1;
                assert!(spec(&api, &name).is_some(), "round {n}: a block with an allocation was deleted");
            }
            404 | 409 => until("it is gone", || spec(&api, &name).is_none()),
            other => panic!("round {n}: {other} {}", answer.text()),
        }
    }
    let there = get(&api, &format!("{BLOCKS}?limit=5000")).unwrap()["items"].as_array().unwrap().len();
    assert_eq!(there, taken);
    assert!(taken > 0 && taken < ROUNDS, "no race at all: {taken} of {ROUNDS} were taken");
    eprintln!("{taken} of {ROUNDS} blocks were taken before the leader came");
}

// Shows part of: IPAM-70, IPAM-71
#[test]
fn two_leaders_and_one_that_began_later_come_to_the_same() {
    let api = server();
    let uid = node(&api, "worker-7");
    pool(&api, "storage", &json!({"subnet": "10.50.0.0/22"}));
    let first = Leader::start(&api, 1);
    let second = Leader::start(&api, 1);
    for n in 0..20 {
        super::bed::block(&api, &super::bed::held(&format!("10.50.1.{}", n % 16 * 16), "worker-7", &uid));
    }
    until_status(&api, "storage", |status| status.total == 1022 && status.idle == 16 * 16);
    let told = super::bed::status(&api, "storage");
    drop((first, second));
    let _third = Leader::start(&api, 1);
    super::bed::block(&api, &super::bed::held("10.50.2.0", "worker-7", &uid));
    until_status(&api, "storage", |status| status.idle == 17 * 16);
    let now = super::bed::status(&api, "storage");
    assert_eq!((now.total, now.used, now.nodes), (told.total, told.used, told.nodes));
    // Both kept the reserve, and neither made more of it than one would.
    let blocks = get(&api, BLOCKS).unwrap()["items"].as_array().cloned().unwrap();
    let open = blocks.iter().filter(|block| block["spec"]["state"] == "Shared").count();
    assert!((2..=3).contains(&open), "a reserve of 20 addresses needs two blocks: {open}");
}
