//! Certificates are issued, told, swapped and renewed while reviews go on.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use manifold_controller::admission::{Ending, Subject};
use manifold_controller::config::Config;
use manifold_e2e::api_server::ApiServer;
use serde_json::{Value, json};

use super::bed::{
    CONFIGURATIONS, Leader, Replica, client, configuration, lifetimes, pod, pods, request, until,
};
use super::wire::Wire;

/// Of a certificate whose successor is issued and served while it is still good, however busy the machine.
const VALID: jiff::SignedDuration = jiff::SignedDuration::from_secs(600);
/// For the API server, and for us, to hear of a successor.
const SETTLE: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);
const SECRET: &str = "/api/v1/namespaces/manifold-system/secrets/manifold-webhook";

fn server() -> (ApiServer, kube::Client) {
    let api = ApiServer::start().unwrap();
    api.ensure_namespace("manifold-system").unwrap();
    let client = client(&api);
    (api, client)
}

/// The bundle that the API server trusts, of every webhook; empty where they differ or there is none.
fn bundle(api: &ApiServer) -> String {
    let object = api.client().get(&format!("{CONFIGURATIONS}/manifold")).unwrap().json().unwrap();
    let of =
        |n: usize| object["webhooks"][n]["clientConfig"]["caBundle"].as_str().unwrap_or_default().to_owned();
    if of(0) != of(1) {
        return String::new();
    }
    String::from_utf8(STANDARD.decode(of(0)).unwrap()).unwrap()
}

fn authorities(bundle: &str) -> usize {
    bundle.matches("BEGIN CERTIFICATE").count()
}

/// Shakes hands as the API server would; the certificate that came.
fn served(api: &ApiServer, port: u16) -> std::io::Result<Vec<u8>> {
    Ok(Wire::connect(port, &bundle(api))?.certificate())
}

/// As if it had been issued so long ago that less than a third of its time is left.
fn age(api: &ApiServer) {
    let secret = api.client().get(SECRET).unwrap().json().unwrap();
    let document = STANDARD.decode(secret["data"]["certificates.json"].as_str().unwrap()).unwrap();
    let mut document: Value = serde_json::from_slice(&document).unwrap();
    let expires: jiff::Timestamp = document["current"]["expires"].as_str().unwrap().parse().unwrap();
    document["current"]["issued"] = (expires - 4 * VALID).to_string().into();
    let aged = json!({"data": {"certificates.json": STANDARD.encode(document.to_string())}});
    api.client().send("PATCH", SECRET, &aged).unwrap();
}

#[test]
fn at_no_time_of_a_rotation_is_a_certificate_served_that_is_not_trusted() {
    let (api, client) = server();
    let (one, two) = (Replica::start(&client, Config::default()), Replica::start(&client, Config::default()));
    let fail = |webhook: &mut Value| {
        webhook["failurePolicy"] = json!("Fail");
        webhook["timeoutSeconds"] = json!(30);
    };
    api.client().send("POST", CONFIGURATIONS, &configuration(one.port, fail)).unwrap();
    // Long: were it over, another would be issued that nobody was told of.
    let mut times = lifetimes(0);
    (times.valid, times.settle) = (VALID, SETTLE);
    let _leader = Leader::start(&client, Config::default(), times);
    until("both replicas serve", || served(&api, one.port).is_ok() && served(&api, two.port).is_ok());
    let first = served(&api, one.port).unwrap();
    let (refusable, path) = (pod("x", &[("k8s.v1.cni.cncf.io/networks", ",,")]), pods("default"));
    api.ensure_namespace("default").unwrap();
    let mut reviews = 0;
    age(&api);
    until("another certificate is served by both", || {
        for replica in [&one, &two] {
            let asked = Instant::now();
            let trusted = bundle(&api);
            let met = Wire::connect(replica.port, &trusted).map(drop);
            // Where we stood still for longer, what was told meanwhile may be served already.
            if asked.elapsed() < Duration::try_from(SETTLE).unwrap() {
                met.unwrap_or_else(|e| panic!("after {reviews} reviews: {e}"));
            }
        }
        let outcome = request(&client, &Method::POST, &path, Some(&refusable), None);
        assert!(!outcome.message.contains("x509") && !outcome.message.contains("tls"), "{outcome:?}");
        reviews += u32::from(outcome.message.contains("annotation"));
        let now = [&one, &two].map(|replica| served(&api, replica.port).ok());
        reviews > 0 && now[0].as_ref().is_some_and(|now| *now != first) && now[0] == now[1]
    });
    assert_eq!(
        authorities(&bundle(&api)),
        2,
        "the old authority stays while its certificate could be on its way"
    );
    assert!(one.metrics.reviews(Subject::Pod, Ending::Refused) > 0);
}

