use serde_json::{Value, json};

use super::*;

fn conf(raw: Value) -> PluginConf {
    PluginConf::read(RawObject::parse(raw.to_string().as_bytes()).expect("an object"), "").expect("a plugin")
}

fn values(raw: &[(&str, &str)]) -> BTreeMap<String, Box<RawValue>> {
    raw.iter()
        .map(|(k, v)| ((*k).to_owned(), RawValue::from_string((*v).to_owned()).expect("JSON")))
        .collect()
}

fn name() -> NetworkName {
    "net".parse().expect("a name")
}

fn derived<'a>(plugin: Value, with: impl FnOnce(&mut Derived<'a>)) -> Value {
    let name: &'static NetworkName = Box::leak(Box::new(name()));
    let mut derived =
        Derived { name, version: Version::V1_1_0, runtime: None, prev_result: None, valid_attachments: None };
    with(&mut derived);
    serde_json::from_slice(&derived.bytes(&conf(plugin))).expect("JSON")
}

// Proves: CNI-DRV-1, CNI-RUN-STA-2
#[test]
fn name_and_version_of_the_list_replace_those_of_the_plugin() {
    let got = derived(json!({"type": "a", "name": "inner", "cniVersion": "0.1.0"}), |_| {});
    assert_eq!(got, json!({"type": "a", "name": "net", "cniVersion": "1.1.0"}));
}

// Proves: CNI-DRV-2, CNI-DRV-3, CNI-CFG-17, CNI-CNV-1, CNI-V10-1, S-13
#[test]
fn runtime_values_reach_only_plugins_that_declare_them_true() {
    let all = [
        "portMappings",
        "ipRanges",
        "bandwidth",
        "dns",
        "ips",
        "mac",
        "infinibandGUID",
        "deviceID",
        "aliases",
        "cgroupPath",
        "CNIDeviceInfoFile",
    ];
    let runtime: BTreeMap<_, _> = all.iter().flat_map(|key| values(&[(key, "[1]")])).collect();
    for key in all {
        let plugin =
            json!({"type": "a", "capabilities": {key: true, "dns2": true}, "runtimeConfig": {"forged": 1}});
        let got = derived(plugin, |d| d.runtime = Some(&runtime));
        assert_eq!(got["runtimeConfig"], json!({key: [1]}));
        assert_eq!(got.get("capabilities"), None);
    }
    for capabilities in [json!({"mac": false}), json!({}), json!({"other": true})] {
        let plugin = json!({"type": "a", "capabilities": capabilities, "runtimeConfig": {"mac": "forged"}});
        assert_eq!(derived(plugin, |d| d.runtime = Some(&runtime)).get("runtimeConfig"), None);
    }
}

