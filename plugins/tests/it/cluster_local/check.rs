//! CHECK.

use manifold_addresses::holdings::Part;
use serde_json::json;

use super::{Node, config, with_result};
use crate::ipam_bed::{add, call};

// Proves: IPAM-9
#[test]
fn check_fails_without_the_lease_with_anothers_and_with_another_address() {
    let node = Node::holding(&["10.1.7.0"]);
    let plain = config(json!({"ranges": [[{"subnet": "10.1.0.0/16", "gateway": "10.1.0.1"}]]}));
    let result = node.run(&add("a"), &plain).stdout;
    let config = with_result(&plain, &result);
    let check = || node.run(&call("CHECK", "a"), &config);
    check().ok();
    let ip = result["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap().to_owned();
    let path = node.domain().path().join(&ip);
    let lease = std::fs::read(&path).unwrap();

    std::fs::remove_file(&path).unwrap();
    check().failed(101, "no lease");
    // Another attachment's, in the place of ours.
    let other = node.run(&add("b"), &plain).ips().remove(0);
    let other_ip = other.split('/').next().unwrap();
    std::fs::rename(node.domain().path().join(other_ip), &path).unwrap();
    check().failed(101, "no lease");
    // Ours, but of another address than ADD answered.
    std::fs::write(node.domain().path().join("10.1.7.15"), &lease).unwrap();
    check().failed(101, "container `b` has it");
    std::fs::remove_file(&path).unwrap();
    check().failed(101, "it belongs to no one");
    // Ours, as ADD answered, and one more.
    std::fs::write(&path, &lease).unwrap();
    check().failed(101, "`10.1.7.15`");
    std::fs::remove_file(node.domain().path().join("10.1.7.15")).unwrap();
    check().ok();
    // The node holds it no longer.
    node.take("10.1.7.0", Part::Singles(0));
    check().failed(101, "holds it no longer");
}
