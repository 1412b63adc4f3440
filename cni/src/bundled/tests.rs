use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::fake::{FakePlugin, attachment, one_address};
use crate::{CniResult, Version};

fn fine(_: Verb) -> Result<(), CniError> {
    Ok(())
}

fn call(plugin: &'static FakePlugin, verb: Verb, config: &Value) -> Result<Vec<u8>, CniError> {
    let at = attachment();
    Bundled::new(plugin).call(&Invocation {
        verb,
        container: Some(&at.container),
        netns: Some(at.netns.clone()),
        ifname: Some(&at.ifname),
        args: at.args.clone(),
        path: &[],
        config: config.to_string().into_bytes(),
        deadline: Instant::now() + Duration::from_secs(5),
    })
}

fn config(version: &str) -> Value {
    json!({"cniVersion": version, "name": "n", "type": "fake", "ipam": {"type": "x"},
           "cni.dev/valid-attachments": []})
}

// Proves: CNI-ADD-2, CNI-V01-1, CNI-V02-1, CNI-V10-1, CNI-V11-1
#[test]
fn add_answers_in_the_version_of_the_configuration() {
    for version in Version::ALL {
        let plugin = FakePlugin::leak(|_| Ok(one_address()), fine);
        let answer = call(plugin, Verb::Add, &config(version.as_str())).expect("works");
        assert_eq!(answer, one_address().to_json(version).expect("fits"));
    }
}

// Proves: CNI-ADD-3
#[test]
fn a_plugin_that_changes_nothing_answers_with_the_prev_result_and_its_foreign_keys() {
    let plugin = FakePlugin::leak(|input| input.require_prev_result().cloned(), fine);
    for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let ip = if version < "1" {
            json!({"address": "10.0.0.2/24", "version": "4", "x": 1})
        } else {
            json!({"address": "10.0.0.2/24", "x": 1})
        };
        let prev = json!({"cniVersion": version, "ips": [ip], "foreign": {"y": [null]},
            "routes": [{"dst": "0.0.0.0/0", "table": 5}]});
        let mut config = config(version);
        config["prevResult"] = prev.clone();
        let answer: Value =
            serde_json::from_slice(&call(plugin, Verb::Add, &config).expect("works")).expect("JSON");
        assert_eq!(answer, prev);
    }
}

// Proves: CNI-VER-2, CNI-VER-3
#[test]
fn a_version_that_the_plugin_does_not_list_is_refused_before_it_is_called() {
    let narrow =
        FakePlugin { versions: &[Version::V1_0_0], add: |_| Ok(one_address()), ..FakePlugin::empty() };
    let narrow: &'static FakePlugin = Box::leak(Box::new(narrow));
    for version in ["0.9.9", "1.0", "1.1.0", "0.4.0"] {
        let error = call(narrow, Verb::Add, &config(version)).expect_err(version);
        assert_eq!(
            (error.code, error.msg.as_str()),
            (code::INCOMPATIBLE_VERSION, "incompatible CNI versions")
        );
        assert!(
            error.details.contains(&format!("`{version}`")) && error.details.contains("1.0.0"),
            "{error}"
        );
    }
    assert!(narrow.verbs().is_empty());
    assert!(call(narrow, Verb::Add, &config("1.0.0")).is_ok());
}

// Proves: CNI-CHK-1, CNI-STA-1, CNI-GC-1, CNI-V04-1, CNI-V11-1
#[test]
fn check_status_and_gc_exist_from_their_versions_on() {
    for version in Version::ALL {
        for (verb, exists) in [
            (Verb::Check, version.has_check()),
            (Verb::Status, version.has_status()),
            (Verb::Gc, version.has_gc()),
            (Verb::Del, true),
        ] {
            let plugin = FakePlugin::leak(|_| Ok(one_address()), fine);
            let answer = call(plugin, verb, &config(version.as_str()));
            assert_eq!(plugin.verbs().len(), usize::from(exists), "{version} {verb:?}");
            match answer {
                Ok(_) => assert!(exists),
                Err(error) => assert!(!exists && error.code == code::INCOMPATIBLE_VERSION, "{error}"),
            }
        }
    }
}

