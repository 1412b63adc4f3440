use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

mod lenient;

fn home() -> Namespace {
    "shop".parse().unwrap()
}

#[track_caller]
fn read(text: &str) -> Vec<Selection> {
    reading(text).selections
}

#[track_caller]
fn reading(text: &str) -> Reading {
    parse(text, &home(), Limits::default()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The one element of a list, from its keys.
#[track_caller]
fn one(keys: &Value) -> Selection {
    let mut found = read(&json!([keys]).to_string());
    assert_eq!(found.len(), 1);
    found.pop().unwrap()
}

#[track_caller]
fn short(text: &str, expected: &[&str]) {
    let show = |s: &Selection| match &s.interface {
        None => s.network.to_string(),
        Some(i) => format!("{}@{i}", s.network),
    };
    assert_eq!(read(text).iter().map(show).collect::<Vec<_>>(), expected, "{text}");
}

/// Refused, with all of `words` in the sentence and nothing hostile in it.
#[track_caller]
fn refused(text: &str, words: &[&str]) {
    let error = match parse(text, &home(), Limits::default()) {
        Ok(found) => panic!("{text:?} should be refused, and gave {found:?}"),
        Err(e) => e.to_string(),
    };
    for word in words {
        assert!(error.contains(word), "{text:?}: `{word}` is missing in: {error}");
    }
    let hostile = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!error.contains(hostile), "{error:?}");
}

/// `name: n` and these keys, refused with a sentence that names the element and the key.
#[track_caller]
fn refused_key(key: &str, value: Value) {
    refused(&json!([{"name": "n", key: value}]).to_string(), &["element 1", &format!("`{key}`")]);
}

#[track_caller]
fn accepted_key(key: &str, value: Value) {
    one(&json!({"name": "n", key: value}));
}

// Proves: NPWG-4.1.1-1, NPWG-3.3-3, NPWG-X-2, MLT-DLG-3, MLT-DEP-15
#[test]
fn the_short_form_is_names_with_namespaces_and_interfaces() {
    short("right", &["shop/right"]);
    short(" right , other/left@left0 ", &["shop/right", "other/left@left0"]);
    short("a,a", &["shop/a", "shop/a"]);
}

// Proves: NPWG-X-10
#[test]
fn nothing_in_any_clothing_is_no_network() {
    for text in ["", "  \n", "null", r#""""#, "[]", " [ ] "] {
        assert!(read(text).is_empty(), "{text:?}");
    }
}

// Proves: NPWG-3.3-1, MLT-DLG-3, F-INP-2, NPWG-X-1
#[test]
fn the_short_form_refuses_what_is_no_name() {
    for text in [
        ",",
        "a,",
        ",a",
        "a,,b",
        "A",
        "a_b",
        "a..b",
        "../../etc",
        "a/b/c",
        "a/",
        "/",
        "@x",
        "%2f",
        "а",
        "a\0b",
        "a\r\nX: b",
        "a\u{202e}b",
        "a b",
        "a@b@c",
    ] {
        refused(text, &["element"]);
    }
    refused(&"x".repeat(300), &["longer than"]);
    refused("a@toolonginterface", &["element 1", "`interface`", "15 bytes"]);
}

// Proves: NPWG-4.1-2
#[test]
fn both_forms_say_the_same() {
    let long = r#"[{"name":"right"},{"name":"left","namespace":"other","interface":"left0"}]"#;
    assert_eq!(to_json(&read("right,other/left@left0")), to_json(&read(long)));
}

// Proves: NPWG-4.1.2-1, F-INP-5
#[test]
fn the_long_form_is_a_list_of_maps() {
    for text in [r#"{"name":"a"}"#, r#""a""#, r#"["a"]"#, "[1]", "[null]", "[[]]"] {
        refused(text, &["map"]);
    }
    refused(r#"[{"name":"a"}"#, &["not valid JSON", "line 1"]);
    refused(r#"[{"name":"a"}] x"#, &["not valid JSON"]);
    refused("\u{feff}[{\"name\":\"a\"}]", &["not valid JSON"]);
    refused(r#"[{"name":"a","name":"b"}]"#, &["duplicate key"]);
    refused(r#"[{"name":"a","cni-args":{"a":"\ud800"}}]"#, &["not valid JSON"]);
    refused(r#"[{"name":"a","cni-args":{"x":{"k":1,"k":2}}}]"#, &["duplicate key"]);
    refused(
        &format!("[{{\"name\":\"a\",\"cni-args\":{{\"a\":{}{}}}}}]", "[".repeat(10_000), "]".repeat(10_000)),
        &["JSON"],
    );
    one(&json!({"name": "a", "cni-args": {"n": 1}}));
}

// Proves: NPWG-4.1.2.1.1-1, NPWG-4.1.2.1.2-1, F-INP-2
#[test]
fn name_is_needed_and_an_empty_namespace_is_the_pods() {
    refused(r#"[{"namespace":"a"}]"#, &["element 1", "`name`", "missing"]);
    refused(r#"[{"name":null}]"#, &["element 1", "`name`", "missing"]);
    refused(r#"[{"nmae":"a"}]"#, &["element 1", "`name`", "missing", "instead of `nmae`"]);
    refused(r#"[{"name":"a"},{"name":""}]"#, &["element 2", "`name`", "empty"]);
    refused_key("name", json!(5));
    for name in ["../../x", "a\0b", "a\u{202e}b", "a\nb", "A", "a..b"] {
        refused(&json!([{"name": name}]).to_string(), &["element 1", "`name`"]);
        refused(&json!([{"name": "a", "namespace": name}]).to_string(), &["element 1", "`namespace`"]);
    }
    assert_eq!(one(&json!({"name": "a", "namespace": ""})).network.to_string(), "shop/a");
    assert_eq!(one(&json!({"name": "a", "namespace": "b"})).network.to_string(), "b/a");
}

// Proves: NPWG-4.1.2.1-1, NPWG-4.1.2.1-2
#[test]
fn a_key_with_a_dot_is_somebodys_own_and_passes_in_silence() {
    accepted_key("org.example.colour", json!({"any": ["thing"]}));
    assert!(reading(r#"[{"name":"a","org.example.colour":"red"}]"#).oddities.is_empty());
}

// Proves: COMPAT-6
#[test]
fn a_known_key_is_read_in_any_case_and_the_exact_one_wins() {
    let odd = one(&json!({
        "Name": "a", "NAMESPACE": "b", "InterfaceRequest": "x0", "IPs": ["10.0.0.1/24"], "MAC": "02:00:00:00:00:01",
        "Default-Route": ["10.0.0.9"], "CNI-Args": {"Mine": 1, "mine": 2}, "deviceid": "d",
        "PortMappings": [{"HostPort": 80, "containerport": 8080, "hostIp": "10.0.0.2"}],
        "bandwidth": {"IngressRate": 8, "ingressburst": 9},
    }));
    let exact = one(&json!({
        "name": "a", "namespace": "b", "interface": "x0", "ips": ["10.0.0.1/24"], "mac": "02:00:00:00:00:01",
        "default-route": ["10.0.0.9"], "cni-args": {"Mine": 1, "mine": 2}, "deviceID": "d",
        "portMappings": [{"hostPort": 80, "containerPort": 8080, "hostIP": "10.0.0.2"}],
        "bandwidth": {"ingressRate": 8, "ingressBurst": 9},
    }));
    assert_eq!(format!("{odd:?}"), format!("{exact:?}"));
    let args = |s: &Selection| String::from_utf8(s.cni_args.as_ref().unwrap().to_vec()).unwrap();
    assert_eq!(args(&odd), r#"{"Mine":1,"mine":2}"#);
    assert_eq!(one(&json!({"Name": "x", "name": "a", "NAME": "y"})).network.to_string(), "shop/a");
    refused(r#"[{"name":"a","Mac":"x"}]"#, &["element 1", "`mac`"]);
}

// Proves: NPWG-4.1.2.1.3-1, F-INP-4
#[test]
fn ips_are_addresses_each_once() {
    accepted_key("ips", json!(["10.0.0.1", "10.0.0.2/24", "fd00::1/64"]));
    for value in [
        json!(["x"]),
        json!(["1.2.3.4/33"]),
        json!("10.0.0.1"),
        json!([1]),
        json!(["10.0.0.1", "10.0.0.1/24"]),
        json!(["::ffff:10.0.0.1"]),
        json!([""]),
        json!({"a": 1}),
        json!([null]),
    ] {
        refused_key("ips", value);
    }
    assert_eq!(one(&json!({"name": "n", "ips": ["FD00::1/64"]})).ips[0].as_str(), "FD00::1/64");
}

// Proves: F-INP-4
#[test]
fn a_pod_is_not_its_own_gateway() {
    refused(
        r#"[{"name":"a","ips":["10.0.0.1/24"],"default-route":["10.0.0.1"]}]"#,
        &["`default-route`", "own gateway"],
    );
}

// Proves: NPWG-4.1.2.1.4-1, MLT-DLG-4, NPWG-X-7
#[test]
fn mac_has_six_bytes() {
    accepted_key("mac", json!("02:23:45:67:89:01"));
    for value in [
        json!("02:23:45:67:89:01:02:03"),
        json!("01:00:00:00:00:00"),
        json!("00:00:00:00:00:00"),
        json!(" "),
        json!(1),
    ] {
        refused_key("mac", value);
    }
}

// Proves: NPWG-4.1.2.1.5-1, F-INP-3
#[test]
fn interface_is_a_name_that_the_kernel_takes() {
    for value in ["a", "net1", "exactly15bytes_", "eth0.5", "é-net"] {
        accepted_key("interface", json!(value));
    }
    for value in [" ", ".", "..", "a/b", "a:b", "a b", "sixteen_bytes_xx", "ééééééééx", "a\tb", "a\0b", "a\n"]
    {
        refused_key("interface", json!(value));
    }
}

// Proves: MLT-DLG-5, NPWG-X-7
#[test]
fn the_old_interface_key_counts_when_the_new_one_is_absent() {
    let name = |keys| one(&keys).interface.unwrap().to_string();
    assert_eq!(name(json!({"name": "n", "interfaceRequest": "a0"})), "a0");
    assert_eq!(name(json!({"name": "n", "interfaceRequest": "a0", "interface": "b0"})), "b0");
}

// Proves: NPWG-4.1.2.1.5-3, P-COR-8
#[test]
fn two_elements_cannot_ask_for_one_interface() {
    refused("a@x,b@x", &["element 2", "`interface`", "element 1"]);
    refused(
        r#"[{"name":"a","interface":"x"},{"name":"b"},{"name":"c","interface":"x"}]"#,
        &["element 3", "element 1"],
    );
}

// Proves: NPWG-4.1.2.1.6-1
#[test]
fn cni_args_is_a_map_and_keeps_its_bytes() {
    let raw = r#"[{"name":"n","cni-args":{"big":12345678901234567890123,"nested":{"a":[null,1e999]}}}]"#;
    // `1e999` is a number too; nothing here has to hold it, so it stays the text it is.
    let text = raw.replace("1e999", "1.50");
    assert_eq!(
        read(&text)[0].cni_args.as_ref().unwrap().to_vec(),
        br#"{"big":12345678901234567890123,"nested":{"a":[null,1.50]}}"#
    );
    for value in [json!([]), json!("a"), json!(1)] {
        refused_key("cni-args", value);
    }
}

// Proves: NPWG-4.1.2.1.7-1, NPWG-4.1.2.1.7-6, MLT-DLG-5
#[test]
fn ports_are_whole_numbers_with_a_known_protocol() {
    let with = |host: Value, container: Value| json!([{"hostPort": host, "containerPort": container}]);
    accepted_key("portMappings", with(json!(1), json!(65535)));
    for (host, container) in [(0, 1), (1, 0), (65536, 1), (1, 65536), (-1, 1)] {
        refused_key("portMappings", with(json!(host), json!(container)));
    }
    refused_key("portMappings", json!([{}]));
    refused_key("portMappings", json!([{"hostPort": 1}]));
    refused_key("portMappings", json!([{"containerPort": 1}]));
    refused_key("portMappings", with(json!("80"), json!(80)));
    refused_key("portMappings", with(json!(1.5), json!(80)));
    refused_key("portMappings", json!([{"hostPort": 1, "containerPort": 1, "protocol": "icmp"}]));
    refused_key("portMappings", json!([{"hostPort": 1, "containerPort": 1, "hostIP": "x"}]));
    refused_key(
        "portMappings",
        json!([{"hostPort": 1, "containerPort": 1}, {"hostPort": 1, "containerPort": 2, "protocol": "tcp"}]),
    );
    let ports = json!([{"hostPort": 80, "containerPort": 8080, "protocol": "Sctp", "hostIP": "10.0.0.1"}]);
    let read = one(&json!({"name": "n", "portMappings": ports}));
    assert_eq!(
        serde_json::to_value(&read.port_mappings).unwrap(),
        json!([{"hostPort": 80, "containerPort": 8080, "protocol": "sctp", "hostIP": "10.0.0.1"}])
    );
    let plain = one(&json!({"name": "n", "portMappings": [{"hostPort": 80, "containerPort": 80}]}));
    assert_eq!(plain.port_mappings[0].protocol, Protocol::Tcp);
}

// Shows part of: NPWG-4.1.2.1.7-1
#[test]
fn a_key_of_a_mapping_in_another_case_is_not_lost() {
    // A port would be open on every address instead of one.
    let mapping = json!({"hostPort": 80, "containerPort": 80, "hostIp": "10.0.0.1"});
    let read = reading(&json!([{"name": "n", "portMappings": [mapping]}]).to_string());
    assert!(read.selections[0].port_mappings[0].host_ip.is_some() && read.oddities.is_empty());
}

// Proves: NPWG-4.1.2.1.8-1, NPWG-4.1.2.1.8-2
#[test]
fn bandwidth_is_more_than_zero_and_a_burst_has_its_rate() {
    accepted_key("bandwidth", json!({"ingressRate": 1}));
    accepted_key(
        "bandwidth",
        json!({"ingressRate": 1, "ingressBurst": 2, "egressRate": 3, "egressBurst": 4}),
    );
    for value in [
        json!({"ingressRate": 0, "ingressBurst": 1}),
        json!({"egressRate": -1}),
        json!({"ingressBurst": 1}),
        json!({"ingressRate": 1, "egressBurst": 1}),
        json!({"ingressRate": "1"}),
        json!([]),
        json!({"ingressRate": 1.5}),
    ] {
        refused_key("bandwidth", value);
    }
}

// Proves: NPWG-4.1.2.1.9-1
#[test]
fn default_route_is_a_list_of_gateways_that_may_be_empty() {
    assert_eq!(one(&json!({"name": "n", "default-route": []})).default_route, Some(Vec::new()));
    assert_eq!(one(&json!({"name": "n"})).default_route, None);
    assert_eq!(
        one(&json!({"name": "n", "default-route": ["10.0.0.1"]})).default_route,
        Some(vec!["10.0.0.1".parse::<IpAddr>().unwrap()])
    );
    for value in [
        json!(["10.0.0.1/24"]),
        json!(["x"]),
        json!("10.0.0.1"),
        json!(["0.0.0.0"]),
        json!(["::ffff:10.0.0.1"]),
    ] {
        refused_key("default-route", value);
    }
}

// Proves: NPWG-4.1.2.1.10-1
#[test]
fn guid_has_eight_bytes() {
    accepted_key("infiniband-guid", json!("c2:11:22:33:44:55:66:77"));
    refused_key("infiniband-guid", json!("c2:11:22:33:44:55"));
}

// Proves: NPWG-4.1.2.1.11-1, NPWG-4.1.2.1.11-2, NPWG-8.3-1, MLT-DEP-3
#[test]
fn a_claim_and_addresses_exclude_each_other() {
    accepted_key("ipam-claim-reference", json!("vm-a.net.pod"));
    refused_key("ipam-claim-reference", json!("../x"));
    refused(
        r#"[{"name":"n","ips":["10.0.0.1"],"ipam-claim-reference":"a"}]"#,
        &["element 1", "`ipam-claim-reference`", "`ips`"],
    );
}

// Proves: MLT-DLG-5
#[test]
fn a_device_id_is_read() {
    assert_eq!(
        one(&json!({"name": "n", "deviceID": "0000:03:02.3"})).device_id.unwrap().as_str(),
        "0000:03:02.3"
    );
    refused_key("deviceID", json!("../../x"));
}

// Proves: F-INP-1
#[test]
fn size_and_number_are_bounded() {
    let names = vec!["a"; 1000].join(",");
    refused(&names, &["1000 networks", "32"]);
    refused(&json!(vec![json!({"name": "a"}); 33]).to_string(), &["33 networks", "32"]);
    assert_eq!(read(&vec!["a"; 32].join(",")).len(), 32);
    refused(&format!("[{}]", " ".repeat(70_000)), &["bytes"]);
    let few = Limits { networks: 1, ..Limits::default() };
    assert!(parse("a,b", &home(), few).is_err());
}

// Proves: MLT-DLG-2
#[test]
fn the_default_network_is_one_in_either_form() {
    let parse_one = |text| parse_one(text, &home(), Limits::default());
    let name = |text| parse_one(text).unwrap().selections.pop().map(|s| s.network.to_string());
    assert_eq!(name(""), None);
    assert_eq!(name("a").as_deref(), Some("shop/a"));
    assert_eq!(name(r#"[{"name":"a","namespace":"b"}]"#).as_deref(), Some("b/a"));
    assert!(parse_one("a,b").unwrap_err().to_string().contains("2 networks"));
    // As OVN-Kubernetes has it.
    let both = r#"[{"name":"a","ips":["10.0.0.1"],"ipam-claim-reference":"vm-a"}]"#;
    assert!(parse_one(both).is_ok());
}

fn any_selection() -> impl Strategy<Value = Value> {
    let label = "[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?";
    let host = any::<[u8; 3]>().prop_map(|[a, b, c]| format!("10.{a}.{b}.{c}"));
    (
        label,
        proptest::option::of(label),
        proptest::option::of(host),
        proptest::option::of(any::<[u8; 5]>()),
        proptest::option::of((1u16.., 1u16.., prop_oneof!["tcp", "UDP", "sctp"])),
        proptest::option::of((1i64.., 1i64..)),
        proptest::option::of(proptest::collection::vec(any::<[u8; 2]>(), 0..2)),
        proptest::option::of(proptest::collection::btree_map("[a-z]{1,4}", any::<i32>(), 0..3)),
    )
        .prop_map(|(name, namespace, ip, mac, port, rate, route, args)| {
            let mut keys = json!({"name": name});
            let mut set = |key: &str, value: Option<Value>| {
                if let Some(value) = value {
                    keys[key] = value;
                }
            };
            set("namespace", namespace.map(Value::from));
            set("ips", ip.map(|i| json!([i])));
            set(
                "mac",
                mac.map(|m| {
                    json!(format!("02:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", m[0], m[1], m[2], m[3], m[4]))
                }),
            );
            set(
                "portMappings",
                port.map(|(h, c, p)| json!([{"hostPort": h, "containerPort": c, "protocol": p}])),
            );
            set("bandwidth", rate.map(|(r, b)| json!({"egressRate": r, "egressBurst": b})));
            set("default-route", route.map(|r| r.iter().map(|[a, b]| format!("192.168.{a}.{b}")).collect()));
            set("cni-args", args.map(|a| json!(a)));
            keys
        })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(elements in proptest::collection::vec(any_selection(), 0..5)) {
        let first = to_json(&read(&json!(elements).to_string()));
        prop_assert_eq!(to_json(&read(&first)), first);
    }

    // Proves: S-8, F-INP-5
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = parse(&text, &home(), Limits::default());
    }

    #[test]
    fn no_odd_json_panics(key in proptest::sample::select(element::KEYS.to_vec()), value in "[\\[\\]{}\",:.0-9a-z]{0,40}") {
        let _ = parse(&format!(r#"[{{"name":"a","{key}":{value}}}]"#), &home(), Limits::default());
    }

    #[test]
    fn no_name_panics(text in "[a-z0-9@/, .\\-é]{0,60}") {
        let _ = parse(&text, &home(), Limits::default());
    }
}
