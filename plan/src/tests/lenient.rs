//! What is passed over with a warning, and what a strict node says to it.

use super::support::*;
use crate::Allocation;
use crate::judge::judge;

const RESOURCE: &str = "k8s.v1.cni.cncf.io/resourceName";

/// Attached as if the odd part were not there, with one warning of these words, from the node and from the judgement; a
/// strict node and the judgement under its policy refuse in the same words.
#[track_caller]
fn passed_over(bed: &Bed, words: &[&str]) {
    let plan = bed.plan();
    assert_eq!(plan.odd.len(), 1, "{:?}", plan.odd);
    let judged = judge(&bed.pod, &bed.policy, &bed.found).unwrap();
    assert_eq!(judged.odd.iter().map(|o| &o.what).collect::<Vec<_>>(), [&plan.odd[0].what]);
    let told = plan.odd[0].to_string();
    for word in words.iter().chain(&["pod shop/cart-7"]) {
        assert!(told.contains(word), "`{word}` is missing in: {told}");
    }
    let strict = bed.clone().with(|bed| bed.policy.strict = true);
    strict.refused(words);
    let refused = judge(&strict.pod, &strict.policy, &strict.found).unwrap_err();
    assert_eq!(refused.refusal, strict.result().unwrap_err());
}

// Proves: COMPAT-1
#[test]
fn an_unknown_key_of_an_element_is_passed_over() {
    let bed = Bed::asking(r#"[{"name":"a","gateway":["10.1.1.1"]}]"#);
    passed_over(&bed, &["annotation `k8s.v1.cni.cncf.io/networks`", "element 1 (`shop/a`), key `gateway`"]);
    assert_eq!(values(&bed.at(1)), serde_json::json!({}));
    let default = Bed::asking("").default_annotation(r#"[{"name":"cluster-wide-network","gateway":"x"}]"#);
    passed_over(&default, &["annotation `v1.multus-cni.io/default-network`", "`gateway`"]);
}

// Proves: COMPAT-2
#[test]
fn an_empty_value_asks_for_nothing() {
    // Each would need a capability that network `a` does not declare.
    for keys in
        [r#""mac":"""#, r#""ips":[]"#, r#""portMappings":[]"#, r#""bandwidth":{}"#, r#""infiniband-guid":"""#]
    {
        let bed = Bed::asking(&format!(r#"[{{"name":"a",{keys}}}]"#));
        passed_over(&bed, &["annotation `k8s.v1.cni.cncf.io/networks`", "it is empty"]);
        assert_eq!(values(&bed.at(1)), serde_json::json!({}));
    }
    let named = Bed::asking(r#"[{"name":"a","interface":""}]"#);
    passed_over(&named, &["key `interface`"]);
    assert_eq!(named.at(1).ifname.as_str(), "net1");
    let device = Bed::asking(r#"[{"name":"a","deviceID":""}]"#);
    passed_over(&device, &["key `deviceID`"]);
    assert!(device.at(1).device.is_none());
}

/// A pod with `networks`, of which `a` has a plugin of that type and names a resource; `given` are the pod's devices.
fn with_resource(networks: &str, kind: &str, given: &[&str]) -> Bed {
    let config = format!(r#"{{"cniVersion":"1.0.0","type":"{kind}"}}"#);
    Bed::asking(networks).nad("shop", "a", &config).with(|bed| {
        bed.nad_mut("a").annotations.insert(RESOURCE.into(), "vendor.example/br1".into());
        let mut allocation = Allocation::default();
        for id in given {
            allocation.give_plain("vendor.example/br1".parse().unwrap(), id.parse().unwrap());
        }
        bed.runtime.allocation = Some(allocation);
    })
}

// Proves: COMPAT-4
#[test]
fn a_network_that_needs_no_device_is_attached_without_one() {
    let bed = with_resource("a", "bridge", &[]);
    let plan = bed.plan();
    assert!(plan.attachments[1].device.is_none() && plan.attachments[1].device_info_file.is_none());
    let told = plan.odd[0].to_string();
    for word in ["network `shop/a`", "`vendor.example/br1`", "without a device", "pod shop/cart-7"] {
        assert!(told.contains(word), "{told}");
    }
    // The pod has one, and two of its networks could take it.
    let two = with_resource("a,a", "fake", &["dev-0"]).plan();
    let devices = |n: usize| two.attachments[n].device.as_ref().map(|d| d.device.to_string());
    assert_eq!((devices(1).as_deref(), devices(2)), (Some("dev-0"), None));
    assert_eq!(two.odd.len(), 1);
    // A runtime that names no pod.
    let nobody = with_resource("a", "fake", &[]).with(|bed| bed.runtime.allocation = None);
    assert_eq!(nobody.plan().odd.len(), 1);
}

// Proves: COMPAT-4
#[test]
fn a_network_that_needs_a_device_is_not_attached_without_one() {
    for kind in ["sriov", "host-device", "macvtap"] {
        with_resource("a", kind, &[]).refused(&["`shop/a`", "no device of resource `vendor.example/br1`"]);
    }
    let strict = with_resource("a", "bridge", &[]).with(|bed| bed.policy.strict = true);
    strict.refused(&["`shop/a`", "no device of resource `vendor.example/br1`"]);
    // A device that the pod named and does not have.
    with_resource(r#"[{"name":"a","deviceID":"dev-9"}]"#, "fake", &["dev-0"]).refused(&["`dev-9`"]);
}