// Shows part of: F-CTL-3
#[test]
fn a_leader_that_ends_at_any_moment_leaves_what_the_next_one_finishes() {
    let (api, client) = server();
    let replica = Replica::start(&client, Config::default());
    api.client().send("POST", CONFIGURATIONS, &configuration(replica.port, |_| {})).unwrap();
    // Twelve leaders, each ended a little later in its first steps than the one before.
    for turn in 0..12 {
        let leader = Leader::start(&client, Config::default(), lifetimes(3600));
        std::thread::sleep(Duration::from_millis(3 * turn));
        leader.end();
    }
    let _leader = Leader::start(&client, Config::default(), lifetimes(3600));
    until("the certificate is served and trusted", || served(&api, replica.port).is_ok());
    assert_eq!(authorities(&bundle(&api)), 1);
}

#[test]
fn a_secret_that_is_deleted_or_broken_is_issued_anew() {
    let (api, client) = server();
    let replica = Replica::start(&client, Config::default());
    api.client().send("POST", CONFIGURATIONS, &configuration(replica.port, |_| {})).unwrap();
    let _leader = Leader::start(&client, Config::default(), lifetimes(3600));
    until("a certificate is served", || served(&api, replica.port).is_ok());
    let first = served(&api, replica.port).unwrap();
    api.client().call("DELETE", SECRET, "application/json", b"").unwrap();
    until("another is served after the deletion", || served(&api, replica.port).is_ok_and(|c| c != first));
    let second = served(&api, replica.port).unwrap();
    api.client().send("PATCH", SECRET, &json!({"data": {"certificates.json": "e30="}})).unwrap();
    until("another is served after the damage", || served(&api, replica.port).is_ok_and(|c| c != second));
    // Somebody empties the trust: it is told again.
    let object = configuration(replica.port, |_| {});
    let emptied = json!({"webhooks": object["webhooks"]});
    api.client().send("PATCH", &format!("{CONFIGURATIONS}/manifold"), &emptied).unwrap();
    until("the CA is told again", || served(&api, replica.port).is_ok());
}

/// No write when nothing changes.
#[test]
fn a_leader_that_finds_everything_in_place_writes_nothing() {
    let (api, client) = server();
    let replica = Replica::start(&client, Config::default());
    api.client().send("POST", CONFIGURATIONS, &configuration(replica.port, |_| {})).unwrap();
    let leader = Leader::start(&client, Config::default(), lifetimes(3600));
    until("a certificate is served", || served(&api, replica.port).is_ok());
    leader.end();
    let version = |path: &str| {
        let object = api.client().get(path).unwrap().json().unwrap();
        object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    };
    let versions = || (version(SECRET), version(&format!("{CONFIGURATIONS}/manifold")));
    let before = versions();
    let leaders: Vec<Leader> =
        (0..2).map(|_| Leader::start(&client, Config::default(), lifetimes(3600))).collect();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(versions(), before);
    drop(leaders);
}

/// Only the bundle is ours: what the administrator wrote stays.
#[test]
fn nothing_but_the_bundle_is_set() {
    let (api, client) = server();
    let replica = Replica::start(&client, Config::default());
    let changed = |webhook: &mut Value| webhook["timeoutSeconds"] = json!(7);
    let written = configuration(replica.port, changed);
    api.client().send("POST", CONFIGURATIONS, &written).unwrap();
    let _leader = Leader::start(&client, Config::default(), lifetimes(3600));
    until("the CA is told", || !bundle(&api).is_empty());
    let object = api.client().get(&format!("{CONFIGURATIONS}/manifold")).unwrap().json().unwrap();
    for (webhook, written) in
        object["webhooks"].as_array().unwrap().iter().zip(written["webhooks"].as_array().unwrap())
    {
        for (key, value) in
            written.as_object().unwrap().iter().filter(|(k, _)| *k != "clientConfig" && *k != "rules")
        {
            assert_eq!(&webhook[key], value, "{key}");
        }
        assert_eq!(webhook["clientConfig"]["url"], written["clientConfig"]["url"]);
    }
}
