//! What is read of the networks annotation, printed and read again is the same.

use manifold_crds::selection::{Limits, parse, to_json};
use manifold_crds::{NadRef, Namespace};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn home() -> Namespace {
    "shop".parse().unwrap()
}

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-z0-9]{1,5})?"
}

/// Values of one key of an element, all of them valid.
fn entry() -> impl Strategy<Value = (&'static str, Value)> {
    let port = |(host, container): (u16, u16)| json!([{"hostPort": host, "containerPort": container}]);
    prop_oneof![
        "[a-z0-9]{1,20}".prop_map(|text| ("namespace", json!(text))),
        "[a-zA-Z0-9_\"\\\\.-]{1,10}x".prop_map(|text| ("interface", json!(text))),
        (1_u8..224, any::<u8>(), 0_u8..33)
            .prop_filter("an address of a host", |(first, ..)| *first != 127)
            .prop_map(|(a, b, prefix)| ("ips", json!([format!("{a}.0.{b}.9/{prefix}")]))),
        any::<[u8; 5]>().prop_map(|b| {
            ("mac", json!(format!("02:{:02X}:{:02x}:{:02x}:{:02x}:{:02x}", b[0], b[1], b[2], b[3], b[4])))
        }),
        (1_u16.., 1_u16..).prop_map(move |ports| ("portMappings", port(ports))),
        (1_u64..1 << 62).prop_map(|rate| ("bandwidth", json!({"ingressRate": rate, "egressRate": rate}))),
        Just(("default-route", json!(["10.9.9.1", "fd00::1"]))),
        "\\PC{0,20}".prop_map(|text| ("cni-args", json!({"any": [text, 1.5, null]}))),
        "[a-zA-Z0-9:.+=@_-]{0,10}x".prop_map(|text| ("deviceID", json!(text))),
        "\\PC{1,10}".prop_map(|text| ("example.com/own", json!(text))),
    ]
}

fn element() -> impl Strategy<Value = Value> {
    (name(), proptest::collection::vec(entry(), 0..5)).prop_map(|(name, entries)| {
        let mut object = Map::from_iter([("name".to_owned(), json!(name))]);
        object.extend(entries.into_iter().map(|(key, value)| (key.to_owned(), value)));
        Value::Object(object)
    })
}

proptest! {
    #![proptest_config(super::cases())]

    // Proves: S-8
    #[test]
    fn a_long_form_that_is_accepted_comes_back(elements in proptest::collection::vec(element(), 1..4)) {
        let text = Value::Array(elements).to_string();
        // Two elements may have drawn one interface name; every other value is valid.
        match parse(&text, &home(), Limits::default()) {
            Err(bad) => prop_assert!(bad.why.contains("is the interface of element"), "{bad}: {text}"),
            Ok(read) => {
                let printed = to_json(&read.selections);
                let again = parse(&printed, &home(), Limits::default()).unwrap();
                prop_assert_eq!(to_json(&again.selections), printed);
            }
        }
    }

    #[test]
    fn a_short_form_means_what_it_says(
        namespace in proptest::option::of("[a-z0-9]{1,9}"), name in name(), interface in proptest::option::of("[a-z0-9]{1,15}"),
    ) {
        let network = namespace.as_ref().map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}"));
        let text = interface.as_ref().map_or_else(|| network.clone(), |interface| format!("{network}@{interface}"));
        let read = parse(&format!(" {text} "), &home(), Limits::default()).unwrap().selections;
        prop_assert_eq!(read.len(), 1);
        prop_assert_eq!(&read[0].network, &NadRef::parse(&network, &home()).unwrap());
        prop_assert_eq!(read[0].interface.as_ref().map(ToString::to_string), interface);
    }
}
