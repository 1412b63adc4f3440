//! What is passed over: every key of Multus' own element and of the public client's, each value that says nothing, keys that
//! nobody knows, in both forms.

use super::*;

/// The oddities of this element, each as `key: what is odd`.
#[track_caller]
fn odd(text: &str) -> Vec<String> {
    let name = |o: &Oddity| {
        assert!(o.place.element.is_some() && !o.fix.is_empty(), "{o}");
        format!("{}: {}", o.place.key.clone().unwrap_or_default(), o.what)
    };
    reading(text).oddities.iter().map(name).collect()
}

/// What a key can hold that says nothing.
struct Row {
    key: &'static str,
    /// Reads as if the key were absent, with a note.
    empty: &'static [&'static str],
    /// Reads as if the key were absent; the standard or habit has it so, and it needs no note.
    silent: &'static [&'static str],
    /// Refused by Multus too: a value of another kind, or one that nobody can use.
    refused: &'static [&'static str],
}

/// `name` is needed, so it has no row. `default-route: []` and `cni-args: {}` are values with a meaning of their own.
const ROWS: &[Row] = &[
    Row { key: "namespace", empty: &[], silent: &[r#""""#, "null"], refused: &["[]", "{}", "0", "false"] },
    Row { key: "interface", empty: &[r#""""#], silent: &["null"], refused: &["[]", "{}", "0", r#"" ""#] },
    Row { key: "interfaceRequest", empty: &[r#""""#], silent: &["null"], refused: &["[]", "{}", "0"] },
    Row {
        key: "ips",
        empty: &["[]"],
        silent: &["null"],
        refused: &[r#""""#, "{}", "0", r#"[""]"#, "[null]"],
    },
    Row { key: "mac", empty: &[r#""""#], silent: &["null"], refused: &["[]", "{}", "0", r#"" ""#] },
    Row {
        key: "infiniband-guid",
        empty: &[r#""""#],
        silent: &["null"],
        refused: &["[]", "{}", "0", r#"" ""#],
    },
    Row {
        key: "portMappings",
        empty: &["[]"],
        silent: &["null"],
        refused: &[r#""""#, "{}", "0", "[{}]", "[null]", r#"[{"hostPort":0,"containerPort":0}]"#],
    },
    Row {
        key: "bandwidth",
        empty: &[
            "{}",
            r#"{"ingressRate":0}"#,
            r#"{"ingressRate":0,"ingressBurst":0,"egressRate":0,"egressBurst":0}"#,
            r#"{"egressRate":null}"#,
        ],
        silent: &["null"],
        refused: &[r#""""#, "[]", "0", r#"{"ingressRate":""}"#],
    },
    Row { key: "default-route", empty: &[], silent: &["null"], refused: &[r#""""#, "{}", "0", r#"[""]"#] },
    Row { key: "cni-args", empty: &[], silent: &["null"], refused: &[r#""""#, "[]", "0"] },
    Row { key: "ipam-claim-reference", empty: &[r#""""#], silent: &["null"], refused: &["[]", "{}", "0"] },
    Row { key: "deviceID", empty: &[r#""""#], silent: &["null"], refused: &["[]", "{}", "0"] },
];

fn with(key: &str, value: &str) -> String {
    format!(r#"[{{"name":"n","{key}":{value}}}]"#)
}

// Proves: COMPAT-2
#[test]
fn a_value_that_says_nothing_is_absent_under_every_key() {
    let absent = to_json(&read(r#"[{"name":"n"}]"#));
    for Row { key, empty, silent, refused: bad } in ROWS {
        for value in *empty {
            let text = with(key, value);
            assert_eq!(to_json(&read(&text)), absent, "{text}");
            assert_eq!(odd(&text), [format!("{key}: it is empty, so it counts as absent")], "{text}");
        }
        for value in *silent {
            let text = with(key, value);
            assert_eq!(to_json(&read(&text)), absent, "{text}");
            assert!(odd(&text).is_empty(), "{text}");
        }
        for value in *bad {
            refused(&with(key, value), &["element 1", &format!("`{key}")]);
        }
    }
    let rows: Vec<&str> = ROWS.iter().map(|row| row.key).collect();
    assert_eq!(rows.len() + 1, element::KEYS.len(), "a key without a row: {rows:?}");
    assert!(element::KEYS.iter().all(|key| *key == "name" || rows.contains(key)));
}

// Proves: COMPAT-2
#[test]
fn all_empty_values_of_a_template_together_ask_for_the_network_alone() {
    let filled: Vec<String> =
        ROWS.iter().filter_map(|row| Some(format!(r#""{}":{}"#, row.key, row.empty.first()?))).collect();
    let text = format!(r#"[{{"name":"n",{}}},{{"name":"m"}}]"#, filled.join(","));
    assert_eq!(to_json(&read(&text)), to_json(&read("n,m")));
    assert_eq!(reading(&text).oddities.len(), filled.len());
    assert!(reading(&text).oddities.iter().all(|o| o.place.element == Some(1)));
    // A key that is given twice in one way or another still counts where it says something.
    let name =
        |keys: &str| read(&format!(r#"[{{"name":"n",{keys}}}]"#)).remove(0).interface.unwrap().to_string();
    assert_eq!(name(r#""interface":"","interfaceRequest":"a0""#), "a0");
    assert_eq!(name(r#""interface":"b0","interfaceRequest":"""#), "b0");
}

// Proves: COMPAT-2
#[test]
fn empty_keys_inside_a_mapping_or_a_limit_are_absent() {
    let mapping =
        |more: &str| with("portMappings", &format!(r#"[{{"hostPort":80,"containerPort":8080{more}}}]"#));
    let plain = to_json(&read(&mapping("")));
    for more in [r#","protocol":"""#, r#","protocol":null"#, r#","hostIP":"""#, r#","hostIP":null"#] {
        assert_eq!(to_json(&read(&mapping(more))), plain, "{more}");
    }
    let limit = to_json(&read(&with("bandwidth", r#"{"egressRate":5}"#)));
    assert_eq!(
        to_json(&read(&with("bandwidth", r#"{"egressRate":5,"ingressRate":0,"ingressBurst":0}"#))),
        limit
    );
}

// Proves: COMPAT-1
#[test]
fn a_key_that_nobody_knows_has_no_effect_and_is_noted() {
    let plain = to_json(&read(r#"[{"name":"n","ips":["10.1.1.101/24"]}]"#));
    for (more, noted) in [
        (r#""gateway":["10.1.1.1"]"#, "gateway"),
        (r#""gateway":"""#, "gateway"),
        (r#""colour":{"a":[1]}"#, "colour"),
        (r#""defaultRoute":["10.0.0.1"]"#, "defaultRoute"),
    ] {
        let text = format!(r#"[{{"name":"n","ips":["10.1.1.101/24"],{more}}}]"#);
        assert_eq!(to_json(&read(&text)), plain, "{text}");
        assert_eq!(odd(&text), [format!("{noted}: there is no such key, so it has no effect")]);
    }
    let told = |text: &str| reading(text).oddities.remove(0).to_string();
    assert_eq!(
        told(r#"[{"name":"n"},{"name":"m","gateway":["10.1.1.1"]}]"#),
        "element 2 (`shop/m`), key `gateway`: there is no such key, so it has no effect; remove it, or rename it \
         `example.com/gateway` if another program reads it"
    );
    assert!(told(&with("defaultRoute", "[]")).ends_with("did you mean `default-route`?"));
}

// Proves: COMPAT-1
#[test]
fn keys_that_nobody_knows_inside_a_mapping_or_a_limit_are_noted_by_their_place() {
    let ports = r#"[{"hostPort":1,"containerPort":1},{"hostPort":2,"containerPort":2,"name":"web"}]"#;
    assert_eq!(read(&with("portMappings", ports))[0].port_mappings.len(), 2);
    assert_eq!(
        odd(&with("portMappings", ports)),
        ["portMappings[1].name: there is no such key, so it has no effect"]
    );
    let text = with("bandwidth", r#"{"ingressRate":1,"egresRate":1}"#);
    assert_eq!(read(&text)[0].bandwidth.as_ref().unwrap().egress_rate, None);
    assert!(reading(&text).oddities[0].to_string().ends_with("did you mean `egressRate`?"));
}

// Proves: COMPAT-2
#[test]
fn the_short_form_passes_over_blanks_and_empty_parts() {
    short(" other / left @ left0 ,right", &["other/left@left0", "shop/right"]);
    assert!(odd(" other / left @ left0 ").is_empty());
    short("right@,/left", &["shop/right", "shop/left"]);
    assert_eq!(
        odd("right@,/left"),
        ["interface: it is empty, so it counts as absent", "namespace: it is empty, so it counts as absent"]
    );
}
