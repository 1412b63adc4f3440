//! Pods that share one MAC address: only the client identifier tells them apart.

use manifold_e2e::netns::TestNetns;
use serde_json::json;

use crate::bed::{Bed, address, wait_until};
use crate::dnsmasq::Dnsmasq;

// Proves: PLG-IPVLAN-7
#[test]
#[ignore = "needs a kernel with ipvlan links: run it in the guest kernel"]
fn ipvlan_pods_of_one_mac_address_get_leases_of_their_own_by_client_id() {
    let mut bed = Bed::without_daemon();
    // What the server sends to the MAC address alone is the master's: no pod has the offered address yet.
    bed.start_daemon(&["-broadcast"]);
    let server = Dnsmasq::start(&bed, &[]);
    let mut conf = bed.conf("ipvlan", json!({}));
    conf["master"] = json!("m0");
    let pods = [TestNetns::new().unwrap(), TestNetns::new().unwrap()];
    let results = [bed.add(&conf, "c0", &pods[0]).good(), bed.add(&conf, "c1", &pods[1]).good()];
    assert_eq!(results[0]["interfaces"][0]["mac"], results[1]["interfaces"][0]["mac"]);
    let leases = results.each_ref().map(address);
    assert_ne!(leases[0], leases[1], "{}", server.log());
    wait_until("they reach each other", || pods[0].exec(&["ping", "-c1", "-W5", &leases[1]]).is_ok());
    for (pod, id) in pods.iter().zip(["c0", "c1"]) {
        assert!(bed.del(&conf, id, pod).ok);
    }
    assert_eq!(bed.lease_files(), 0);
}
