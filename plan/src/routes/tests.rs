use std::net::IpAddr;

use manifold_cni::CniResult;
use serde_json::{Value, json};

use super::*;
use crate::tests::wanted;

/// `-` keep, `x` remove, `y<n>` yield to n, or the gateway.
fn show(intent: Intent) -> String {
    match intent {
        Intent::Keep => "-".to_owned(),
        Intent::Remove => "x".to_owned(),
        Intent::YieldTo(n) => format!("y{n}"),
        Intent::Via(gateway) => gateway.to_string(),
    }
}

/// An annotation of networks `a`, of which each has this `default-route`, or none for `null`.
fn annotation(routes: &Value) -> String {
    let element = |route: &Value| match route {
        Value::Null => json!({"name": "a"}),
        route => json!({"name": "a", "default-route": route}),
    };
    Value::from(routes.as_array().unwrap().iter().map(element).collect::<Vec<_>>()).to_string()
}

fn intents(routes: &Value, pair: bool) -> Result<Vec<RouteIntent>, crate::Refusal> {
    decide(&wanted(&annotation(routes)).attachments, pair)
}

/// The intents as `v4 v6`, the default network's first.
#[track_caller]
fn check(routes: Value, expected: &[&str]) {
    let made = intents(&routes, false).unwrap();
    let shown: Vec<_> = made.iter().map(|i| format!("{} {}", show(i.v4), show(i.v6))).collect();
    assert_eq!(shown, expected, "{routes}");
}

#[track_caller]
fn refused(routes: Value, pair: bool, words: &[&str]) {
    let refusal = intents(&routes, pair).unwrap_err();
    for word in words {
        assert!(refusal.what.contains(word), "{refusal}");
    }
}

/// What is done in the pod and what the results say then, from `default-route` keys and each result's default gateways.
#[track_caller]
fn settled(
    routes: Value,
    defaults: &[&[&str]],
    changes: &[(usize, Family, Option<&str>)],
    after: &[&[&str]],
) {
    let result = |gateways: &&[&str]| {
        let of = |g: &&str| {
            if g.contains(':') {
                json!({"dst": "::/0", "gw": g})
            } else {
                json!({"dst": "0.0.0.0/0", "gw": g})
            }
        };
        let mut routes: Vec<Value> = gateways.iter().map(of).collect();
        routes.push(json!({"dst": "10.96.0.0/12", "gw": "10.0.0.1"}));
        routes.push(json!({"dst": "0.0.0.0/0", "gw": "10.0.0.1", "table": 100}));
        let ips = json!([{"address": "10.0.0.7/16"}, {"address": "fd00::7/64"}]);
        let text = json!({"ips": ips, "routes": routes}).to_string();
        CniResult::parse(text.as_bytes(), manifold_cni::Version::V1_1_0).unwrap().0
    };
    let mut results: Vec<CniResult> = defaults.iter().map(result).collect();
    let made = settle(&intents(&routes, true).unwrap(), &mut results).unwrap();
    let made: Vec<_> = made.iter().map(|c| (c.attachment, c.family, c.gateway)).collect();
    let expected: Vec<_> =
        changes.iter().map(|(n, f, g)| (*n, *f, g.map(|g| g.parse::<IpAddr>().unwrap()))).collect();
    assert_eq!(made, expected);
    for (result, after) in results.iter().zip(after) {
        let main = result.routes.iter().filter(|r| r.is_default() && r.table.is_none());
        let gateways: Vec<_> = main.filter_map(|r| r.gw).map(|g| g.to_string()).collect();
        assert_eq!(gateways, *after);
        assert!(result.routes.iter().any(|r| r.table == Some(100)), "another table is nobody's business");
        assert!(result.routes.iter().any(|r| !r.is_default()));
    }
}

use Family::{V4, V6};

// Proves: NPWG-6-3, MLT-GW-1
#[test]
fn without_the_key_nothing_changes() {
    check(json!([]), &["- -"]);
    check(json!([null, null]), &["- -", "- -", "- -"]);
    settled(json!([null]), &[&["10.0.0.1"], &[]], &[], &[&["10.0.0.1"], &[]]);
}

// Proves: NPWG-4.1.2.1.9-3, NPWG-4.1.2.1.9-4, MLT-GW-1, MLT-GW-3, P-COR-1
#[test]
fn a_gateway_takes_the_default_route_from_everybody_else() {
    check(json!([null, ["10.0.0.9"]]), &["x -", "x -", "10.0.0.9 y0"]);
    settled(
        json!([null, ["10.0.0.9"]]),
        &[&["10.0.0.1"], &["10.0.0.2"], &["10.0.0.3"]],
        &[(0, V4, None), (1, V4, None), (2, V4, Some("10.0.0.9"))],
        &[&[], &[], &["10.0.0.9"]],
    );
}

