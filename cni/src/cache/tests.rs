use serde_json::{Value, json};

use super::*;

/// As libcni 1.x writes it.
fn written_by_libcni() -> Value {
    json!({
        "kind": "cniCacheV1",
        "containerId": "c1",
        "config": "eyJuYW1lIjoibiJ9",
        "ifName": "eth0",
        "networkName": "n",
        "netns": "/run/netns/c1",
        "cniArgs": [["IgnoreUnknown", "1"], ["K8S_POD_NAME", "cart"]],
        "capabilityArgs": {"mac": "02:00:00:00:00:01"},
        "result": {"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.0.0.2/24", "interface": 0}],
                   "interfaces": [{"name": "eth0", "sandbox": "/run/netns/c1"}], "dns": {}}
    })
}

fn entry(raw: &Value) -> Entry {
    match Cached::parse(raw.to_string().as_bytes()).expect("a cache file") {
        Cached::Entry(entry) => *entry,
        Cached::BareResult(_) => panic!("not a bare result"),
    }
}

// Proves: CNI-CACHE-1
#[test]
fn the_file_is_named_after_network_container_and_interface() {
    let path = path(Path::new(DEFAULT_DIR), "n", "c1", "eth0").expect("three names");
    assert_eq!(path, Path::new("/var/lib/cni/results/n-c1-eth0"));
    assert_eq!((DIR_MODE, FILE_MODE), (0o700, 0o600));
}

// Proves: CNI-CACHE-5, S-18
#[test]
fn a_path_needs_all_three_names_and_stays_in_its_folder() {
    for (network, container, ifname) in
        [("", "c", "e"), ("n", "", "e"), ("n", "c", ""), ("../n", "c", "e"), ("n", "c", "a/b")]
    {
        assert!(path(Path::new("/x"), network, container, ifname).is_err());
    }
}

// Proves: CNI-CACHE-2
#[test]
fn a_file_of_libcni_reads_and_prints_as_it_was() {
    let read = entry(&written_by_libcni());
    assert_eq!(read.config, br#"{"name":"n"}"#);
    assert_eq!(read.cni_args[1], ("K8S_POD_NAME".to_owned(), "cart".to_owned()));
    let printed: Value = serde_json::from_slice(&read.to_json()).expect("JSON");
    assert_eq!(printed, written_by_libcni());
}

// Proves: CNI-CACHE-2
#[test]
fn what_libcni_leaves_out_or_writes_as_null_is_empty() {
    let read = entry(
        &json!({"kind": "cniCacheV1", "containerId": "c", "config": null, "ifName": "e", "networkName": "n", "cniArgs": null}),
    );
    assert!(
        read.config.is_empty() && read.cni_args.is_empty() && read.netns.is_empty() && read.result.is_none()
    );
    assert_eq!(Cached::Entry(Box::new(read)).result(Version::NEWEST), Ok(None));
}

// Proves: CNI-CACHE-3
#[test]
fn a_file_without_kind_is_a_bare_result() {
    let raw = br#"{"cniVersion":"0.3.1","ips":[{"version":"4","address":"10.0.0.2/24"}]}"#;
    let cached = Cached::parse(raw).expect("legacy");
    assert!(matches!(cached, Cached::BareResult(_)));
    let result = cached.result(Version::V1_0_0).expect("converts").expect("there is one");
    let result: Value = serde_json::from_slice(&result).expect("JSON");
    assert_eq!(result, json!({"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24"}]}));
}

// Proves: CNI-CACHE-4
#[test]
fn a_cached_result_takes_the_version_of_the_configuration() {
    let cached = Cached::Entry(Box::new(entry(&written_by_libcni())));
    let result: Value =
        serde_json::from_slice(&cached.result(Version::V1_0_0).expect("converts").expect("there is one"))
            .expect("JSON");
    assert_eq!(
        (&result["cniVersion"], &result["ips"][0]),
        (&json!("1.0.0"), &json!({"address": "10.0.0.2/24", "interface": 0}))
    );
}

// Proves: CNI-CACHE-6, CNI-CACHE-7
#[test]
fn torn_foreign_and_nameless_files_are_no_attachments() {
    let good = written_by_libcni().to_string();
    let other = good.replace("\"c1\"", "\"c2\"");
    let torn = good.get(..60).expect("longer");
    let nameless = good.replace("\"networkName\":\"n\"", "\"networkName\":\"\"");
    let foreign = good.replace("cniCacheV1", "cniCacheV9");
    let bare = r#"{"cniVersion":"1.0.0"}"#;
    let files = [torn, "", &other, &nameless, &foreign, bare, &good].map(str::as_bytes);
    let ids =
        |container| attachments(files, container).into_iter().map(|e| e.container_id).collect::<Vec<_>>();
    assert_eq!(ids(None), ["c2", "c1"]);
    assert_eq!(ids(Some("c1")), ["c1"]);
    for end in 0..good.len() {
        assert!(Cached::parse(good.get(..end).unwrap_or_default().as_bytes()).is_err());
    }
}

// Proves: CNI-CACHE-8
#[test]
fn two_networks_of_one_container_have_two_files() {
    let of = |network| path(Path::new("/x"), network, "c", "eth0").expect("three names");
    assert_ne!(of("a"), of("b"));
}
