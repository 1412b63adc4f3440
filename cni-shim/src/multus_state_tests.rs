use proptest::prelude::*;

use super::*;

/// Shaped like the file of a Multus 4 node: a default network as a list, and a second network with requests.
fn written_by_multus() -> String {
    let calico = r#"{"cniVersion":"0.3.1","name":"k8s-pod-network","plugins":[{"type":"calico","policy":{"type":"k8s"},"nodename":"n1","ipam":{"type":"calico-ipam"}},{"type":"portmap","snat":true,"capabilities":{"portMappings":true}}]}"#;
    let macvlan = r#"{"cniVersion":"0.3.1","name":"storage","type":"macvlan","master":"eth1","mtu":9000,"ipam":{"type":"whereabouts","range":"10.9.0.0/24"},"x-private":[1.0e+2]}"#;
    format!(
        r#"[{{"Conf":{{"dns":{{}},"ipam":{{}}}},"ConfList":{{"cniVersion":"0.3.1","name":"k8s-pod-network","plugins":[{{"type":"calico"}},{{"type":"portmap"}}]}},"Name":"k8s-pod-network","IsFilterV4Gateway":false,"IsFilterV6Gateway":false,"Bytes":"{}"}},
            {{"Conf":{{"cniVersion":"0.3.1","name":"storage","type":"macvlan","ipam":{{"type":"whereabouts"}},"dns":{{}}}},"ConfList":{{"dns":{{}}}},"Name":"shop/storage","ifnameRequest":"data0","macRequest":"02:00:00:00:00:05","ipRequest":["10.9.0.7/24"],"IsFilterV4Gateway":false,"IsFilterV6Gateway":false,"deviceID":"0000:03:02.1","resourceName":"vendor.com/nic","Bytes":"{}"}},
            {{"Conf":{{}},"ConfList":{{}},"Name":"shop/third","Bytes":"{}"}}]"#,
        STANDARD.encode(calico),
        STANDARD.encode(macvlan),
        STANDARD.encode(macvlan.replace("storage", "third")),
    )
}

fn eth0() -> IfName {
    "eth0".parse().unwrap()
}

// Proves: MLT-CACHE-1, MLT-EXE-2, MLT-DEL-2
#[test]
fn the_networks_of_a_pod_that_multus_attached_are_known_with_their_interfaces() {
    let found = parse(written_by_multus().as_bytes(), &eth0()).unwrap();
    let seen: Vec<_> = found.iter().map(|d| (d.display.as_str(), d.ifname.as_str(), d.default)).collect();
    assert_eq!(
        seen,
        [("k8s-pod-network", "eth0", true), ("shop/storage", "data0", false), ("shop/third", "net2", false)]
    );
    let kinds: Vec<_> = found[0].list.plugins.iter().map(|p| p.kind.as_str()).collect();
    assert_eq!(kinds, ["calico", "portmap"]);
    let runtime: Vec<_> = found[1].runtime.iter().map(|(k, v)| (k.as_str(), v.get())).collect();
    assert_eq!(
        runtime,
        [("deviceID", "\"0000:03:02.1\""), ("ips", "[\"10.9.0.7/24\"]"), ("mac", "\"02:00:00:00:00:05\"")]
    );
    assert!(found[0].runtime.is_empty() && found[2].device.is_none());
}

// Shows part of: S-18
#[test]
fn a_file_that_others_can_write_is_not_what_multus_left() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (id, file) = ("c1".parse().unwrap(), dir.path().join("c1"));
    std::fs::write(&file, written_by_multus()).unwrap();
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o600);
    assert_eq!(load(dir.path(), &id, &eth0()).unwrap().unwrap().len(), 3);
    mode(0o622);
    let bad = load(dir.path(), &id, &eth0()).unwrap_err();
    assert!(bad.why.contains("other users may write it"), "{bad}");
    mode(0o600);
    std::os::unix::fs::chown(&file, Some(65_534), None).unwrap();
    let bad = load(dir.path(), &id, &eth0()).unwrap_err();
    assert!(bad.why.contains("belongs to user 65534"), "{bad}");
}

// Proves: MLT-CACHE-4
#[test]
fn keys_that_only_the_plugin_knows_are_kept() {
    let found = parse(written_by_multus().as_bytes(), &eth0()).unwrap();
    let raw = |d: usize, p: usize, key: &str| found[d].list.plugins[p].raw.get(key).unwrap().get().to_owned();
    assert_eq!(raw(0, 0, "policy"), r#"{"type":"k8s"}"#);
    assert_eq!(raw(1, 0, "x-private"), "[1.0e+2]");
}

#[test]
fn an_old_file_without_bytes_is_used_as_far_as_it_goes() {
    let old = r#"[{"Conf":{"cniVersion":"0.3.1","name":"flannel","type":"flannel"},"ConfList":{},"Name":"flannel"}]"#;
    let found = parse(old.as_bytes(), &eth0()).unwrap();
    assert_eq!(found[0].list.plugins[0].kind.as_str(), "flannel");
}

// Proves: MLT-CACHE-5
#[test]
fn a_file_cut_at_any_byte_is_an_error_and_never_nothing_to_do() {
    let whole = written_by_multus();
    for cut in 0..whole.len() {
        assert!(parse(&whole.as_bytes()[..cut], &eth0()).is_err(), "cut at {cut}");
    }
    for text in ["null", "[]", "{}", "[null]", "[{}]", r#"[{"Bytes":"!"}]"#, r#"[{"Bytes":"e30="}]"#] {
        assert!(parse(text.as_bytes(), &eth0()).is_err(), "{text}");
    }
}

// Proves: F-POD-7
#[test]
fn the_file_of_a_sandbox_is_found_by_its_container_id() {
    let dir = tempfile::tempdir().unwrap();
    let id: ContainerId = "abc123".parse().unwrap();
    assert!(load(dir.path(), &id, &eth0()).unwrap().is_none());
    std::fs::write(path(dir.path(), &id), written_by_multus()).unwrap();
    assert_eq!(load(dir.path(), &id, &eth0()).unwrap().unwrap().len(), 3);
    std::fs::write(path(dir.path(), &id), "[{").unwrap();
    let error = load(dir.path(), &id, &eth0()).unwrap_err();
    assert_eq!(error.path, Some(path(dir.path(), &id)));
}

// Proves: S-18
#[test]
fn a_link_or_a_folder_in_place_of_the_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let id: ContainerId = "abc123".parse().unwrap();
    let target = dir.path().join("target");
    std::fs::write(&target, written_by_multus()).unwrap();
    std::os::unix::fs::symlink(&target, path(dir.path(), &id)).unwrap();
    assert!(load(dir.path(), &id, &eth0()).is_err());
    std::fs::remove_file(path(dir.path(), &id)).unwrap();
    std::fs::create_dir(path(dir.path(), &id)).unwrap();
    assert!(load(dir.path(), &id, &eth0()).is_err());
}

proptest! {
    // Proves: S-8
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..900usize) {
        let _ = parse(&bytes, &eth0());
        let mut whole = written_by_multus().into_bytes();
        let end = (at + bytes.len()).min(whole.len());
        whole.splice(at.min(end)..end, bytes);
        let _ = parse(&whole, &eth0());
    }
}
