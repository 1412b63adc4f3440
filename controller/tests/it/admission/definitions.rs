//! Definitions are judged when they are written.

use http::Method;
use serde_json::json;

use super::bed::{bed, definition, definitions};

const GOOD: &str = r#"{"cniVersion": "1.0.0", "type": "macvlan", "master": "ens1", "mode": "bridge",
 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.10", "rangeEnd": "10.1.0.20"}]]}}"#;
/// Nothing is wrong with it, but host-local counts on each node for itself, and macvlan joins the nodes.
const ONLY_DOUBLED: &[&str] = &["host-local", "cluster-local"];

/// Refused as it stands, with these words; with `from` made `to` it passes.
#[track_caller]
fn slip(config: &str, from: &str, to: &str, words: &[&str]) {
    let bed = bed();
    assert!(config.contains(from));
    let path = definitions("other");
    let outcome = bed.dry_run(&Method::POST, &path, Some(&definition("slip", Some(config))));
    bed.refused(&outcome, &[&["network `other/slip`"], words].concat());
    let mended =
        bed.dry_run(&Method::POST, &path, Some(&definition("slip", Some(&config.replacen(from, to, 1)))));
    assert!(mended.allowed(), "{mended:?}");
}

// Proves: P-USE-2, P-USE-1
#[test]
fn a_slip_in_json_is_refused_with_its_place() {
    slip(&GOOD.replace("]]}}", "]],}}"), ",}}", "}}", &["line 2"]);
    slip(&GOOD.replace(r#""mode""#, "'mode'"), "'mode'", r#""mode""#, &["line 1"]);
    slip(&GOOD.replace(r#""ens1","#, r#""ens1""#), r#""ens1""#, r#""ens1","#, &["line 1"]);
    slip(&GOOD.replace("]]}}", "]]}"), "]]}", "]]}}", &["line 1", "never closed"]);
}

// Proves: P-USE-2
#[test]
fn a_value_that_no_plugin_takes_is_refused_with_its_pointer() {
    slip(&GOOD.replace(r#""bridge""#, r#""brigde""#), "brigde", "bridge", &["`brigde`", "/mode"]);
    slip(&GOOD.replace("10.1.0.0/24", "10.1.0.0/33"), "/33", "/24", &["10.1.0.0/33", "/ipam/ranges/0/0"]);
    slip(
        &GOOD.replace("10.1.0.20", "10.2.0.20"),
        "10.2.0.20",
        "10.1.0.20",
        &["10.2.0.20", "/ipam/ranges/0/0"],
    );
    slip(
        &GOOD.replace("ens1", "an-interface-with-a-long-name"),
        "an-interface-with-a-long-name",
        "ens1",
        &["/master"],
    );
    slip(&GOOD.replace(r#""1.0.0""#, r#""9.9.9""#), "9.9.9", "1.0.0", &["9.9.9", "/cniVersion"]);
}

// Proves: P-USE-2
#[test]
fn ranges_that_overlap_are_refused() {
    let two = GOOD.replace("]]}}", r#"], [{"subnet": "10.1.0.0/16"}]]}}"#);
    slip(&two, "10.1.0.0/16", "10.9.0.0/16", &["/ipam/ranges"]);
}

// Proves: P-USE-2
#[test]
fn a_list_that_cannot_work_is_refused() {
    slip(
        r#"{"cniVersion": "1.0.0", "plugins": []}"#,
        "[]",
        r#"[{"type": "ptp", "ipam": {"type": "dhcp"}}]"#,
        &["plugins"],
    );
    slip(r#"{"cniVersion": "1.0.0", "tpye": "ptp", "ipam": {"type": "dhcp"}}"#, "tpye", "type", &["type"]);
    slip(r#"{"cniVersion": "1.0.0", "type": "manifold"}"#, "manifold", "fake", &["`manifold`", "forever"]);
    let chain = r#"{"cniVersion": "1.0.0", "plugins": [{"type": "tuning"}, {"type": "other"}]}"#;
    slip(
        chain,
        r#"{"type": "tuning"}, {"type": "other"}"#,
        r#"{"type": "other"}, {"type": "tuning"}"#,
        &["tuning"],
    );
}

// Proves: F-INP-1
#[test]
fn a_configuration_that_is_too_large_is_refused() {
    let large = format!(r#"{{"type": "fake", "x": "{}"}}"#, "x".repeat(64 * 1024));
    slip(&large, &"x".repeat(64 * 1024), "x", &["65536"]);
}

#[test]
fn a_resource_that_no_plugin_can_offer_is_refused() {
    let bed = bed();
    let with = |resource: &str| {
        let mut object = definition("vf", Some(GOOD));
        object["metadata"]["annotations"] = json!({"k8s.v1.cni.cncf.io/resourceName": resource});
        bed.dry_run(&Method::POST, &definitions("other"), Some(&object))
    };
    bed.refused(&with("../../vf"), &["resourceName"]);
    bed.allowed(&with("vendor.example/vf"), ONLY_DOUBLED);
}

// Proves: P-USE-2
#[test]
fn what_is_odd_passes_with_a_warning() {
    let bed = bed();
    let with = |config: &str| {
        bed.dry_run(&Method::POST, &definitions("other"), Some(&definition("odd", Some(config))))
    };
    bed.allowed(&with(GOOD), ONLY_DOUBLED);
    bed.allowed(&with(&GOOD.replace(r#""mode": "bridge""#, r#""mod": "bridge""#)), &["`mode`"]);
    bed.allowed(&with(&GOOD.replace(r#""macvlan""#, r#""macvlann""#)), &["`macvlann`"]);
    let executed = bed.dry_run(&Method::POST, &definitions("other"), Some(&definition("on-the-node", None)));
    assert!(executed.allowed(), "{executed:?}");
}

#[test]
fn a_change_is_judged_as_a_creation_is() {
    let bed = bed();
    bed.put_definition("other", "changes", Some(GOOD));
    let path = format!("{}/changes", definitions("other"));
    let patch =
        |config: String| bed.dry_run(&Method::PATCH, &path, Some(&json!({"spec": {"config": config}})));
    bed.refused(&patch(GOOD.replace("/24", "/33")), &["other/changes", "10.1.0.0/33"]);
    bed.allowed(&patch(GOOD.replace("/24", "/23")), ONLY_DOUBLED);
}

/// What stood there before us can be labelled, finalized and deleted, however broken it is.
#[test]
fn a_broken_definition_from_before_is_not_in_anybodys_way() {
    let bed = bed();
    let path = format!("{}/broken", definitions("old"));
    let label = json!({"metadata": {"labels": {"team": "a"}, "finalizers": ["a.example/b"]}});
    bed.allowed(&bed.dry_run(&Method::PATCH, &path, Some(&label)), &[]);
    bed.allowed(&bed.dry_run(&Method::DELETE, &path, None), &[]);
    let still_broken = json!({"spec": {"config": super::bed::BROKEN.replace("bridge", "ptp")}});
    bed.refused(&bed.dry_run(&Method::PATCH, &path, Some(&still_broken)), &["old/broken"]);
    bed.allowed(&bed.dry_run(&Method::PATCH, &path, Some(&json!({"spec": {"config": GOOD}}))), ONLY_DOUBLED);
}

#[test]
fn every_slip_is_told_at_once() {
    let bed = bed();
    let two = r#"{"cniVersion": "1.0.0", "plugins": [{"type": "ptp", "mtu": "x", "ipam": {"type": "dhcp"}}, {"type": "tuning", "mac": "y"}]}"#;
    let outcome = bed.dry_run(&Method::POST, &definitions("other"), Some(&definition("two", Some(two))));
    bed.refused(&outcome, &["/plugins/0/mtu"]);
    assert!(outcome.warnings.iter().any(|w| w.contains("/plugins/1/mac")), "{outcome:?}");
}
