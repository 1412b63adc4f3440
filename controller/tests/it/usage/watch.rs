//! Watches that break, lie or fall behind, and objects that nobody can read.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifold_crds::keys::NETWORKS;
use manifold_e2e::api_server::{ApiServer, TestNamespace};
use manifold_e2e::forward::{Forward, Mode};
use manifold_e2e::netns::HostNs;
use serde_json::{Value, json};

use super::bed::{Leader, MACVLAN, Options, path, until, until_definition};

// Proves: F-CTL-4
#[test]
fn after_every_fault_of_the_watch_the_result_is_that_of_a_fresh_start() {
    let api = &ApiServer::start().unwrap();
    let host = HostNs::new().unwrap();
    let way = Forward::new(&host, api.port()).unwrap();
    let home = api.namespace("faults").unwrap();
    for name in ["a", "b"] {
        home.definition(name, MACVLAN).unwrap();
    }
    home.pod("p0", &[(NETWORKS, "a")]).unwrap();
    let leader = Leader::start(api, Options { netns: Some(host.path().to_path_buf()), ..Options::default() });
    agrees(&home, &["p0"], &[]);
    // The way is cut, then garbage, then silence; the server forgets its versions with each restart, so that the watch
    // cannot go on from where it was (410). Meanwhile pods come and go.
    let faults = [
        Mode::Close,
        Mode::Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}}".to_vec()),
        Mode::Silence,
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let seen = way.connections();
        way.set(fault);
        api.stop();
        api.start_again().unwrap();
        home.delete_pod(&format!("p{n}")).unwrap();
        home.pod(&format!("p{}", n + 1), &[(NETWORKS, if n % 2 == 0 { "b" } else { "a" })]).unwrap();
        until("it met the fault", || way.connections() > seen + 1);
        way.set(Mode::Pass);
        match n % 2 {
            0 => agrees(&home, &[], &[&format!("p{}", n + 1)]),
            _ => agrees(&home, &[&format!("p{}", n + 1)], &[]),
        }
    }
    assert!(leader.metric("manifold_usage_watch_restarts_total", "") > 0.0);
}

#[track_caller]
fn agrees(home: &TestNamespace<'_>, a: &[&str], b: &[&str]) {
    for (name, pods) in [("a", a), ("b", b)] {
        let names: Vec<String> = pods.iter().map(|pod| format!("{}/{pod}", home.name())).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        until_definition(home.api(), home.name(), name, |nad| nad.is_some_and(|nad| nad.has_users(&names)));
    }
}

// Proves: F-CTL-4
#[test]
fn an_object_that_cannot_be_read_is_counted_and_the_watch_goes_on() {
    let api = &ApiServer::start().unwrap();
    let home = api.namespace("malformed").unwrap();
    home.definition("a", MACVLAN).unwrap();
    home.definition("unreadable", MACVLAN).unwrap();
    write_raw(&home, "unreadable", |object| object["spec"] = json!({"config": 5}));
    let leader = Leader::start(api, Options::default());
    let malformed = |label| leader.metric("manifold_usage_malformed_objects_total", label);
    until("one is found in the list", || malformed("Definitions") >= 1.0);
    let before = malformed("Definitions");
    home.definition("broken", MACVLAN).unwrap();
    until_definition(api, home.name(), "broken", |nad| nad.is_some_and(|nad| nad.has_users(&[])));
    write_raw(&home, "broken", |object| object["spec"] = json!({"config": 5}));
    until("one is found in the watch", || malformed("Definitions") > before);
    home.pod("p", &[(NETWORKS, "a,broken")]).unwrap();
    let p = format!("{}/p", home.name());
    until_definition(api, home.name(), "a", |nad| nad.is_some_and(|nad| nad.has_users(&[&p])));
    // A new leader lists them both, and counts all the same.
    drop(leader);
    let leader = Leader::start(api, Options::default());
    home.pod("q", &[(NETWORKS, "a")]).unwrap();
    let q = format!("{}/q", home.name());
    until_definition(api, home.name(), "a", |nad| nad.is_some_and(|nad| nad.has_users(&[&p, &q])));
    assert!(leader.metric("manifold_usage_malformed_objects_total", "Definitions") >= 2.0);
}

/// Changes a definition behind the API server's back, so that nobody checks it.
fn write_raw(home: &TestNamespace<'_>, name: &str, change: impl Fn(&mut Value)) {
    let mut object = home.api().client().get(&path(home.name(), name)).unwrap().json().unwrap();
    change(&mut object);
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.remove("resourceVersion");
    metadata.remove("managedFields");
    let key = format!("/registry/k8s.cni.cncf.io/network-attachment-definitions/{}/{name}", home.name());
    let put = json!({"key": STANDARD.encode(key), "value": STANDARD.encode(object.to_string())}).to_string();
    let url = etcd(home.api());
    let said = post(&url, &put);
    assert!(said.contains("revision"), "{said}");
}

/// Where etcd listens, by its own command line.
fn etcd(api: &ApiServer) -> String {
    let words = fs::read(format!("/proc/{}/cmdline", api.pids().1)).unwrap();
    let words = String::from_utf8(words).unwrap();
    let url = words.split('\0').find_map(|word| word.strip_prefix("--listen-client-urls=http://"));
    url.unwrap().to_owned()
}

/// One POST to etcd's JSON gateway.
fn post(address: &str, body: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v3/kv/put HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
