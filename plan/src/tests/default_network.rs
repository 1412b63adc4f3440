//! Where the default network comes from, and the pod that wants another in its place.

use manifold_cni::RawObject;
use manifold_crds::NadRef;
use serde_json::json;

use super::support::*;
use crate::{DefaultNetwork, Files, Policy, want};

fn delegates(list: &[&str]) -> Policy {
    Policy::new(DefaultNetwork::Delegates(
        list.iter().map(|raw| RawObject::parse(raw.as_bytes()).unwrap()).collect(),
    ))
}

// Proves: MLT-DLG-2, MLT-DEP-15
#[test]
fn one_network_can_take_the_default_ones_place() {
    let bed = Bed::asking("a").nad("kube-system", "d", PLAIN).left_to_pods("d", &[]);
    assert_eq!(bed.clone().default_annotation("d").at(0).display, "kube-system/d");
    let own = bed.clone().default_annotation(r#"[{"name":"b","namespace":"shop"}]"#);
    assert_eq!((own.at(0).display.as_str(), own.at(0).ifname.as_str()), ("shop/b", "eth0"));
    assert!(own.at(0).default);
    assert_eq!(bed.clone().default_annotation(" ").at(0).display, "kube-system/cluster-wide-network");
    bed.clone().default_annotation("a,b").refused(&["v1.multus-cni.io/default-network", "2 networks"]);
    bed.left_to_pods("missing", &[])
        .default_annotation("missing")
        .refused(&["`kube-system/missing`", "no such"]);
}

// Proves: MLT-EXE-2
#[test]
fn its_interface_can_have_another_name() {
    let bed =
        Bed::asking("a").nad("kube-system", "d", PLAIN).left_to_pods("d", &[]).default_annotation("d@wan0");
    let names: Vec<_> = bed.plan().attachments.iter().map(|a| a.ifname.to_string()).collect();
    assert_eq!(names, ["wan0", "net1"]);
}

/// A pod of a virtual machine as KubeVirt and OVN-Kubernetes have it, with these keys beside the claim.
fn of_a_virtual_machine(keys: &str) -> Bed {
    let ovn = r#"{"cniVersion":"0.4.0","name":"ovn-kubernetes","type":"ovn-k8s-cni-overlay"}"#;
    let element = format!(
        r#"[{{"name":"default","namespace":"ovn-kubernetes","ipam-claim-reference":"vm-a.primary-udn"{keys}}}]"#
    );
    Bed::asking("").nad("ovn-kubernetes", "default", ovn).default_annotation(&element).with(|bed| {
        bed.policy.left_to_pods.definitions.insert(NadRef::new("ovn-kubernetes", "default").unwrap());
    })
}

// Proves: NPWG-8-1
#[test]
fn a_claim_on_the_default_network_is_told_and_handed_to_no_plugin() {
    for strict in [false, true] {
        let bed = of_a_virtual_machine("").with(|bed| bed.policy.strict = strict);
        let plan = bed.plan();
        let [odd] = plan.odd.as_slice() else { panic!("{:?}", plan.odd) };
        assert!(odd.to_string().contains("`ipam-claim-reference` `vm-a.primary-udn`"), "{odd}");
        assert!(odd.fix.contains("OVN-Kubernetes"), "{odd}");
        let planned = &plan.attachments[0];
        assert_eq!((planned.display.as_str(), values(planned)), ("ovn-kubernetes/default", json!({})));
        let handed = format!("{}{:?}", planned.args, planned.list.plugins);
        assert!(!handed.contains("vm-a.primary-udn"), "{handed}");
    }
    // Of a further network nobody need be told.
    let plan = Bed::asking(r#"[{"name":"a","ipam-claim-reference":"c"}]"#).plan();
    assert_eq!((plan.attachments.len(), plan.odd.len()), (2, 0));
}

// Proves: NPWG-8-1, S-22
#[test]
fn beside_a_claim_a_pod_may_ask_no_more_of_the_default_network_than_without() {
    let keys = [
        ("ips", r#","ips":["10.244.0.9/24"]"#),
        ("mac", r#","mac":"02:00:00:00:00:01""#),
        ("portMappings", r#","portMappings":[{"hostPort":443,"containerPort":8443}]"#),
    ];
    for (key, text) in keys {
        let bed = of_a_virtual_machine(text);
        bed.refused(&[&format!("`{key}`"), "container runtime"]);
        let dropped = bed.with(|bed| bed.policy.compat.drop_unsupported_requests = true);
        assert_eq!(values(&dropped.at(0)), json!({}));
    }
    let infra = of_a_virtual_machine("").with(|bed| bed.policy.left_to_pods.definitions.clear());
    infra.refused(&["`ovn-kubernetes/default`", "may not use networks of namespace"]);
}

// Proves: MLT-CFG-2, NPWG-6-2
#[test]
fn delegates_of_the_entry_are_the_default_and_everyones_networks() {
    let bed = Bed::asking("a").with(|bed| {
        bed.policy = delegates(&[
            r#"{"name":"one","type":"fake","big":12345678901234567890}"#,
            r#"{"name":"two","plugins":[{"type":"fake"}]}"#,
        ]);
    });
    let plan = bed.plan();
    let seen: Vec<_> = plan.attachments.iter().map(|a| (a.display.as_str(), a.ifname.as_str())).collect();
    assert_eq!(seen, [("one", "eth0"), ("two", "net1"), ("shop/a", "net2")]);
    assert!(plan.attachments[0].nad.is_none());
    assert_eq!(plan.attachments[0].list.plugins[0].raw.get("big").unwrap().get(), "12345678901234567890");
    let replaced = bed.default_annotation(r#"[{"name":"b","namespace":"shop"}]"#).plan();
    assert_eq!(replaced.attachments[0].display, "shop/b");
    assert_eq!(replaced.attachments[1].display, "two");
    Bed::asking("").with(|bed| bed.policy = delegates(&[])).refused(&["`delegates`"]);
    Bed::asking("").with(|bed| bed.policy = delegates(&[r#"{"type":"fake"}"#])).refused(&["`name`"]);
}

fn conf_dir(files: &[(&str, &str)]) -> Files {
    Files::new(files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect())
}

// Proves: MLT-DLG-1, MLT-CFG-7, NPWG-6-2
#[test]
fn a_name_is_a_definition_then_a_configuration_of_the_node() {
    let named = |name: &str| {
        let name = name.to_owned();
        Bed::asking("").with(move |bed| {
            bed.policy = Policy::new(DefaultNetwork::Cluster(name.parse().unwrap()));
            bed.found.conf_dir = conf_dir(&[
                ("10-x.conflist", r#"{"name":"cluster-wide-network","plugins":[{"type":"disk"}]}"#),
                ("20-y.conf", r#"{"name":"cbr0_x.Y","type":"disk"}"#),
            ]);
        })
    };
    assert_eq!(named("cluster-wide-network").at(0).list.plugins[0].kind.as_str(), "fake");
    let on_disk = named("cbr0_x.Y");
    assert_eq!((on_disk.at(0).display.as_str(), on_disk.at(0).nad), ("cbr0_x.Y", None));
    assert!(want(&on_disk.pod, &on_disk.policy).unwrap().references().is_empty());
    named("nowhere").refused(&["`kube-system/nowhere`", "on the node", "`nowhere`"]);
    let elsewhere =
        named("cluster-wide-network").with(|bed| bed.policy.multus_namespace = "nets".parse().unwrap());
    assert_eq!(elsewhere.at(0).list.plugins[0].kind.as_str(), "disk");
}

// Proves: MLT-DLG-1
#[test]
fn a_path_is_a_file_or_the_first_configuration_of_a_folder() {
    let at = |files: Files| {
        Bed::asking("").with(move |bed| {
            bed.policy = Policy::new(DefaultNetwork::Cluster("/etc/cni/nets".parse().unwrap()));
            bed.found.paths.insert("/etc/cni/nets".into(), files);
        })
    };
    let folder = at(conf_dir(&[
        ("30-c.conflist", r#"{"name":"third","plugins":[{"type":"fake"}]}"#),
        ("10-a.txt", "not ours"),
        ("20-b.conf", r#"{"name":"second","type":"fake"}"#),
    ]));
    assert_eq!(folder.at(0).display, "second");
    let wanted = want(&folder.pod, &folder.policy).unwrap();
    assert_eq!(wanted.paths(), [std::path::Path::new("/etc/cni/nets")]);
    assert!(!wanted.needs_conf_dir(&folder.found));
    at(Files::default()).refused(&["`/etc/cni/nets`", "no network configuration"]);
    at(conf_dir(&[("a.conf", r#"{"name":"x"}"#)])).refused(&["no plugin"]);
    // A file that the value names itself counts without a known ending.
    assert_eq!(at(conf_dir(&[("nets", r#"{"name":"itself","type":"fake"}"#)])).at(0).display, "itself");
    let mut nothing = at(Files::default());
    nothing.found.paths.clear();
    nothing.refused(&["`/etc/cni/nets`"]);
}

// Proves: MLT-DLG-1
#[test]
fn a_list_on_disk_has_the_plugins_of_its_folder() {
    let mut files = conf_dir(&[("a.conflist", r#"{"name":"x","plugins":[{"type":"one"}]}"#)]);
    assert_eq!(files.with_folders(), ["x"]);
    files.beside.insert("x".into(), vec![("b.conf".into(), br#"{"type":"two"}"#.to_vec())]);
    let bed = Bed::asking("").with(|bed| {
        bed.policy = Policy::new(DefaultNetwork::Cluster("/nets".parse().unwrap()));
        bed.found.paths.insert("/nets".into(), files);
    });
    let planned = bed.at(0);
    let kinds: Vec<_> = planned.list.plugins.iter().map(|p| p.kind.as_str()).collect();
    assert_eq!(kinds, ["one", "two"]);
}

// Proves: P-UP-4
#[test]
fn the_default_network_is_never_ourselves() {
    let own = r#"{"name":"x","plugins":[{"type":"fake"},{"type":"manifold"}]}"#;
    Bed::asking("").nad("kube-system", "cluster-wide-network", own).refused(&["`manifold`", "call itself"]);
    Bed::asking("").with(|bed| bed.policy = delegates(&[own])).refused(&["`manifold`"]);
    let on_disk = Bed::asking("").with(|bed| {
        bed.policy = Policy::new(DefaultNetwork::Cluster("/nets".parse().unwrap()));
        bed.found.paths.insert("/nets".into(), conf_dir(&[("00-manifold.conflist", own)]));
    });
    on_disk.refused(&["`manifold`"]);
    let mut beside = conf_dir(&[("a.conflist", r#"{"name":"x","plugins":[{"type":"one"}]}"#)]);
    beside.beside.insert("x".into(), vec![("b.conf".into(), br#"{"type":"manifold"}"#.to_vec())]);
    on_disk.with(|bed| drop(bed.found.paths.insert("/nets".into(), beside))).refused(&["`manifold`"]);
}
