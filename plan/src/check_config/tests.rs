use manifold_crds::NadRef;
use proptest::prelude::*;

use super::*;
use crate::policy::DefaultNetwork;

fn policy() -> Policy {
    Policy::new(DefaultNetwork::Cluster("cluster-wide-network".parse().unwrap()))
}

fn nad(config: &str) -> Nad {
    Nad::new(NadRef::new("shop", "a").unwrap(), Some(config))
}

fn report(config: &str) -> Report {
    examine(&nad(config), &policy())
}

/// Exactly one finding, with that severity, pointer, line and column, and these words in sentence and fix.
#[track_caller]
fn one(config: &str, severity: Severity, place: (&str, usize, usize), words: [&str; 2]) {
    let findings = report(config).findings;
    let [finding] = &findings[..] else { panic!("not one finding: {findings:#?}") };
    assert_eq!(finding.severity, severity, "{finding}");
    assert_eq!(
        (finding.pointer.as_str(), finding.line, finding.column),
        (place.0, Some(place.1), Some(place.2))
    );
    assert!(finding.sentence.contains(words[0]), "{finding}");
    assert!(finding.fix.contains(words[1]), "{finding}");
}

#[track_caller]
fn clean(config: &str) {
    let findings = report(config).findings;
    assert!(findings.is_empty(), "{findings:#?}");
}

use Severity::{Error, Warning};

// Proves: P-USE-2
#[test]
fn a_finding_names_pointer_line_column_and_remedy() {
    let list = "{\n  \"cniVersion\": \"1.0.0\",\n  \"plugins\": [\n    {\"type\": \"macvlan\", \"mode\": \"bridg\"}\n  ]\n}";
    one(list, Error, ("/plugins/0/mode", 4, 33), ["`bridg` is not a macvlan mode", "use `bridge`"]);
    let single = "{\"type\": \"macvlan\",\n \"mastr\": \"eth1\"}";
    one(single, Warning, ("/mastr", 2, 2), ["does not know the key `mastr`", "did you mean `master`?"]);
    one("{\n \"type\": \"macvlan\",\n}", Error, ("", 2, 19), ["trailing `,` before `}`", "remove the comma"]);
}

#[test]
fn a_missing_key_that_is_there_misspelt_is_told_so() {
    one(
        r#"{"type": "ptp", "ipma": {"type": "host-local"}}"#,
        Error,
        ("/ipam", 1, 1),
        ["ipam", "did you mean `ipam` instead of `ipma`?"],
    );
    let no_plugins = r#"{"cniVersion": "1.0.0", "plugin": [{"type": "bridge"}]}"#;
    one(no_plugins, Error, ("", 1, 1), ["it has no plugin", "did you mean `plugins` instead of `plugin`?"]);
    let no_type = r#"{"plugins": [{"tpye": "bridge"}]}"#;
    one(no_type, Error, ("/plugins/0", 1, 14), ["has no `type`", "did you mean `type` instead of `tpye`?"]);
}

