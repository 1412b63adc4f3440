//! DEL, whatever is left of the attachment by then; and GC.

use manifold_cni::CniResult;
use serde_json::{Value, json};

use crate::bed::{Bed, Pod, runs, same, with, with_result};

/// One configuration of each plugin, with all that it can leave behind.
fn configurations(bed: &Bed) -> Vec<Value> {
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
    let conf = |plugin: &str, name: &str, subnet: &str, further: Value| {
        let conf =
            json!({"cniVersion": "1.1.0", "name": name, "type": plugin, "ipam": bed.host_local(subnet)});
        with(&conf, further)
    };
    vec![
        conf(
            "bridge",
            "blue",
            "10.1.0.0/24",
            json!({"bridge": "br0", "isGateway": true, "ipMasq": true, "macspoofchk": true}),
        ),
        conf("ptp", "red", "10.2.0.0/24", json!({"ipMasq": true})),
        conf("macvlan", "green", "10.3.0.0/24", json!({"master": "up0"})),
        conf("tap", "grey", "10.4.0.0/24", json!({})),
    ]
}

/// The same for the types that many kernels lack.
fn rare(bed: &Bed) -> Vec<Value> {
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
    let ipam = |subnet: &str| bed.host_local(subnet);
    vec![
        json!({"cniVersion": "1.1.0", "name": "cyan", "type": "ipvlan", "master": "up0", "ipam": ipam("10.5.0.0/24")}),
        json!({"cniVersion": "1.1.0", "name": "pink", "type": "dummy", "ipam": ipam("10.6.0.0/24")}),
    ]
}

/// And for `vlan`, of which a master has each only once.
fn rarest(bed: &Bed) -> Vec<Value> {
    let ipam = bed.host_local("10.7.0.0/24");
    let vlan = json!({"cniVersion": "1.1.0", "name": "gold", "type": "vlan", "master": "up0", "vlanId": 5, "ipam": ipam});
    rare(bed).into_iter().chain([vlan]).collect()
}

type Configurations = fn(&Bed) -> Vec<Value>;

/// The bridge, tables and settings are there after a first attachment has come and gone.
fn warm(bed: &Bed, conf: &Value) {
    let pod = bed.pod("warm");
    bed.add(conf, &pod).unwrap();
    bed.del(conf, &pod).unwrap();
}

type Removal = fn(&Bed, &Value, &Pod, &CniResult);

fn everything_goes(make: Configurations, how: Removal) {
    let bed = Bed::new();
    for conf in make(&bed) {
        warm(&bed, &conf);
        let before = bed.state();
        let pod = bed.pod("a");
        let result = bed.add(&conf, &pod).unwrap();
        assert_ne!(bed.state(), before, "{conf}");
        how(&bed, &conf, &pod, &result);
        if !["bridge", "ptp"].contains(&conf["type"].as_str().unwrap()) {
            // A link without an end in the host goes with its namespace.
            drop(pod);
        }
        bed.becomes(&conf.to_string(), &before);
    }
}

// Proves: PLG-COM-16, PLG-COM-17, PLG-BRIDGE-22, PLG-PTP-6
#[test]
fn del_takes_everything_back_and_a_second_one_succeeds() {
    del_takes_everything_back_and_a_second_one_succeeds_for(configurations);
}

fn del_takes_everything_back_and_a_second_one_succeeds_for(make: Configurations) {
    everything_goes(make, |bed, conf, pod, _| {
        let inside = bed.pod("fresh").state();
        bed.del(conf, pod).unwrap();
        same("pod", &inside, &pod.state());
        bed.del(conf, pod).unwrap();
    });
}

// Proves: PLG-COM-17
#[test]
fn del_without_add_succeeds() {
    del_without_add_succeeds_for(configurations);
}

fn del_without_add_succeeds_for(make: Configurations) {
    let bed = Bed::new();
    for conf in make(&bed) {
        let pod = bed.pod("a");
        bed.del(&conf, &pod).unwrap();
        bed.del_at(&conf, &pod.without_netns(None)).unwrap();
        bed.del_at(&conf, &pod.without_netns(Some("/run/netns/never"))).unwrap();
    }
}

// Proves: PLG-COM-3, PLG-COM-17, PLG-BRIDGE-22, P-DEL-4
#[test]
fn del_takes_everything_back_when_the_namespace_is_gone() {
    del_takes_everything_back_when_the_namespace_is_gone_for(configurations);
}

fn del_takes_everything_back_when_the_namespace_is_gone_for(make: Configurations) {
    for path in [None, Some(""), Some("/run/netns/gone")] {
        let bed = Bed::new();
        for conf in make(&bed) {
            warm(&bed, &conf);
            let before = bed.state();
            let pod = bed.pod("a");
            bed.add(&conf, &pod).unwrap();
            let at = pod.without_netns(path);
            drop(pod);
            bed.del_at(&conf, &at).unwrap();
            bed.becomes(&format!("{path:?} {conf}"), &before);
        }
    }
}

// Proves: PLG-COM-17
#[test]
fn del_without_the_namespace_ends_a_pair_that_still_lives() {
    del_without_the_namespace_ends_a_pair_that_still_lives_for(configurations);
}

fn del_without_the_namespace_ends_a_pair_that_still_lives_for(make: Configurations) {
    everything_goes(make, |bed, conf, pod, result| {
        bed.del_at(&with_result(conf, result), &pod.without_netns(None)).unwrap();
    });
}

// Proves: F-POD-8
#[test]
fn del_leaves_another_pod_alone_whose_namespace_has_taken_the_path() {
    del_leaves_another_pod_alone_whose_namespace_has_taken_the_path_for(configurations);
}

