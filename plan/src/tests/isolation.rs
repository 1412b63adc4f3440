//! Who may use whose networks: one answer for both annotations and for the node's own networks.

use super::support::*;
use crate::{Isolation, want};

#[derive(Clone, Copy, Debug)]
enum Way {
    Networks,
    DefaultAnnotation,
    DefaultNetworks,
}

/// Whether a pod of `shop` gets network `n` of `namespace` by this way. Where it may, the network exists.
#[track_caller]
fn check(way: Way, namespace: &str, allowed: bool) {
    let reference = format!("{namespace}/n");
    let bed = match way {
        Way::Networks => Bed::asking(&reference),
        Way::DefaultAnnotation => Bed::asking("").default_annotation(&reference),
        Way::DefaultNetworks => Bed::asking("").with(|bed| {
            bed.policy.default_networks = vec!["n".parse().unwrap()];
        }),
    };
    let asked = want(&bed.pod, &bed.policy);
    assert_eq!(asked.is_ok(), allowed, "{way:?} {namespace}: {asked:?}");
    // Before and after the definition exists, the answer is the same to the letter.
    let there = bed.clone().nad(namespace, "n", PLAIN);
    if !allowed {
        assert_eq!(bed.result().unwrap_err(), there.result().unwrap_err());
        assert!(bed.result().unwrap_err().fix.contains("globalNamespaces"));
    } else if !matches!(way, Way::DefaultNetworks) {
        assert!(there.plan().attachments.iter().any(|a| a.display == reference));
    }
}

// Proves: S-15, P-SEC-1, MLT-DLG-8, NPWG-7.4-1, NPWG-7.4-2
#[test]
fn a_pod_uses_its_own_and_global_namespaces() {
    use Way::{DefaultAnnotation, DefaultNetworks, Networks};
    check(Networks, "shop", true);
    check(Networks, "default", true);
    check(Networks, "kube-system", false);
    check(Networks, "other", false);
    check(DefaultAnnotation, "shop", true);
    check(DefaultAnnotation, "default", true);
    check(DefaultAnnotation, "kube-system", false);
    check(DefaultAnnotation, "other", false);
    // These the administrator chose; they are looked up in one namespace, whatever the pod's is.
    for namespace in ["shop", "default", "kube-system", "other"] {
        check(DefaultNetworks, namespace, true);
    }
}

// Proves: S-15, MLT-DLG-1
#[test]
fn networks_of_the_node_are_looked_up_in_its_own_namespace_only() {
    let bed = Bed::asking("").with(|bed| bed.policy.default_networks = vec!["a".parse().unwrap()]);
    // `shop/a` exists, and is not meant.
    bed.refused(&["`kube-system/a`"]);
    let wanted = want(&bed.pod, &bed.policy).unwrap();
    let names: Vec<String> = wanted.references().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["kube-system/cluster-wide-network", "kube-system/a"]);
}

#[test]
fn the_way_out_names_each_open_namespace_once() {
    let fix = |home: &str, global: &str| {
        let mut bed = Bed::asking("other/n");
        bed.pod.namespace = home.parse().unwrap();
        bed.policy.isolation = Isolation::from_keys(true, Some(global)).unwrap();
        want(&bed.pod, &bed.policy).unwrap_err().fix
    };
    assert!(
        fix("default", "default").contains("name a network of `default`, or let"),
        "{}",
        fix("default", "default")
    );
    assert!(fix("shop", "default").contains("name a network of `shop` or `default`, or let"));
    assert!(fix("shop", "shop,default").contains("name a network of `shop` or `default`, or let"));
    assert!(fix("shop", "").contains("name a network of `shop`, or let"));
}

// Proves: MLT-DLG-8
#[test]
fn isolation_can_be_off() {
    let bed =
        Bed::asking("other/n").nad("other", "n", PLAIN).with(|bed| bed.policy.isolation = Isolation::Off);
    assert_eq!(bed.at(1).display, "other/n");
}

// Proves: S-15
#[test]
fn a_global_name_in_the_short_form_is_still_the_pods_own() {
    let bed = Bed::asking("n").nad("default", "n", PLAIN);
    bed.refused(&["`shop/n`", "no such"]);
}