// Proves: CNI-DEL-5, CNI-CHK-8, CNI-GC-6
#[test]
fn only_add_and_version_answer_anything() {
    let plugin = FakePlugin::leak(|_| Ok(one_address()), fine);
    for verb in [Verb::Del, Verb::Check, Verb::Status, Verb::Gc] {
        assert_eq!(call(plugin, verb, &config("1.1.0")), Ok(Vec::new()));
    }
}

// Proves: CNI-GC-3, F-RUN-6
#[test]
fn gc_without_a_list_clears_nothing_and_with_an_empty_one_everything() {
    let plugin = FakePlugin::leak(|_| Ok(one_address()), fine);
    let mut config = config("1.1.0");
    config.as_object_mut().expect("an object").remove("cni.dev/valid-attachments");
    assert_eq!(call(plugin, Verb::Gc, &config), Ok(Vec::new()));
    assert!(plugin.verbs().is_empty());
    config["cni.dev/attachments"] = json!([]);
    assert_eq!(call(plugin, Verb::Gc, &config), Ok(Vec::new()));
    assert_eq!(plugin.verbs(), [Verb::Gc]);
}

// Proves: CNI-VER-1
#[test]
fn version_names_what_the_plugin_lists() {
    let plugin = FakePlugin::leak(|_| Ok(one_address()), fine);
    let answer: Value =
        serde_json::from_slice(&call(plugin, Verb::Version, &json!({})).expect("works")).expect("JSON");
    let all = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
    assert_eq!(answer, json!({"cniVersion": "1.1.0", "supportedVersions": all}));
}

// Proves: S-8
#[test]
fn a_panic_is_the_calls_error_and_names_the_plugin() {
    let plugin = FakePlugin::leak(|_| panic!("index 7\nof 3"), |_| panic!("literal"));
    let error = call(plugin, Verb::Add, &config("1.1.0")).expect_err("panics");
    assert_eq!(
        (error.code, error.msg.as_str()),
        (code::PANICKED, "plugin `fake` panicked: index 7\\u{a}of 3")
    );
    let error = call(plugin, Verb::Del, &config("1.1.0")).expect_err("panics");
    assert_eq!(error.msg, "plugin `fake` panicked: literal");
}

// Proves: CNI-ERR-3
#[test]
fn add_never_says_that_no_del_is_needed() {
    let plugin = FakePlugin::leak(|_| Err(CniError::new(3, "who?")), |_| Err(CniError::new(3, "who?")));
    let error = call(plugin, Verb::Add, &config("1.1.0")).expect_err("fails");
    assert!(error.code >= 100 && error.msg.contains("who?"), "{error}");
    assert_eq!(call(plugin, Verb::Del, &config("1.1.0")).expect_err("fails").code, 3);
}

// Proves: PLG-COM-2
#[test]
fn an_attachment_without_addresses_is_refused_in_0_2_0_before_anything_is_touched() {
    let plugin = FakePlugin::leak(|_| Ok(CniResult::default()), fine);
    for ipam in [json!(null), json!({}), json!({"type": ""})] {
        let mut config = config("0.2.0");
        config["ipam"] = ipam;
        let error = call(plugin, Verb::Add, &config).expect_err("no address");
        assert_eq!(error.code, code::INCOMPATIBLE_VERSION);
        assert!(plugin.verbs().is_empty());
        config["cniVersion"] = json!("0.3.1");
        assert!(call(FakePlugin::leak(|_| Ok(CniResult::default()), fine), Verb::Add, &config).is_ok());
    }
    // Only the plugin knew that there would be none: what it made is taken back.
    call(plugin, Verb::Add, &config("0.1.0")).expect_err("no address");
    assert_eq!(plugin.verbs(), [Verb::Add, Verb::Del]);
}