fn del_leaves_another_pod_alone_whose_namespace_has_taken_the_path_for(make: Configurations) {
    let bed = Bed::new();
    for conf in make(&bed) {
        let (old, other) = (bed.pod("old"), bed.pod("other"));
        let result = bed.add(&conf, &old).unwrap();
        let theirs = bed.add(&conf, &other).unwrap();
        let mut at = old.at("eth0", "").detach();
        at.netns = Some(other.path());
        bed.del_at(&with_result(&conf, &result), &at).unwrap();
        assert!(runs(&other.netns, "ip link show eth0 up"), "{conf}");
        bed.check(&conf, &other, &theirs).unwrap();
    }
}

// Proves: PLG-COM-3
#[test]
fn del_tells_of_a_path_that_is_no_namespace_and_still_frees_the_rest() {
    del_tells_of_a_path_that_is_no_namespace_and_still_frees_the_rest_for(configurations);
}

fn del_tells_of_a_path_that_is_no_namespace_and_still_frees_the_rest_for(make: Configurations) {
    let bed = Bed::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    for conf in make(&bed) {
        let pod = bed.pod("a");
        bed.add(&conf, &pod).unwrap();
        let error = bed.del_at(&conf, &pod.without_netns(file.path().to_str())).unwrap_err();
        assert!(error.msg.contains("exists but is not a network namespace"), "{error}");
        assert_eq!(bed.lease_files(), [""; 0], "{conf}");
        let rules = bed.sh("nft list ruleset");
        assert!(!rules.contains("id: a") && !rules.contains("iface-a-"), "{rules}");
    }
}

// Proves: PLG-MACVLAN-8
#[test]
fn del_needs_no_master_and_no_configuration_that_fits() {
    del_needs_no_master_and_no_configuration_that_fits_for(configurations);
}

fn del_needs_no_master_and_no_configuration_that_fits_for(make: Configurations) {
    let bed = Bed::new();
    for conf in make(&bed) {
        let pod = bed.pod("a");
        bed.add(&conf, &pod).unwrap();
        let master = conf["master"].as_str();
        if master.is_some() {
            bed.sh("ip link set up0 name up9");
        }
        let odd = with(
            &conf,
            json!({"mtu": -7, "mode": "no-such", "vlan": 9999, "promiscMode": true, "hairpinMode": true}),
        );
        bed.del(&odd, &pod).unwrap();
        assert!(!runs(&pod.netns, "ip link show eth0"));
        assert_eq!(bed.lease_files(), [""; 0]);
        if master.is_some() {
            bed.sh("ip link set up9 name up0");
        }
    }
}

// Proves: PLG-COM-19, PLG-COM-23, PLG-BRIDGE-23
#[test]
fn gc_keeps_the_living_and_clears_the_rest_of_its_own_network_only() {
    gc_keeps_the_living_and_clears_the_rest_of_its_own_network_only_for(configurations);
}

fn gc_keeps_the_living_and_clears_the_rest_of_its_own_network_only_for(make: Configurations) {
    let bed = Bed::new();
    let configurations = make(&bed);
    for conf in &configurations {
        let neighbour = with(conf, json!({"name": format!("{}2", conf["name"].as_str().unwrap())}));
        let (alive, stale, foreign) = (bed.pod("alive"), bed.pod("stale"), bed.pod("foreign"));
        bed.add(conf, &alive).unwrap();
        let before = bed.lease_files();
        bed.add(conf, &stale).unwrap();
        let apart = match conf["type"].as_str() {
            Some("bridge") => json!({"bridge": "br2"}),
            // The links of one master share their addresses' space.
            Some("ipvlan") => json!({"ipam": bed.host_local("10.5.1.0/24")}),
            _ => json!({}),
        };
        bed.add(&with(&neighbour, apart), &foreign).unwrap();
        bed.gc(conf, &[&alive]).unwrap();
        let rules = bed.sh("nft list ruleset");
        assert!(!rules.contains("id: stale") && !rules.contains("iface-stale-"), "{rules}");
        if conf["ipMasq"] == true {
            assert!(rules.contains("id: alive") && rules.contains("id: foreign"), "{rules}");
        }
        if conf["macspoofchk"] == true {
            assert!(
                rules.contains("iface-alive-eth0-mac") && rules.contains("iface-foreign-eth0"),
                "{rules}"
            );
        }
        let leases = bed.lease_files();
        assert_eq!(leases.len(), before.len() + 1, "the living one's and the neighbour's: {leases:?}");
        for (conf, pod) in [(conf, &alive), (conf, &stale), (&neighbour, &foreign)] {
            bed.del(conf, pod).unwrap();
        }
    }
}

// Proves: PLG-COM-3, PLG-COM-16, PLG-COM-17, PLG-VLAN-8, PLG-IPVLAN-10, F-POD-8, P-DEL-4
#[test]
#[ignore = "needs a kernel with VLAN, ipvlan and dummy links: run it in the guest kernel"]
fn vlan_ipvlan_and_dummy_are_taken_back_like_the_others() {
    del_takes_everything_back_and_a_second_one_succeeds_for(rarest);
    del_without_add_succeeds_for(rarest);
    del_takes_everything_back_when_the_namespace_is_gone_for(rarest);
    del_without_the_namespace_ends_a_pair_that_still_lives_for(rarest);
    del_leaves_another_pod_alone_whose_namespace_has_taken_the_path_for(rare);
    del_tells_of_a_path_that_is_no_namespace_and_still_frees_the_rest_for(rarest);
    del_needs_no_master_and_no_configuration_that_fits_for(rarest);
    gc_keeps_the_living_and_clears_the_rest_of_its_own_network_only_for(rare);
}
