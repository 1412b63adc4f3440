//! One allocator, many annotations.

use manifold_crds::{NadRef, keys};

use super::*;
use crate::tests::wanted;

fn allocation(ids: &[&str]) -> Allocation {
    let mut allocation = Allocation::default();
    for id in ids {
        allocation.give_plain("vendor.example/vf".parse().unwrap(), id.parse().unwrap());
    }
    allocation
}

/// Takes a device for each selection, all of definitions with the resource (or without one).
fn take_all(
    allocation: Option<&Allocation>,
    resource: bool,
    annotation: &str,
) -> Result<Vec<Option<String>>, Refusal> {
    let mut nad = Nad::new(NadRef::new("shop", "a").unwrap(), Some("{}"));
    if resource {
        nad.annotations.insert(keys::RESOURCE_NAME.into(), "vendor.example/vf".into());
    }
    let wanted = wanted(annotation);
    let selections = || wanted.attachments.iter().filter_map(|w| w.selection.as_ref());
    let asking = selections().map(|s| (Some(&nad), Some(s)));
    let mut allocator = Allocator::new(allocation, asking);
    let take = |s| {
        let taken = allocator.take(Some(&nad), Some(s)).map_err(|e| e.refusal)?;
        Ok(taken.map(|d| d.device.to_string()))
    };
    selections().map(take).collect()
}

#[track_caller]
fn takes(allocation: &Allocation, annotation: &str, expected: &[&str]) {
    let taken = take_all(Some(allocation), true, annotation).unwrap();
    assert_eq!(taken.iter().map(|d| d.as_deref().unwrap()).collect::<Vec<_>>(), expected);
}

#[track_caller]
fn refused(allocation: Option<&Allocation>, resource: bool, annotation: &str, word: &str) {
    let error = take_all(allocation, resource, annotation).unwrap_err();
    assert!(error.what.contains(word), "{error}");
    assert!(!error.fix.is_empty());
}

// Proves: S-17, P-COR-4
#[test]
fn devices_go_out_in_order_and_never_twice() {
    let two = allocation(&["0000:03:02.2", "0000:03:02.1"]);
    takes(&two, "a,a", &["0000:03:02.1", "0000:03:02.2"]);
    takes(
        &two,
        r#"[{"name":"a"},{"name":"a","deviceID":"0000:03:02.1"}]"#,
        &["0000:03:02.2", "0000:03:02.1"],
    );
    refused(Some(&two), true, "a,a,a", "given 2 devices");
    refused(
        Some(&two),
        true,
        r#"[{"name":"a","deviceID":"0000:03:02.1"},{"name":"a","deviceID":"0000:03:02.1"}]"#,
        "twice",
    );
    refused(Some(&Allocation::default()), true, "a", "no device");
}

