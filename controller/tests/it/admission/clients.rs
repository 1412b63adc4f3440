//! Reviews for clients with a certificate alone, where the configuration names an authority.

use std::fs;

use manifold_controller::config::Config;
use manifold_e2e::certificates::{Authority, Identity};
use serde_json::json;

use super::bed::{Replica, client, until};
use super::target::{Target, review};
use super::wire::Wire;

// Proves: F-CTL-11
#[test]
fn with_an_authority_only_its_clients_with_the_right_name_are_answered() {
    let target = Target::start();
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [ours, other] = [0, 1].map(|n| Authority::new(folders[n].path()).unwrap());
    let trusted = folders[0].path().join("trusted.crt");
    fs::write(&trusted, ours.pem()).unwrap();
    let config = json!({"admission": {"clientAuthority": trusted, "clientNames": ["kube-apiserver"]}});
    let replica = Replica::start(&client(&target.api), Config::parse(&config.to_string()).unwrap());
    let is_answered = |shown: Option<&Identity>| {
        Wire::connect_as(replica.port, &target.bundle, shown)
            .and_then(|mut wire| wire.post("/pods", &review("plain").to_string().into_bytes()))
            .is_ok_and(|(status, _)| status == 200 || status == 503)
    };
    let server = ours.client("server", "kube-apiserver", None).unwrap();
    until("the API server is answered", || is_answered(Some(&server)));
    assert!(!is_answered(None), "without a certificate");
    assert!(!is_answered(Some(&ours.client("pod", "system:node:a", None).unwrap())), "with another name");
    let new = other.client("server", "kube-apiserver", None).unwrap();
    assert!(!is_answered(Some(&new)), "of another authority");
    // Garbage in the file changes nothing; another authority is taken without a restart.
    fs::write(&trusted, "no certificate").unwrap();
    assert!(is_answered(Some(&server)));
    fs::write(&trusted, other.pem()).unwrap();
    until("the new authority counts", || is_answered(Some(&new)));
    assert!(!is_answered(Some(&server)));
}
