//! STATUS, GC and DEL.

use serde_json::json;

use super::{Node, config, note_short, with_result};
use crate::ipam_bed::{add, call, del};

// Shows part of: IPAM-10
#[test]
fn gc_frees_exactly_what_the_list_lacks_of_its_own_network() {
    let node = Node::holding(&["10.1.7.0"]);
    let mut own = config(json!({"subnet": "10.1.0.0/16"}));
    let mut other = own.clone();
    other["name"] = json!("other");
    for id in ["a", "b"] {
        node.run(&add(id), &own).ok();
        node.run(&add(id), &other).ok();
    }
    node.run(&add("a").ifname("net1"), &own).ok();
    assert_eq!(node.leases().len(), 5);
    own["cni.dev/valid-attachments"] = json!([{"containerID": "a", "ifname": "eth0"}]);
    for _ in 0..2 {
        node.run(&call("GC", ""), &own).ok();
        let left: Vec<_> = node.domain().found().unwrap().into_iter().filter_map(|f| f.lease).collect();
        let of = |network: &str| left.iter().filter(|lease| lease.network.as_str() == network).count();
        assert_eq!((of("net"), of("other")), (1, 2), "{left:?}");
    }
}

// Shows part of: IPAM-10
#[test]
fn status_is_50_while_the_last_claim_found_nothing_and_nothing_is_free() {
    let node = Node::holding(&["10.1.7.0"]);
    let config = config(
        json!({"ranges": [[{"subnet": "10.1.0.0/16", "rangeStart": "10.1.7.9", "rangeEnd": "10.1.7.9"}]]}),
    );
    let status = || node.run(&call("STATUS", ""), &config);
    status().ok();
    node.run(&add("a"), &config).ok();
    status().ok();
    note_short(&node);
    status().failed(50, "no free address");
    node.run(&del("a"), &config).ok();
    status().ok();
}

#[test]
fn del_needs_neither_a_valid_configuration_nor_the_domain_of_add() {
    let node = Node::holding(&["10.1.7.0"]);
    let good = config(json!({"subnet": "10.1.0.0/16"}));
    let result = node.run(&add("a"), &good).stdout;
    for broken in [json!({"subnet": "x"}), json!({"subnet": "10.9.0.0/16", "domain": "other"}), json!({})] {
        node.run(&add("a"), &good).ok();
        for _ in 0..2 {
            node.run(&del("a"), &config(broken.clone())).ok();
            assert_eq!(node.leases(), Vec::<String>::new());
        }
    }
    // A lease that nobody can read goes with the address that ADD answered.
    node.run(&add("a"), &good).ok();
    let ip = node.leases().remove(0);
    std::fs::write(node.domain().path().join(&ip), "torn").unwrap();
    node.run(&del("a"), &good).ok();
    assert_eq!(node.leases(), std::slice::from_ref(&ip));
    let mut told = result;
    told["ips"][0]["address"] = json!(format!("{ip}/16"));
    node.run(&del("a"), &with_result(&good, &told)).ok();
    assert_eq!(node.leases(), Vec::<String>::new());
}