// Proves: COMPAT-6
#[test]
fn a_key_in_another_case_is_no_error_and_is_told_at_its_place() {
    let read = |key: &'static str| ["is read as", key];
    one(r#"{"plugins": [{"Type": "bridge"}]}"#, Warning, ("/plugins/0/Type", 1, 15), read("`type`"));
    one(r#"{"Plugins": [{"type": "bridge"}]}"#, Warning, ("/Plugins", 1, 2), read("`plugins`"));
    one(r#"{"type": "bridge", "isgateway": true}"#, Warning, ("/isgateway", 1, 20), read("`isGateway`"));
    one(r#"{"CNIVersion": "1.0.0", "type": "bridge"}"#, Warning, ("/CNIVersion", 1, 2), read("`cniVersion`"));
    // An error inside is told where it is, too.
    one(
        r#"{"plugins": [{"type": "bridge", "VLAN": 9999}]}"#,
        Error,
        ("/plugins/0/VLAN", 1, 41),
        ["9999", "1 to 4094"],
    );
    let inside =
        r#"{"type": "macvlan", "master": "e", "ipam": {"type": "host-local", "Subnet": "10.0.0.0"}}"#;
    let found = examine_config(inside, &policy()).1;
    assert!(
        found.iter().any(|f| f.severity == Error && (f.line, f.column) == (Some(1), Some(77))),
        "{found:?}"
    );
}

// Proves: F-INP-5
#[test]
fn the_protocols_keys_of_another_shape_are_told_with_the_right_one() {
    for (config, pointer, fix) in [
        (r#"{"cniVersion": 1.0, "type": "bridge"}"#, "/cniVersion", r#"`"cniVersion": "1.0.0"`"#),
        (r#"{"cniVersion": "0.3", "type": "bridge"}"#, "/cniVersion", r#"`"cniVersion": "0.3.1"`"#),
        (r#"{"cniVersion": "v1.1.0", "type": "bridge"}"#, "/cniVersion", r#"`"cniVersion": "1.1.0"`"#),
        (r#"{"plugins": {"type": "bridge"}}"#, "/plugins", "a list of plugin objects"),
        (r#"{"plugins": []}"#, "/plugins", "a list of plugin objects"),
        (r#"{"plugins": ["bridge"]}"#, "/plugins/0", "write an object"),
        (r#"{"type": ["bridge"]}"#, "/type", "in quotes"),
        (r#"{"type": "/opt/cni/bin/bridge"}"#, "/type", "bare name"),
        (r#"{"type": "bridge", "name": "my net"}"#, "/name", "letters, digits"),
        (
            r#"{"type": "bridge", "capabilities": ["ips", "mac"]}"#,
            "/capabilities",
            r#"{"ips": true, "mac": true}"#,
        ),
        (r#"{"type": "bridge", "capabilities": {"ips": "true"}}"#, "/capabilities", r#"{"ips": true}"#),
        (r#"{"plugins": [{"type": "bridge"}], "disableCheck": 1}"#, "/disableCheck", "`true` or `false`"),
    ] {
        let report = report(config);
        let error = report.errors().next().unwrap_or_else(|| panic!("passed: {config}"));
        assert_eq!(error.pointer, pointer, "{config}");
        assert!(error.fix.contains(fix), "{config}: {error}");
        assert!(error.line.is_some(), "{error}");
    }
}

const MACVLAN: &str =
    r#"{"type": "macvlan", "master": "eth1", "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}}"#;

fn chain(plugins: &[&str]) -> String {
    format!(r#"{{"cniVersion": "1.0.0", "plugins": [{}]}}"#, plugins.join(", "))
}

#[track_caller]
fn chain_has(plugins: &[&str], severity: Severity, pointer: &str, words: [&str; 2]) {
    let findings = report(&chain(plugins)).findings;
    let found = findings.iter().find(|f| f.severity == severity && f.pointer == pointer);
    let found = found.unwrap_or_else(|| panic!("nothing at {pointer}: {findings:#?}"));
    assert!(found.sentence.contains(words[0]) && found.fix.contains(words[1]), "{found}");
}

// Proves: P-USE-2
#[test]
fn a_chain_that_cannot_work_is_refused() {
    let bridge = r#"{"type": "bridge"}"#;
    for meta in ["tuning", "portmap", "bandwidth", "sbr", "vrf", "firewall"] {
        let plugin = format!(r#"{{"type": "{meta}"}}"#);
        chain_has(&[&plugin, MACVLAN], Error, "/plugins/0/type", ["comes first", "after `macvlan`"]);
        let alone = report(&plugin);
        assert!(alone.errors().any(|f| f.pointer == "/type" && f.fix.contains("\"plugins\"")), "{alone:?}");
    }
    for ipam in ["host-local", "static", "dhcp", "whereabouts", "calico-ipam"] {
        let plugin = format!(r#"{{"type": "{ipam}"}}"#);
        chain_has(
            &[MACVLAN, &plugin],
            Error,
            "/plugins/1/type",
            ["creates no interface", "\"type\": \"macvlan\", \"ipam\""],
        );
    }
    chain_has(
        &[MACVLAN, bridge],
        Error,
        "/plugins/1/type",
        ["`macvlan` before it", "a definition of its own"],
    );
    let limit = r#"{"type": "bandwidth", "ingressRate": 1000, "ingressBurst": 1000}"#;
    chain_has(&[MACVLAN, limit], Error, "/plugins/1/type", ["veth", "`bridge` or `ptp`"]);
    let idle = r#"{"type": "bandwidth", "capabilities": {"bandwidth": true}}"#;
    chain_has(&[MACVLAN, idle], Warning, "/plugins/1/type", ["veth", "`bridge` or `ptp`"]);
    assert!(report(&chain(&[MACVLAN, idle])).is_valid());
    chain_has(
        &[bridge, r#"{"type": "sbr"}"#],
        Error,
        "/plugins/1/type",
        ["no `ipam`", "give `bridge` an `ipam`"],
    );
    let wrong_ipam = r#"{"type": "bridge", "ipam": {"type": "macvlan"}}"#;
    chain_has(&[wrong_ipam], Error, "/plugins/0/ipam/type", ["gives no addresses", "`host-local`"]);
}

#[test]
fn what_works_and_is_probably_not_meant_is_a_warning() {
    let on_tuning = r#"{"type": "tuning", "ipam": {"type": "host-local", "subnet": "10.2.0.0/24"}}"#;
    chain_has(&[MACVLAN, on_tuning], Warning, "/plugins/1/ipam", ["no effect", "`macvlan`"]);
    chain_has(&[r#"{"type": "maclvan"}"#], Warning, "/plugins/0/type", ["not a bundled one", "`macvlan`?"]);
    chain_has(
        &[r#"{"type": "acme"}"#],
        Warning,
        "/plugins/0/type",
        ["not a bundled one", "install it on every node"],
    );
    let typo = r#"{"type": "bridge", "ipam": {"type": "host_local"}}"#;
    chain_has(&[typo], Warning, "/plugins/0/ipam/type", ["not a bundled one", "`host-local`?"]);
    let asks =
        |kind: &str, name: &str| format!(r#"{{"type": "{kind}", "capabilities": {{"{name}": true}}}}"#);
    chain_has(&[&asks("bridge", "IPs")], Warning, "/plugins/0/capabilities/IPs", ["is unknown", "`ips`?"]);
    chain_has(
        &[MACVLAN, &asks("tuning", "ips")],
        Warning,
        "/plugins/1/capabilities/ips",
        ["would be lost", "creates the interface"],
    );
    chain_has(
        &[MACVLAN, r#"{"type": "portmap"}"#],
        Warning,
        "/plugins/1/capabilities",
        ["portMappings", "declare it"],
    );
    let list = r#"{"plugins": [{"type": "bridge"}], "capabilities": {"ips": true}, "cniversion": "1.0.0"}"#;
    let report = report(list);
    let told: Vec<&str> = report.warnings().map(|f| f.pointer.as_str()).collect();
    assert_eq!(told, ["/capabilities", "/cniversion"]);
    assert!(report.is_valid());
}

#[test]
fn chains_that_work_have_no_finding() {
    clean(&chain(&[
        r#"{"type": "macvlan", "ipam": {"type": "dhcp"}}"#,
        r#"{"type": "tuning", "capabilities": {"mac": true}}"#,
    ]));
    clean(&chain(&[
        r#"{"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}}"#,
        r#"{"type": "portmap", "capabilities": {"portMappings": true}}"#,
        r#"{"type": "bandwidth", "ingressRate": 1000000, "ingressBurst": 1000000}"#,
        r#"{"type": "firewall"}"#,
        r#"{"type": "sbr"}"#,
    ]));
    // Nobody knows what the calico plugin makes, so everything may follow it.
    clean(&chain(&[r#"{"type": "calico", "ipam": {"type": "calico-ipam"}}"#, r#"{"type": "sbr"}"#]));
    clean(r#"{"cniVersion": "0.3.1", "type": "ovs", "bridge": "br1", "vlan": 100}"#);
}

#[test]
fn types_that_are_somebody_elses_on_the_nodes_are_not_judged() {
    let mut policy = policy();
    policy.ours = Ours::Only([].into());
    let report = examine(&nad(r#"{"type": "tuning", "mtu": "x"}"#), &policy);
    assert!(report.is_valid(), "{report:?}");
}

#[test]
fn the_annotation_that_names_a_configuration_is_checked() {
    let with = |value: &str, config: Option<&str>| {
        let mut nad = Nad::new(NadRef::new("shop", "a").unwrap(), config);
        nad.annotations.insert(nad_status::CONFIGURATION.into(), value.into());
        examine(&nad, &policy()).findings.first().map(|f| (f.severity, f.field.clone()))
    };
    let field = format!("metadata.annotations[{}]", nad_status::CONFIGURATION);
    assert_eq!(with("k8s-pod-network", None), None);
    assert_eq!(with("a/b", None), Some((Error, field.clone())));
    assert_eq!(with("other", Some(r#"{"type": "bridge"}"#)), Some((Warning, field)));
}

/// Text that is nearly a configuration: whole pieces of one, in any order.
fn nearly() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just("\"plugins\"".to_owned()),
        Just("\"type\"".to_owned()),
        Just("\"ipam\"".to_owned()),
        Just("\"macvlan\"".to_owned()),
        Just("\"host-local\"".to_owned()),
        Just("\"tuning\"".to_owned()),
        Just("\"capabilities\"".to_owned()),
        Just("\"cniVersion\"".to_owned()),
        Just("\"ranges\"".to_owned()),
        Just(":".to_owned()),
        Just(",".to_owned()),
        Just("true".to_owned()),
        Just("1e9".to_owned()),
        Just("\\".to_owned()),
        Just("'".to_owned()),
        Just("“".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("\n".to_owned()),
        Just("//".to_owned()),
        "\\PC{0,3}",
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // Proves: S-8
    #[test]
    fn no_text_makes_the_check_panic(text in nearly(), any in "\\PC{0,60}") {
        for text in [text, any] {
            for finding in report(&text).findings {
                let told = finding.to_string();
                prop_assert!(!told.contains(char::is_control), "{told:?}");
                prop_assert!(finding.line != Some(0) && finding.column != Some(0), "{finding:?}");
            }
        }
    }

    // Proves: S-8
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes, 1 << 16);
    }

    /// Whatever is cut off or put in, the finding has a line: the scanner explains all that the parser refuses.
    #[test]
    fn every_broken_text_is_told_with_its_place(cut in 0usize..94, junk in "[\\PC\n]{0,2}", at in 0usize..94) {
        let mut text = MACVLAN.to_owned();
        text.insert_str(at.min(text.len()), &junk);
        text.truncate((0..=cut.min(text.len())).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0));
        let report = report(&text);
        for error in report.errors() {
            prop_assert!(error.line.is_some(), "{text:?}: {error:?}");
            prop_assert!(!error.fix.is_empty(), "{text:?}: {error:?}");
        }
    }
}
