//! From a definition to the plugins that are called.

use manifold_cni::Version;

use super::support::*;
use crate::{Files, want};

/// The plugin types of network `a` with this definition and these files on the node.
fn bed(config: &str, files: &[(&str, &str)]) -> Bed {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    Bed::asking("a").nad("shop", "a", config).with(|bed| bed.found.conf_dir = Files::new(files))
}

#[track_caller]
fn check(config: &str, files: &[(&str, &str)], expected: &[&str]) {
    let planned = bed(config, files).at(1);
    assert_eq!(planned.list.plugins.iter().map(|p| p.kind.as_str()).collect::<Vec<_>>(), expected);
    assert_eq!(planned.network.as_str(), "a");
}

// Proves: NPWG-3.2-2
#[test]
fn a_definition_holds_a_plugin_or_a_list() {
    check(r#"{"type":"x"}"#, &[], &["x"]);
    check(r#"{"plugins":[{"type":"x"},{"type":"y"}]}"#, &[], &["x", "y"]);
}

// Proves: NPWG-3.4.1-1, NPWG-3.4.1-2, NPWG-3.4.1-3, NPWG-X-8, NPWG-3.2-3, MLT-DLG-6, MLT-DEP-11
#[test]
fn the_definition_counts_first_then_a_list_then_a_single_configuration() {
    let list = ("90-other.conflist", r#"{"name":"a","plugins":[{"type":"list"}]}"#);
    let single = ("10-other.conf", r#"{"name":"a","type":"single"}"#);
    let json = ("05-other.json", r#"{"name":"a","type":"json"}"#);
    check(PLAIN, &[list, single], &["fake"]);
    check("", &[single, list], &["list"]);
    check("", &[single, json], &["json"]);
    // The JSON name counts, and another's broken file does not stop the search.
    check(
        "",
        &[("00-a.conflist", "{broken"), ("a.conflist", r#"{"name":"z","plugins":[{"type":"z"}]}"#), single],
        &["single"],
    );
}

// Proves: MLT-DLG-6
#[test]
fn a_broken_file_that_was_passed_over_is_told() {
    let bed = bed("", &[("00-a.conflist", "{broken"), ("b.conf", r#"{"name":"a","type":"x"}"#)]);
    let notes = bed.plan().notes;
    assert!(notes.iter().any(|n| n.contains("00-a.conflist")), "{notes:?}");
}

// Proves: NPWG-3.4.1-4
#[test]
fn an_empty_definition_without_a_file_is_refused_by_name() {
    bed("", &[]).refused(&["`shop/a`", "no `config`"]);
    bed("", &[("b.conf", r#"{"name":"b","type":"x"}"#)]).refused(&["`shop/a`", "named `a`", "`b`"]);
}

#[test]
fn the_folder_is_read_only_where_it_is_needed() {
    let needs = |bed: &Bed| want(&bed.pod, &bed.policy).unwrap().needs_conf_dir(&bed.found);
    assert!(!needs(&bed(PLAIN, &[])));
    assert!(needs(&bed("", &[])));
}

// Proves: NPWG-3.4.2-1, NPWG-3.4.2-2, NPWG-3.4.3-1
#[test]
fn a_definition_without_a_name_gets_its_objects_name() {
    for (config, name) in [
        (r#"{"type":"x"}"#, "a"),
        (r#"{"name":"","plugins":[{"type":"x"}]}"#, "a"),
        (r#"{"name":"other","type":"x"}"#, "other"),
        (r#"{"name":"other","plugins":[{"type":"x"}]}"#, "other"),
    ] {
        let planned = bed(config, &[]).at(1);
        assert_eq!((planned.network.as_str(), planned.list.name.as_ref().unwrap().as_str()), (name, name));
        assert_eq!(planned.display, "shop/a");
    }
}

// Proves: MLT-EXE-13
#[test]
fn a_definition_without_a_version_has_at_most_the_runtimes() {
    let unsaid = bed(r#"{"type":"x"}"#, &[]).at(1);
    assert_eq!((unsaid.version(), unsaid.list.states_version), (Version::V1_1_0, false));
    assert!(bed(r#"{"cniVersions":["0.3.1"],"type":"x"}"#, &[]).at(1).list.states_version);
    assert_eq!(bed(r#"{"cniVersion":"0.3.1","type":"x"}"#, &[]).at(1).version(), Version::V0_3_1);
    let old = bed(r#"{"type":"x"}"#, &[]).with(|bed| bed.runtime.version = Version::V0_4_0);
    assert_eq!(old.at(1).version(), Version::V0_4_0);
}

// Proves: MLT-DLG-7, F-INP-5
#[test]
fn a_configuration_without_plugins_is_refused() {
    for config in [
        "{}",
        r#"{"plugins":[]}"#,
        r#"{"plugins":[{}]}"#,
        "[]",
        "null",
        "1",
        "{",
        r#"{"type":""}"#,
        r#"{"type":"../x"}"#,
    ] {
        bed(config, &[]).refused(&["`shop/a`", "the configuration is not valid"]);
    }
}

// Proves: F-POD-1, P-USE-4
#[test]
fn a_missing_definition_is_told_with_its_namespace() {
    let missing = Bed::asking("gone");
    missing.refused(&["`shop/gone`", "no such NetworkAttachmentDefinition"]);
    assert!(missing.result().unwrap_err().fix.contains("namespace `shop`"));
    assert_eq!(missing.result().unwrap_err().place, "interface net1 of pod shop/cart-7");
}

// Proves: F-POD-1
#[test]
fn a_terminating_definition_is_refused() {
    let bed =
        Bed::asking("a").with(|bed| bed.nad_mut("a").terminating_since = Some("2026-11-21T00:00:00Z".into()));
    bed.refused(&["`shop/a`", "being deleted"]);
}

// Proves: P-UP-4
#[test]
fn a_chain_with_our_own_type_is_refused() {
    bed(r#"{"plugins":[{"type":"x"},{"type":"manifold"}]}"#, &[]).refused(&["`manifold`"]);
    for kind in ["manifold", "multus", "multus-shim"] {
        let quoted = format!("`{kind}`");
        bed(&format!(r#"{{"type":"{kind}"}}"#), &[]).refused(&[&quoted]);
        bed(&format!(r#"{{"type":"x","ipam":{{"type":"{kind}"}}}}"#), &[]).refused(&[&quoted]);
        let beside =
            format!(r#"{{"name":"a","plugins":[{{"type":"x"}},{{"type":"x","ipam":{{"type":"{kind}"}}}}]}}"#);
        bed("", &[("a.conflist", &beside)]).refused(&[&quoted]);
    }
    bed("", &[("a.conf", r#"{"name":"a","type":"manifold"}"#)]).refused(&["`manifold`"]);
}

// Proves: P-USE-2
#[test]
fn the_rules_of_bundled_plugins_are_the_plans_too() {
    bed(r#"{"type":"bridge","vlan":9999}"#, &[]).refused(&["`shop/a`", "`bridge`", "vlan"]);
    let notes = bed(r#"{"type":"bridge","isGatway":true}"#, &[]).plan().notes;
    assert!(notes.iter().any(|n| n.contains("`shop/a`") && n.contains("`isGateway`")), "{notes:?}");
    let nad = bed(r#"{"type":"bridge","vlan":9999}"#, &[]).nad_mut("a").clone();
    let same = crate::check_config::check(&nad, &policy()).unwrap_err();
    assert!(same.what.contains("`shop/a`") && same.what.contains("vlan"), "{same}");
}

#[test]
fn the_webhooks_check_passes_what_the_plan_can_use() {
    let check = |config: &str| crate::check_config::check(bed(config, &[]).nad_mut("a"), &policy());
    assert_eq!(check(PLAIN).unwrap().list.unwrap().plugins.len(), 1);
    assert!(check("").unwrap().list.is_none());
    assert!(check(r#"{"type":"manifold"}"#).is_err());
    assert_eq!(check(r#"{"type":"bridge","isGatway":true}"#).unwrap().notes.len(), 1);
    let mut nad = bed(PLAIN, &[]).nad_mut("a").clone();
    nad.annotations.insert("k8s.v1.cni.cncf.io/resourceName".into(), "no good".into());
    assert!(crate::check_config::check(&nad, &policy()).unwrap_err().what.contains("resourceName"));
}

// Proves: P-USE-2
#[test]
fn the_shim_refuses_a_pod_in_the_words_and_with_the_place_of_the_webhook() {
    let bed = &mut bed("{\n \"type\": \"macvlan\",\n \"mode\": \"bridg\"\n}", &[]);
    let by_shim = bed.result().unwrap_err();
    let by_webhook = crate::check_config::check(bed.nad_mut("a"), &policy()).unwrap_err();
    assert_eq!((&by_shim.what, &by_shim.fix), (&by_webhook.what, &by_webhook.fix));
    assert!(by_shim.what.ends_with("at `/mode` (line 3, column 10)"), "{by_shim}");
}

/// Network `a` without a configuration of its own, whose annotation says `named`.
fn named(named: &str, files: &[(&str, &str)]) -> Bed {
    bed("", files).with(|bed| {
        let key = manifold_crds::nad_status::CONFIGURATION.to_owned();
        bed.nad_mut("a").annotations.insert(key, named.to_owned());
    })
}

#[test]
fn a_definition_without_config_stands_for_the_configuration_that_its_annotation_names() {
    let other = ("10-other.conflist", r#"{"name":"k8s-pod-network","plugins":[{"type":"other"}]}"#);
    let own = ("20-a.conflist", r#"{"name":"a","plugins":[{"type":"own"}]}"#);
    for (annotation, name, kind) in
        [("k8s-pod-network", "k8s-pod-network", "other"), ("a", "a", "own"), ("", "a", "own")]
    {
        let planned = named(annotation, &[other, own]).at(1);
        assert_eq!((planned.network.as_str(), planned.list.plugins[0].kind.as_str()), (name, kind));
        assert_eq!(planned.display, "shop/a");
    }
    // Its own text counts first.
    let both = named("k8s-pod-network", &[other]).with(|bed| bed.nad_mut("a").config = Some(PLAIN.into()));
    assert_eq!(both.at(1).list.plugins[0].kind.as_str(), "fake");
}

#[test]
fn a_configuration_that_the_nodes_do_not_have_is_told_with_both_names() {
    named("gone", &[]).refused(&["`shop/a`", "no `config`", "manifold.network/configuration", "`gone`"]);
    named("../etc", &[]).refused(&["`shop/a`", "manifold.network/configuration", "cannot be used"]);
}