// Proves: S-17
#[test]
fn a_device_of_another_pod_is_refused() {
    let one = allocation(&["0000:03:02.1"]);
    refused(
        Some(&one),
        true,
        r#"[{"name":"a","deviceID":"0000:03:02.7"}]"#,
        "not one that the pod was given",
    );
    refused(None, true, r#"[{"name":"a","deviceID":"0000:03:02.1"}]"#, "kubelet");
    refused(None, true, "a", "kubelet");
}

#[test]
fn a_pod_without_a_node_gets_any_device_and_none_twice() {
    let mut nad = Nad::new(NadRef::new("shop", "a").unwrap(), Some("{}"));
    nad.annotations.insert(keys::RESOURCE_NAME.into(), "vendor.example/vf".into());
    let take = |annotation: &str| {
        let wanted = wanted(annotation);
        let selections = || wanted.attachments.iter().filter_map(|w| w.selection.as_ref());
        let asking = selections().map(|s| (Some(&nad), Some(s)));
        let mut allocator = Allocator::of_any_device(asking);
        let take = |s| {
            let taken = allocator.take(Some(&nad), Some(s)).map_err(|e| e.refusal)?;
            Ok(taken.unwrap().device.to_string())
        };
        selections().map(take).collect::<Result<Vec<_>, Refusal>>()
    };
    assert_eq!(take("a,a").unwrap(), ["0000:00:00.0", "0000:00:00.1"]);
    let asked = r#"[{"name":"a"},{"name":"a","deviceID":"0000:00:00.0"}]"#;
    assert_eq!(take(asked).unwrap(), ["0000:00:00.1", "0000:00:00.0"]);
    let twice = r#"[{"name":"a","deviceID":"x"},{"name":"a","deviceID":"x"}]"#;
    assert!(take(twice).unwrap_err().what.contains("twice"));
}

// Proves: MLT-DLG-5
#[test]
fn without_a_resource_the_device_is_the_one_named() {
    let taken = take_all(None, false, r#"[{"name":"a","deviceID":"0000:03:02.1"},{"name":"a"}]"#).unwrap();
    assert_eq!(taken, [Some("0000:03:02.1".to_owned()), None]);
}

/// Two definitions of different resources.
fn two_resources(annotation: &str) -> Result<Vec<String>, Refusal> {
    let mut given = Allocation::default();
    for (resource, id) in [("v.example/x", "dev-0"), ("v.example/x", "dev-1"), ("v.example/y", "dev-0")] {
        given.give_plain(resource.parse().unwrap(), id.parse().unwrap());
    }
    let nad = |name: &str, resource: &str| {
        let mut nad = Nad::new(NadRef::new("shop", name).unwrap(), Some("{}"));
        nad.annotations.insert(keys::RESOURCE_NAME.into(), resource.into());
        nad
    };
    let nads = [nad("a", "v.example/x"), nad("b", "v.example/y")];
    let wanted = wanted(annotation);
    let selections = || wanted.attachments.iter().filter_map(|w| w.selection.as_ref());
    let of = |s: &Selection| nads.iter().find(|nad| nad.reference.name == s.network.name);
    let mut allocator = Allocator::new(Some(&given), selections().map(|s| (of(s), Some(s))));
    let take = |s| {
        let taken = allocator.take(of(s), Some(s)).map_err(|e| e.refusal)?;
        Ok(taken.unwrap().device.to_string())
    };
    selections().map(take).collect()
}

// Proves: S-17, MLT-DLG-10
#[test]
fn ids_of_two_resources_do_not_get_in_each_others_way() {
    assert_eq!(two_resources("a,b,a").unwrap(), ["dev-0", "dev-0", "dev-1"]);
    let named = r#"[{"name":"a"},{"name":"b"},{"name":"a","deviceID":"dev-0"}]"#;
    assert_eq!(two_resources(named).unwrap(), ["dev-1", "dev-0", "dev-0"]);
    assert!(two_resources("b,b").unwrap_err().what.contains("1 device of resource `v.example/y`"));
}

// Proves: S-17
#[test]
fn a_device_that_goes_by_two_resources_is_given_once() {
    let mut given = Allocation::default();
    let id: DeviceId = "nic-0".parse().unwrap();
    for resource in ["driver.example/nic", "my-claim"] {
        let identity = Identity::of_claimed("driver.example", "node1", "nic-0", &id);
        given.give(resource.parse().unwrap(), id.clone(), identity);
    }
    let nad = |resource: &str| {
        let mut nad = Nad::new(NadRef::new("shop", "a").unwrap(), Some("{}"));
        nad.annotations.insert(keys::RESOURCE_NAME.into(), resource.into());
        nad
    };
    let mut allocator = Allocator::new(Some(&given), std::iter::empty());
    assert_eq!(allocator.take(Some(&nad("my-claim")), None).unwrap().unwrap().device, id);
    assert!(
        allocator
            .take(Some(&nad("driver.example/nic")), None)
            .unwrap_err()
            .refusal
            .what
            .contains("need more")
    );
}

// Shows part of: COMPAT-4
#[test]
fn only_a_pod_that_named_no_device_may_do_without() {
    let mut nad = Nad::new(NadRef::new("shop", "a").unwrap(), Some("{}"));
    nad.annotations.insert(keys::RESOURCE_NAME.into(), "vendor.example/vf".into());
    let none = Allocation::default();
    let short = |allocation, annotation: &str| {
        let wanted = wanted(annotation);
        let mut allocator = Allocator::new(allocation, std::iter::empty());
        let selection = wanted.attachments.iter().find_map(|w| w.selection.as_ref());
        allocator.take(Some(&nad), selection).unwrap_err().short.map(|r| r.to_string())
    };
    for allocation in [None, Some(&none)] {
        assert_eq!(short(allocation, "a").as_deref(), Some("vendor.example/vf"));
        assert_eq!(short(allocation, r#"[{"name":"a","deviceID":"0000:03:02.1"}]"#), None);
    }
}
