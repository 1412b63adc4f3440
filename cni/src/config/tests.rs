use proptest::prelude::*;
use serde_json::json;

use super::*;

#[track_caller]
fn list(raw: &str) -> NetworkList {
    NetworkList::parse(raw.as_bytes()).expect("a configuration")
}

/// Refused with `code`, and the sentence has `words`.
#[track_caller]
fn refused(raw: &str, code: u32, words: &str) -> BadConfig {
    let e = NetworkList::parse(raw.as_bytes()).expect_err(raw);
    assert_eq!(e.code, code, "{e}");
    assert!(e.to_string().contains(words), "{e}");
    e
}

fn kinds(list: &NetworkList) -> Vec<&str> {
    list.plugins.iter().map(|p| p.kind.as_str()).collect()
}

fn file(name: &str, kind: &str) -> (String, Vec<u8>) {
    (name.to_owned(), format!(r#"{{"type":"{kind}"}}"#).into_bytes())
}

// Proves: CNI-CFG-1, CNI-CFG-20
#[test]
fn a_list_and_a_single_plugin_are_both_configurations() {
    let both = list(r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"a"},{"type":"b","x":1}]}"#);
    assert_eq!(kinds(&both), ["a", "b"]);
    assert_eq!((both.version(), both.require_name().expect("named").as_str()), (Version::V1_0_0, "n"));

    let raw =
        r#"{"cniVersion":"0.2.0","name":"n","type":"a","ipam":{"type":"b"},"big":123456789012345678901}"#;
    let single = list(raw);
    assert_eq!(single.version(), Version::V0_2_0);
    assert_eq!(String::from_utf8(single.plugins[0].raw.to_vec()).expect("UTF-8"), raw);
}

// Proves: CNI-CFG-1
#[test]
fn what_is_not_an_object_is_no_configuration() {
    for raw in ["[]", "null", "7", "\"x\"", ""] {
        refused(raw, code::DECODE, "line 1");
    }
}