// Proves: NPWG-4.1.2.1.9-7, MLT-GW-5, MLT-GW-7, P-COR-1
#[test]
fn families_are_decided_apart() {
    settled(
        json!([["10.0.0.9"]]),
        &[&["10.0.0.1", "fe80::1"], &["10.0.0.2"]],
        &[(0, V4, None), (1, V6, None), (1, V4, Some("10.0.0.9"))],
        &[&["fe80::1"], &["10.0.0.9"]],
    );
    settled(
        json!([["10.0.0.9", "fd00::9"]]),
        &[&["10.0.0.1", "fe80::1"], &[]],
        &[(0, V4, None), (0, V6, None), (1, V4, Some("10.0.0.9")), (1, V6, Some("fd00::9"))],
        &[&[], &["10.0.0.9", "fd00::9"]],
    );
}

// Proves: NPWG-4.1.2.1.9-1, MLT-GW-4, MLT-DEP-6
#[test]
fn an_empty_list_keeps_the_networks_own_route_and_only_that() {
    check(json!([[], null]), &["y1 y1", "- -", "y1 y1"]);
    settled(
        json!([[], null]),
        &[&["10.0.0.1", "fe80::1"], &["10.0.0.2"], &["10.0.0.3"]],
        &[(0, V4, None), (2, V4, None)],
        &[&["fe80::1"], &["10.0.0.2"], &[]],
    );
    // A network without a default route takes nobody's away.
    settled(json!([[]]), &[&["10.0.0.1"], &[]], &[], &[&["10.0.0.1"], &[]]);
}

// Proves: P-COR-1
#[test]
fn a_network_asked_in_one_family_yields_in_the_other() {
    settled(
        json!([["10.0.0.9"]]),
        &[&["fe80::1"], &["fe80::2"]],
        &[(0, V4, None), (1, V6, None), (1, V4, Some("10.0.0.9"))],
        &[&["fe80::1"], &["10.0.0.9"]],
    );
    settled(
        json!([["10.0.0.9"]]),
        &[&[], &["fe80::2"]],
        &[(0, V4, None), (1, V4, Some("10.0.0.9"))],
        &[&[], &["fe80::2", "10.0.0.9"]],
    );
}

// Proves: NPWG-4.1.2.1.9-5, MLT-GW-2
#[test]
fn two_gateways_of_one_family_are_refused() {
    refused(json!([["10.0.0.1", "10.0.0.2"]]), false, &["2 IPv4 gateways", "`shop/a`"]);
    refused(json!([["fd00::1", "fd00::2", "10.0.0.1"]]), true, &["2 IPv6 gateways"]);
}

// Proves: NPWG-4.1.2.1.9-2, MLT-DEP-5, MLT-GW-2
#[test]
fn one_network_carries_the_key_unless_the_node_allows_a_pair() {
    refused(json!([["10.0.0.1"], ["fd00::1"]]), false, &["both carry"]);
    refused(json!([[], []]), false, &["both carry"]);
    refused(json!([["10.0.0.1"], []]), true, &["both carry"]);
    refused(json!([["10.0.0.1"], ["10.0.0.2"]]), true, &["both carry"]);
    refused(json!([["10.0.0.1"], ["fd00::1"], []]), true, &["both carry"]);
    let pair = intents(&json!([["10.0.0.1"], ["fd00::1"]]), true).unwrap();
    let shown: Vec<_> = pair.iter().map(|i| format!("{} {}", show(i.v4), show(i.v6))).collect();
    assert_eq!(shown, ["x x", "10.0.0.1 x", "x fd00::1"]);
}

#[test]
fn a_gateway_that_no_link_leads_to_is_refused() {
    let result =
        |raw: Value| CniResult::parse(raw.to_string().as_bytes(), manifold_cni::Version::V1_1_0).unwrap().0;
    let try_settle = |raw: Value, gateway: &str| {
        let intents = intents(&json!([[gateway]]), false).unwrap();
        settle(&intents, &mut [CniResult::default(), result(raw)]).map_err(|(place, refusal)| {
            assert_eq!(place, 1);
            refusal
        })
    };
    let refusal = try_settle(json!({"ips": [{"address": "10.1.0.7/24"}]}), "10.2.0.1").unwrap_err();
    assert!(refusal.what.contains("`10.2.0.1`") && refusal.what.contains("`10.1.0.7/24`"), "{refusal}");
    assert!(try_settle(json!({"ips": [{"address": "10.1.0.7/24"}]}), "10.1.0.1").is_ok());
    assert!(
        try_settle(
            json!({"ips": [{"address": "10.1.0.7/32"}], "routes": [{"dst": "10.1.0.1/32"}]}),
            "10.1.0.1"
        )
        .is_ok()
    );
    assert!(try_settle(json!({"ips": [{"address": "fd00::7/64"}]}), "fe80::1").is_ok());
    assert!(try_settle(json!({}), "10.1.0.1").is_ok());
}

#[test]
fn fewer_results_than_attachments_never_panic() {
    let intents = intents(&json!([[]]), false).unwrap();
    assert!(settle(&intents, &mut [CniResult::default()]).is_ok());
    assert!(settle(&intents, &mut []).is_ok());
}
