//! A pod judged before it has a node says what its node would say, or nothing.

use manifold_crds::Nad;

use super::support::*;
use crate::judge::{Judged, judge};
use crate::want;

/// Refused by the plan, and by the judgement in the same words.
#[track_caller]
fn both_refuse(bed: &Bed) {
    let by_node = bed.result().unwrap_err();
    let refused = judge(&bed.pod, &bed.policy, &bed.found).unwrap_err();
    assert_eq!(refused.refusal, by_node);
}

/// A network that gives no pod what it asks for.
const DEAF: &str = r#"{"type":"ptp","ipam":{"type":"dhcp"}}"#;

#[track_caller]
fn passes(bed: &Bed) -> Judged {
    judge(&bed.pod, &bed.policy, &bed.found).unwrap()
}

// Proves: P-COR-8
#[test]
fn the_sentence_is_the_nodes() {
    for networks in ["a,,b", "other/n", "a@eth0", "a@lo"] {
        both_refuse(&Bed::asking(networks));
    }
    both_refuse(&Bed::asking(r#"[{"name":"a","ips":["10.0.0.1"]}]"#).nad("shop", "a", DEAF));
    both_refuse(&Bed::asking("bad").nad("shop", "bad", "{"));
    both_refuse(&Bed::asking("a").with(|bed| bed.nad_mut("a").terminating_since = Some("now".into())));
    both_refuse(&Bed::asking("a").default_annotation("other/n"));
}

#[test]
fn who_decided_is_told() {
    let bed = Bed::asking("a,bad").nad("shop", "bad", "{");
    let refused = judge(&bed.pod, &bed.policy, &bed.found).unwrap_err();
    assert_eq!(refused.decided_by.unwrap().to_string(), "shop/bad");
    let bed = Bed::asking("a@eth0");
    assert!(judge(&bed.pod, &bed.policy, &bed.found).unwrap_err().decided_by.is_none());
}

#[test]
fn a_definition_that_does_not_exist_is_told_apart() {
    let bed = Bed::asking("a,none");
    let judged = passes(&bed);
    let (reference, refusal) = &judged.missing[0];
    assert_eq!((reference.to_string().as_str(), judged.missing.len()), ("shop/none", 1));
    assert_eq!(*refusal, bed.result().unwrap_err());
    // What else is wrong still counts.
    both_refuse(&Bed::asking("bad,none").nad("shop", "bad", "{"));
}

#[test]
fn what_only_the_node_can_see_passes() {
    let on_disk = |networks: &str| {
        let mut bed = Bed::asking(networks);
        for wanted in want(&bed.pod, &bed.policy).unwrap().references() {
            bed.found.nads.insert(wanted.clone(), Nad::new(wanted, None));
        }
        bed
    };
    assert!(passes(&on_disk(r#"[{"name":"a","ips":["10.0.0.1"]}]"#)).missing.is_empty());
    // The default network may be on the node's disk only.
    assert!(
        passes(&Bed::asking("a").with(|bed| bed.found.nads.retain(|r, _| r.name.as_str() == "a")))
            .missing
            .is_empty()
    );
    // Devices are the kubelet's to give.
    let with_device = Bed::asking("a,a").with(|bed| {
        bed.nad_mut("a")
            .annotations
            .insert("k8s.v1.cni.cncf.io/resourceName".into(), "vendor.example/vf".into());
    });
    passes(&with_device);
}

#[test]
fn a_definition_on_the_node_that_is_being_deleted_is_refused() {
    both_refuse(&Bed::asking("a").with(|bed| {
        let nad = bed.nad_mut("a");
        nad.config = None;
        nad.terminating_since = Some("now".into());
    }));
}

#[test]
fn dropped_requests_are_told() {
    let bed = Bed::asking(r#"[{"name":"a","mac":"02:00:00:00:00:01"}]"#)
        .nad("shop", "a", DEAF)
        .with(|bed| bed.policy.compat.drop_unsupported_requests = true);
    assert!(passes(&bed).dropped[0].contains("`mac`"));
}
