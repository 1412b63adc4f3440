//! Order, names and identity of a pod's attachments.

use super::support::*;

fn displays(bed: &Bed) -> Vec<(String, String)> {
    bed.plan().attachments.iter().map(|a| (a.display.clone(), a.ifname.to_string())).collect()
}

#[track_caller]
fn check(bed: &Bed, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    assert_eq!(displays(bed), expected);
}

const DEFAULT: (&str, &str) = ("kube-system/cluster-wide-network", "eth0");

// Proves: NPWG-5.3.1-2, NPWG-4-1, NPWG-6-1, NPWG-6.2-1, MLT-EXE-1, NPWG-4.1-1
#[test]
fn the_default_network_comes_first_and_the_others_in_their_order() {
    check(&Bed::asking(""), &[DEFAULT]);
    check(&Bed::asking("b,a,c"), &[DEFAULT, ("shop/b", "net1"), ("shop/a", "net2"), ("shop/c", "net3")]);
    let mut bed = Bed::asking("");
    bed.pod.networks = None;
    check(&bed, &[DEFAULT]);
    let plan = Bed::asking("a").plan();
    assert_eq!(plan.attachments.iter().map(|a| a.default).collect::<Vec<_>>(), [true, false]);
}

// Proves: NPWG-4.2-1, NPWG-4.2.1-1, NPWG-4.2.1-2
#[test]
fn one_network_can_be_attached_twice() {
    check(&Bed::asking("a,a"), &[DEFAULT, ("shop/a", "net1"), ("shop/a", "net2")]);
}

// Proves: NPWG-4.1-2
#[test]
fn both_annotation_forms_give_the_same_plan() {
    let long = r#"[{"name":"a"},{"name":"b","interface":"x0"}]"#;
    assert_eq!(displays(&Bed::asking("a,b@x0")), displays(&Bed::asking(long)));
}

// Proves: NPWG-4.1.2.1.5-2
#[test]
fn the_name_asked_for_is_the_interface() {
    check(&Bed::asking("a@left0"), &[DEFAULT, ("shop/a", "left0")]);
}

// Proves: NPWG-4.1.2.1.5-3, F-INP-3, P-COR-8
#[test]
fn a_name_that_is_taken_refuses_the_whole_pod() {
    Bed::asking("a@eth0").refused(&["`eth0`", "already"]);
    Bed::asking("a@x,b@x").refused(&["`x`", "element 1"]);
}

// Proves: MLT-CFG-3
#[test]
fn networks_of_everyone_stand_between_and_system_pods_are_spared() {
    let bed = Bed::asking("a").nad("kube-system", "all", PLAIN).with(|bed| {
        bed.policy.default_networks = vec!["all".parse().unwrap()];
    });
    check(&bed, &[DEFAULT, ("kube-system/all", "net1"), ("shop/a", "net2")]);
    let system = bed.nad("kube-system", "a", PLAIN).with(|bed| {
        bed.pod.namespace = "kube-system".parse().unwrap();
    });
    check(&system, &[DEFAULT, ("kube-system/a", "net1")]);
}

// Proves: MLT-EXE-5, MLT-EXE-6
#[test]
fn requests_stand_in_the_arguments_of_add_only() {
    let bed = Bed::asking(r#"[{"name":"d","mac":"02:00:00:00:00:01"}]"#).nad(
        "shop",
        "d",
        r#"{"type":"fake","capabilities":{"mac":true}}"#,
    );
    let planned = bed.at(1);
    let base = "IgnoreUnknown=true;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-7;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u-1";
    assert_eq!(planned.later_args.to_string(), base);
    assert_eq!(planned.args.to_string(), format!("{base};MAC=02:00:00:00:00:01"));
}

// Proves: P-USE-3
#[test]
fn every_plugin_type_is_told_once_with_its_first_network() {
    let bed = Bed::asking("a,d").nad("shop", "d", r#"{"plugins":[{"type":"fake"},{"type":"other"}]}"#);
    let plan = bed.plan();
    let types: Vec<_> =
        plan.plugin_types().into_iter().map(|(t, a)| (t.as_str(), a.ifname.as_str())).collect();
    assert_eq!(types, [("fake", "eth0"), ("other", "net2")]);
}

// Proves: NPWG-7.2-1
#[test]
fn one_bad_network_refuses_all() {
    Bed::asking("a,missing,b").refused(&["`shop/missing`", "no such"]);
}

// Proves: P-COR-1, MLT-GW-3
#[test]
fn the_answer_to_the_runtime_tells_the_routes_that_are_left() {
    use manifold_cni::{CniResult, Version};
    let plan = Bed::asking(r#"[{"name":"a","default-route":["10.1.0.1"]}]"#).plan();
    let result = |raw: &str| CniResult::parse(raw.as_bytes(), Version::V1_1_0).unwrap().0;
    let default = r#"{"ips":[{"address":"10.0.0.7/24"}],"routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1"},{"dst":"10.96.0.0/12"}]}"#;
    let mut results = [result(default), result(r#"{"ips":[{"address":"10.1.0.7/24"}]}"#)];
    assert_eq!(plan.settle_routes(&mut results).unwrap().len(), 2);
    assert!(results[0].routes.iter().all(|r| !r.is_default()) && results[0].routes.len() == 1);
    assert!(results[1].routes[0].is_default());
    let mut wrong = [result(default), result(r#"{"ips":[{"address":"10.2.0.7/24"}]}"#)];
    let refusal = plan.settle_routes(&mut wrong).unwrap_err();
    assert!(refusal.what.starts_with("network `shop/a`: ") && refusal.place == "interface net1", "{refusal}");
}