// Proves: CNI-DRV-4
#[test]
fn a_prev_result_written_by_a_user_is_never_passed_on() {
    let plugin = json!({"type": "a", "prevResult": {"forged": true}});
    assert_eq!(derived(plugin.clone(), |_| {}).get("prevResult"), None);
    let prev = RawValue::from_string(r#"{"ips":[]}"#.to_owned()).expect("JSON");
    assert_eq!(derived(plugin, |d| d.prev_result = Some(&prev))["prevResult"], json!({"ips": []}));
}

// Proves: CNI-DRV-5, CNI-CFG-17, CNI-CFG-19
#[test]
fn reserved_keys_stay_behind_and_all_others_go_along() {
    let plugin = json!({"type": "a", "cni.dev/foo": 1, "cni.dev/valid-attachments": [], "foo": 2, "args": {"junk": [3]}});
    let expected =
        json!({"type": "a", "foo": 2, "args": {"junk": [3]}, "name": "net", "cniVersion": "1.1.0"});
    assert_eq!(derived(plugin, |_| {}), expected);
}

// Proves: CNI-DRV-6, CNI-CFG-16
#[test]
fn numbers_and_nested_nulls_keep_their_text() {
    let raw = r#"{"type":"a","n":123456789012345678901234567890,"f":1.50,"x":{"y":null},"capabilities":{}}"#;
    let plugin =
        PluginConf::read(RawObject::parse(raw.as_bytes()).expect("an object"), "").expect("a plugin");
    let name = name();
    let with = Derived {
        name: &name,
        version: Version::V1_0_0,
        runtime: None,
        prev_result: None,
        valid_attachments: None,
    };
    let expected = r#"{"type":"a","n":123456789012345678901234567890,"f":1.50,"x":{"y":null},"cniVersion":"1.0.0","name":"net"}"#;
    assert_eq!(String::from_utf8(with.bytes(&plugin)).expect("UTF-8"), expected);
}

// Proves: CNI-GC-1, CNI-GC-2
#[test]
fn gc_gets_the_living_attachments_under_both_names() {
    let keep = [AttachmentId { container: "c".to_owned(), ifname: "eth0".to_owned() }];
    let got = derived(json!({"type": "a"}), |d| d.valid_attachments = Some(&keep));
    let list = json!([{"containerID": "c", "ifname": "eth0"}]);
    assert_eq!((&got[VALID_ATTACHMENTS], &got[ATTACHMENTS]), (&list, &list));
}

// Proves: MLT-DLG-12
#[test]
fn cni_args_are_merged_and_the_annotation_wins() {
    let mut raw = RawObject::parse(br#"{"type":"a","args":{"x":1,"cni":{"a":1,"b":2}}}"#).expect("an object");
    merge_cni_args(&mut raw, &values(&[("b", "3"), ("c", "{}")])).expect("merged");
    let got: Value = serde_json::from_slice(&raw.to_vec()).expect("JSON");
    assert_eq!(got["args"], json!({"x": 1, "cni": {"a": 1, "b": 3, "c": {}}}));
    let mut bare = RawObject::parse(br#"{"type":"a"}"#).expect("an object");
    merge_cni_args(&mut bare, &values(&[("c", "4")])).expect("merged");
    assert_eq!(String::from_utf8(bare.to_vec()).expect("UTF-8"), r#"{"type":"a","args":{"cni":{"c":4}}}"#);
}

// Proves: MLT-DLG-12, F-INP-5
#[test]
fn args_that_are_no_object_are_a_clean_error() {
    for (raw, pointer) in [
        (r#"{"args":"x"}"#, "`/args`"),
        (r#"{"args":[]}"#, "`/args`"),
        (r#"{"args":{"cni":7}}"#, "`/args/cni`"),
    ] {
        let mut keys = RawObject::parse(raw.as_bytes()).expect("an object");
        let error = merge_cni_args(&mut keys, &values(&[("a", "1")])).expect_err("not an object");
        assert!(error.msg.contains(pointer) && error.code == crate::code::INVALID_CONFIG, "{error}");
        // Without anything to merge nobody minds.
        assert_eq!(merge_cni_args(&mut keys, &values(&[])), Ok(()));
    }
}

// Proves: MLT-DLG-11
#[test]
fn the_device_is_told_under_both_names() {
    let mut raw = RawObject::parse(br#"{"type":"sriov","deviceID":"old"}"#).expect("an object");
    inject_device(&mut raw, "0000:03:02.1");
    let expected = r#"{"type":"sriov","deviceID":"0000:03:02.1","pciBusID":"0000:03:02.1"}"#;
    assert_eq!(String::from_utf8(raw.to_vec()).expect("UTF-8"), expected);
}

// Proves: COMPAT-6, S-13
#[test]
fn what_only_the_runtime_says_cannot_be_said_in_another_case() {
    let forged = json!({
        "type": "a", "Name": "x", "CNIVERSION": "0.1.0", "RuntimeConfig": {"mac": "x"}, "PREVRESULT": {}, "prevRe\u{17f}ult": {},
        "Capabilities": {"mac": true}, "CNI.dev/valid-attachments": [], "isgateway": true, "IPAM": {"Type": "b"},
    });
    let got = derived(forged, |_| {});
    let kept =
        json!({"type": "a", "name": "net", "cniVersion": "1.1.0", "isgateway": true, "IPAM": {"Type": "b"}});
    assert_eq!(got, kept);
    let mut raw = RawObject::parse(br#"{"DeviceID":"x","Args":{"CNI":{"a":1,"b":2}}}"#).expect("an object");
    inject_device(&mut raw, "0000:03:02.1");
    merge_cni_args(&mut raw, &values(&[("a", "9")])).expect("objects");
    let got: Value = serde_json::from_slice(&raw.to_vec()).expect("JSON");
    assert_eq!(
        got,
        json!({"deviceID": "0000:03:02.1", "pciBusID": "0000:03:02.1", "args": {"cni": {"a": 9, "b": 2}}})
    );
}