// Proves: CNI-CFG-2, MLT-EXE-13
#[test]
fn a_missing_or_empty_version_is_0_1_0_unless_one_is_inherited() {
    for raw in [r#"{"name":"n","type":"a"}"#, r#"{"cniVersion":"","name":"n","type":"a"}"#] {
        assert_eq!(list(raw).version(), Version::V0_1_0);
        assert_eq!(list(raw).inherit_version(Version::V1_1_0).version(), Version::V1_1_0);
    }
    let said = list(r#"{"cniVersion":"0.4.0","name":"n","type":"a"}"#);
    assert_eq!(said.inherit_version(Version::V1_1_0).version(), Version::V0_4_0);
}

// Proves: CNI-CFG-3
#[test]
fn the_highest_offered_version_is_spoken() {
    #[track_caller]
    fn check(keys: &str, expected: Version) {
        assert_eq!(list(&format!(r#"{{{keys},"name":"n","plugins":[{{"type":"a"}}]}}"#)).version(), expected);
    }
    check(r#""cniVersions":["0.4.0","1.1.0","9.9.9"]"#, Version::V1_1_0);
    check(r#""cniVersion":"1.1.0","cniVersions":["0.4.0","1.0.0"]"#, Version::V1_1_0);
    check(r#""cniVersion":"0.3.1","cniVersions":["0.4.0","1.0.0"]"#, Version::V1_0_0);
    check(r#""cniVersion":"9.0.0","cniVersions":["0.4.0"]"#, Version::V0_4_0);
    check(r#""cniVersions":[]"#, Version::V0_1_0);
}

// Proves: CNI-CFG-3, CNI-ERR-1
#[test]
fn versions_that_are_all_too_new_malformed_or_no_strings_are_errors() {
    let with = |keys: &str| format!(r#"{{{keys},"name":"n","plugins":[{{"type":"a"}}]}}"#);
    refused(&with(r#""cniVersions":["9.9.9","2.0.0"]"#), code::INCOMPATIBLE_VERSION, "`9.9.9`, `2.0.0`");
    refused(&with(r#""cniVersions":["1.0.0","new"]"#), code::DECODE, "`/cniVersions`: `new`");
    refused(&with(r#""cniVersions":"1.0.0""#), code::DECODE, "`/cniVersions`");
    refused(&with(r#""cniVersions":[1]"#), code::DECODE, "`/cniVersions`");
    refused(&with(r#""cniVersion":1.0"#), code::DECODE, "`/cniVersion`");
    refused(&with(r#""cniVersion":"1.0""#), code::INCOMPATIBLE_VERSION, "`1.0`");
    refused(&with(r#""cniVersion":"0.9.9""#), code::INCOMPATIBLE_VERSION, "1.0.0, 1.1.0");
}

// Proves: CNI-CFG-5, CNI-ERR-7
#[test]
fn a_bad_name_is_refused_at_once_and_a_missing_one_when_it_is_needed() {
    for bad in ["../x", "a b", "-a", "a/b"] {
        let raw = json!({"name": bad, "type": "a"}).to_string();
        refused(&raw, code::INVALID_CONFIG, "`/name`");
    }
    for raw in [r#"{"type":"a"}"#, r#"{"name":"","type":"a"}"#, r#"{"name":null,"type":"a"}"#] {
        assert_eq!(list(raw).require_name().expect_err("no name").code, code::INVALID_CONFIG);
    }
}

// Proves: NPWG-3.4.2-1, NPWG-3.4.2-2
#[test]
fn the_name_of_the_definition_is_taken_only_where_the_text_has_none() {
    let nad: NetworkName = "right-network".parse().expect("a name");
    let name = |raw: &str| list(raw).with_name_if_missing(&nad).name.expect("has one").to_string();
    assert_eq!(name(r#"{"type":"a"}"#), "right-network");
    assert_eq!(name(r#"{"name":"","plugins":[{"type":"a"}]}"#), "right-network");
    assert_eq!(name(r#"{"name":"other","type":"a"}"#), "other");
}

// Proves: CNI-CFG-7, CNI-CFG-8
#[test]
fn flags_are_booleans_or_their_words() {
    for (key, read) in [
        ("disableCheck", (|l: &NetworkList| l.disable_check) as fn(&NetworkList) -> bool),
        ("disableGC", |l| l.disable_gc),
    ] {
        let with = |value: &str| format!(r#"{{"{key}":{value},"name":"n","plugins":[{{"type":"a"}}]}}"#);
        for (value, expected) in [("true", true), ("false", false), ("\"TRUE\"", true), ("\"False\"", false)]
        {
            assert_eq!(read(&list(&with(value))), expected, "{key}: {value}");
        }
        for value in ["1", "\"yes\"", "\"\"", "null", "[]"] {
            refused(&with(value), code::INVALID_CONFIG, &format!("`/{key}`"));
        }
        assert!(!read(&list(r#"{"plugins":[{"type":"a"}]}"#)));
    }
}

// Proves: CNI-CFG-9
#[test]
fn plugins_of_the_folder_follow_the_inlined_ones_in_the_order_of_file_names() {
    let raw = br#"{"name":"n","plugins":[{"type":"a"}]}"#;
    let inlined = Inlined::parse(raw).expect("a list");
    assert!(inlined.wants_folder());
    let files = vec![
        file("20-c.conf", "c"),
        file("10-b.conf", "b"),
        file("30-d.conflist", "d"),
        file("40.json", "e"),
    ];
    assert_eq!(kinds(&inlined.with_folder(files).expect("three plugins")), ["a", "b", "c"]);
}

// Proves: CNI-CFG-10
#[test]
fn a_list_of_only_inlined_plugins_ignores_the_folder() {
    let raw = br#"{"name":"n","loadOnlyInlinedPlugins":true,"plugins":[{"type":"a"}]}"#;
    let inlined = Inlined::parse(raw).expect("a list");
    assert!(!inlined.wants_folder());
    let files = vec![("b.conf".to_owned(), b"not even JSON".to_vec())];
    assert_eq!(kinds(&inlined.with_folder(files).expect("one plugin")), ["a"]);
}

// Proves: CNI-CFG-11, CNI-CFG-12, MLT-DLG-7
#[test]
fn a_list_without_any_plugin_is_an_error() {
    refused(
        r#"{"name":"n","loadOnlyInlinedPlugins":true}"#,
        code::INVALID_CONFIG,
        "`/loadOnlyInlinedPlugins`",
    );
    refused(r#"{"name":"n","plugins":[]}"#, code::INVALID_CONFIG, "`/plugins`: it is empty");
    refused(r#"{"name":"n"}"#, code::INVALID_CONFIG, "it has no plugin");
    refused("{}", code::INVALID_CONFIG, "it has no plugin");
    refused(r#"{"plugins":[{}]}"#, code::INVALID_CONFIG, "`/plugins/0`: the plugin has no `type`");
    refused(r#"{"plugins":[7]}"#, code::INVALID_CONFIG, "`/plugins/0`: it is not a plugin object");
    refused(r#"{"plugins":{}}"#, code::DECODE, "`/plugins`");
    let only_folder = Inlined::parse(br#"{"name":"n"}"#).expect("may come from the folder");
    assert_eq!(kinds(&only_folder.with_folder(vec![file("b.conf", "b")]).expect("one plugin")), ["b"]);
}

// Proves: CNI-CFG-13, CNI-CFG-14
#[test]
fn no_folder_is_fine_and_one_bad_file_in_it_is_not() {
    let inlined = || Inlined::parse(br#"{"name":"n","plugins":[{"type":"a"}]}"#).expect("a list");
    assert_eq!(kinds(&inlined().with_folder(Vec::new()).expect("no folder")), ["a"]);
    for (bytes, words) in [
        (&b"{}"[..], "the plugin has no `type`"),
        (b"{", "file `b.conf`: EOF"),
        (br#"{"type":"../x"}"#, "`/type`"),
    ] {
        let e = inlined().with_folder(vec![("b.conf".to_owned(), bytes.to_vec())]).expect_err("a bad file");
        assert!(e.to_string().starts_with("file `b.conf`: ") && e.to_string().contains(words), "{e}");
    }
}

// Proves: CNI-CFG-15, S-1
#[test]
fn the_type_is_a_name() {
    for bad in ["../x", "/bin/sh", "a/b", ".."] {
        let raw = json!({"name": "n", "plugins": [{"type": "ok"}, {"type": bad}]}).to_string();
        refused(&raw, code::INVALID_CONFIG, "`/plugins/1/type`");
    }
    refused(r#"{"name":"n","type":7}"#, code::DECODE, "`/type`");
}

// Proves: P-USE-2
#[test]
fn an_error_tells_pointer_line_and_column() {
    let raw =
        "{\n  \"name\": \"n\",\n  \"plugins\": [\n    {\"type\": \"a\"},\n    {\"type\": \"b/c\"}\n  ]\n}";
    let e = refused(raw, code::INVALID_CONFIG, "b/c");
    assert_eq!((e.pointer.as_str(), e.position), ("/plugins/1/type", Some((5, 14))));
    let e = refused("{\n \"name\": \"n\",\n \"plugins\": [,]\n}", code::DECODE, "expected value");
    assert_eq!(e.position, Some((3, 14)));
    let told = CniError::from(e).msg;
    assert_eq!(told, "the network configuration: expected value (line 3, column 14)");
}

// Proves: CNI-CFG-16
#[test]
fn printed_and_parsed_again_a_list_is_the_same_with_every_foreign_key() {
    let raw = r#"{"cniVersion":"1.1.0","name":"n","disableCheck":true,"plugins":[{"type":"a","n":18446744073709551617,"f":0.10,"g":1.0e400000,"z":{"y":null}}]}"#;
    assert_eq!(String::from_utf8(list(raw).to_json()).expect("UTF-8"), raw);
}

#[test]
fn capabilities_are_true_or_false() {
    let conf = list(r#"{"name":"n","type":"a","capabilities":{"mac":true,"ips":false}}"#);
    assert_eq!(conf.plugins[0].capabilities, [("ips".to_owned(), false), ("mac".to_owned(), true)].into());
    refused(r#"{"name":"n","type":"a","capabilities":["mac"]}"#, code::DECODE, "`/capabilities`");
}

proptest! {
    // Proves: S-8
    #[test]
    fn no_value_at_any_key_makes_the_parser_panic(
        key in "cniVersions?|name|plugins|type|disableCheck|disableGC|loadOnlyInlinedPlugins|capabilities",
        value in prop_oneof!["\\PC{0,30}", Just("[{}]".to_owned()), "\"\\PC{0,10}\"", "[0-9]{1,40}"],
    ) {
        let raw = format!(r#"{{"{key}":{value},"x":{{"type":"a"}}}}"#);
        if let Err(e) = NetworkList::parse(raw.as_bytes()) {
            prop_assert!(!e.to_string().contains('\n'));
        }
        let _ = NetworkList::parse(format!(r#"{{"name":"n","plugins":[{{"type":"a","{key}":{value}}}]}}"#).as_bytes());
    }
}

// Proves: COMPAT-6
#[test]
fn keys_of_a_list_are_read_in_any_case_and_leave_as_they_came() {
    let plugin = r#"{"Type":"a","Capabilities":{"mac":true},"IPAM":{"Type":"b"},"isgateway":true}"#;
    let raw = format!(
        r#"{{"CNIVersion":"0.4.0","Name":"n","Plugins":[{plugin},{{"TYPE":"x","type":"c"}}],"disablecheck":true,"DisableGC":"true"}}"#
    );
    let read = list(&raw);
    assert_eq!(kinds(&read), ["a", "c"]);
    assert_eq!((read.version(), read.require_name().expect("named").as_str()), (Version::V0_4_0, "n"));
    assert!(read.disable_check && read.disable_gc);
    let first = read.plugins.first().expect("two");
    assert_eq!(first.capabilities.get("mac"), Some(&true));
    assert_eq!(String::from_utf8(first.raw.to_vec()).expect("UTF-8"), plugin);
    // What is wrong is found at its place, however its key is written.
    let odd = refused("{\"Name\":\"n\",\n\"Plugins\":[{\"Type\":7}]}", code::DECODE, "/plugins/0/type");
    assert_eq!(odd.position, Some((2, 20)));
}
