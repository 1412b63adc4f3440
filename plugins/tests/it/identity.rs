//! What a pod can set is no identity: DEL knows its link and its device whatever the pod made of them.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::bed::{Bed, Pod, runs, same, with, with_result};

const MAC: &str = "02:00:00:00:00:d0";
const RECORDS: &str = "/var/lib/cni/manifold-links";

fn host_device(bed: &Bed) -> Value {
    json!({"cniVersion": "1.1.0", "name": "steel", "type": "host-device", "device": "card0",
        "ipam": bed.host_local("10.1.0.0/24")})
}

/// Namespaces that other tests ended may have left records under the same number.
fn new_bed() -> Bed {
    let bed = Bed::new();
    records(&bed).iter().for_each(|file| std::fs::remove_file(file).unwrap());
    bed
}

/// A host with the device `card0`, which leads to `wire`.
fn bed_with_card() -> Bed {
    let bed = new_bed();
    bed.sh(&format!("ip link add card0 address {MAC} type veth peer name wire; ip link set wire up"));
    bed
}

/// The files that this host's attachments have left.
fn records(bed: &Bed) -> Vec<PathBuf> {
    let host = bed.host.run(|| std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino()).unwrap();
    let mut found = Vec::new();
    for kind in ["made", "lent"] {
        let Ok(folder) = std::fs::read_dir(format!("{RECORDS}/{kind}")) else { continue };
        let paths = folder.map(|entry| entry.unwrap().path());
        found.extend(paths.filter(|path| path.to_str().unwrap().ends_with(&format!(":{host}"))));
    }
    found
}

fn index(link: &str) -> String {
    link.split(':').next().unwrap().to_owned()
}

#[track_caller]
fn card_is_home(bed: &Bed, card: &str) {
    let link = bed.sh("ip -o link show card0");
    assert_eq!(index(&link), card, "the same link: {link}");
    assert!(link.contains(MAC) && !link.contains("alias") && !link.contains(",UP"), "{link}");
    assert_eq!(records(bed), Vec::<PathBuf>::new());
}

/// What a pod that may configure its own network can do to hide the card and to put another link in its place.
const HIDE_AND_FORGE: &str = "ip link set eth0 down; ip link set eth0 name mine; ip link set mine alias eth8
    ip link set mine address 02:00:00:00:00:01; ip link add eth0 type veth peer name inside
    ip link set eth0 address 02:00:00:00:00:d0; ip link set eth0 alias eth7; ip addr add 10.1.0.2/24 dev eth0";

// Proves: COMPAT-16, COMPAT-16.2
#[test]
fn a_renamed_device_comes_home_and_a_link_in_its_place_stays_in_the_pod() {
    let bed = bed_with_card();
    let card = index(&bed.sh("ip -o link show card0"));
    for told in [true, false] {
        let pod = bed.pod("a");
        let conf = host_device(&bed);
        let result = bed.add(&conf, &pod).unwrap();
        assert_eq!(records(&bed).len(), 1);
        pod.sh(HIDE_AND_FORGE);
        let conf = if told { with_result(&conf, &result) } else { conf };
        for _ in 0..2 {
            bed.del(&conf, &pod).unwrap();
            card_is_home(&bed, &card);
            assert!(!runs(&bed.host, "ip link show eth7 || ip link show eth8"));
            assert!(runs(&pod.netns, "ip link show eth0 && ip link show inside"), "the pod's own");
            assert!(!runs(&pod.netns, "ip link show mine"));
        }
        assert_eq!(bed.lease_files(), [""; 0]);
    }
}

// Proves: COMPAT-16.4
#[test]
fn both_ends_of_a_pair_and_a_link_with_the_one_below_it_come_home_from_two_pods_in_either_order() {
    let pair = ["card0", "wire"];
    let stack = ["upper", "card0"];
    for devices in [pair, stack] {
        for first in [0, 1] {
            let bed = bed_with_card();
            bed.sh("ip link add link card0 name upper type macvlan mode bridge");
            let indexes = devices.map(|device| index(&bed.sh(&format!("ip -o link show {device}"))));
            let conf = |n: usize| with(&host_device(&bed), json!({"device": devices[n], "ipam": {}}));
            let pods = ["a", "b"].map(|id| bed.pod(id));
            let results = [0, 1].map(|n| bed.add(&conf(n), &pods[n]).unwrap());
            for n in [first, 1 - first] {
                pods[n].sh("ip link set eth0 down; ip link set eth0 name mine");
                bed.del(&with_result(&conf(n), &results[n]), &pods[n]).unwrap();
                assert!(!runs(&pods[n].netns, "ip link show mine"), "{devices:?}: {n} is still in its pod");
                let home = bed.sh(&format!("ip -o link show {}", devices[n]));
                assert_eq!(index(&home), indexes[n], "{home}");
            }
            assert_eq!(records(&bed), Vec::<PathBuf>::new());
        }
    }
}

// Proves: COMPAT-16.4, COMPAT-16.2
#[test]
fn a_link_that_a_pod_put_in_the_place_of_one_end_of_a_pair_stays() {
    let bed = bed_with_card();
    let conf = |device: &str| with(&host_device(&bed), json!({"device": device, "ipam": {}}));
    let [one, other] = ["a", "b"].map(|id| bed.pod(id));
    bed.add(&conf("card0"), &one).unwrap();
    bed.add(&conf("wire"), &other).unwrap();
    let index = index(&one.sh("ip -o link show eth0"));
    one.sh(&format!("ip link del eth0; ip link add eth0 index {index} type veth peer name inside"));
    bed.del(&conf("card0"), &one).unwrap();
    assert!(runs(&one.netns, "ip link show eth0 && ip link show inside"));
    bed.del(&conf("wire"), &other).unwrap();
    assert!(!runs(&bed.host, "ip link show card0 || ip link show wire"), "the pod ended the pair");
    assert_eq!(records(&bed), Vec::<PathBuf>::new());
}

// Proves: COMPAT-16.2
#[test]
fn a_link_of_the_pod_with_the_devices_index_and_kind_never_comes_to_the_host() {
    let bed = bed_with_card();
    let (pod, conf) = (bed.pod("a"), host_device(&bed));
    let result = bed.add(&conf, &pod).unwrap();
    let index = index(&pod.sh("ip -o link show eth0"));
    let peer = pod.sh("ip -o link show eth0 | sed -E 's/.*@if([0-9]+):.*/\\1/'");
    pod.sh(&format!(
        "ip link del eth0; ip link add eth0 index {index} address {MAC} type veth peer name inside index {peer}
         ip link set eth0 alias card0"
    ));
    for conf in [with_result(&conf, &result), conf] {
        bed.del(&conf, &pod).unwrap();
        assert!(!runs(&bed.host, "ip link show card0"), "the pod ended the card");
        assert!(runs(&pod.netns, "ip link show eth0"));
    }
    assert_eq!(records(&bed), Vec::<PathBuf>::new());
}

// Proves: COMPAT-16
#[test]
fn a_device_that_came_back_by_itself_under_any_name_is_known_by_del_and_by_the_next_add() {
    let bed = bed_with_card();
    let card = index(&bed.sh("ip -o link show card0"));
    let conf = host_device(&bed);
    // As the kernel returns hardware: under its name in the pod.
    let vanish = |pod: Pod| {
        pod.sh("ip link set eth0 down; ip link set eth0 name foo alias eth7 address 02:00:00:00:00:01");
        let out = format!("nsenter --net={} ip link set foo netns $$", pod.path().display());
        bed.sh(&out);
        pod.without_netns(None)
    };
    let gone = vanish(with_card(&bed, &conf, "gone"));
    assert!(runs(&bed.host, "ip link show foo"));
    bed.del_at(&conf, &gone).unwrap();
    card_is_home(&bed, &card);
    for selector in [json!({}), json!({"device": null, "hwaddr": MAC})] {
        let conf = with(&conf, selector);
        let lost = vanish(with_card(&bed, &conf, "lost"));
        let next = with_card(&bed, &conf, "next");
        // The late DEL of the one that vanished leaves the next one's device alone.
        bed.del_at(&conf, &lost).unwrap();
        assert!(runs(&next.netns, "ip link show eth0"));
        bed.del(&conf, &next).unwrap();
        card_is_home(&bed, &card);
    }
    let stale = vanish(with_card(&bed, &conf, "stale"));
    bed.gc(&conf, &[]).unwrap();
    card_is_home(&bed, &card);
    bed.del_at(&conf, &stale).unwrap();
}

fn with_card(bed: &Bed, conf: &Value, id: &str) -> Pod {
    let pod = bed.pod(id);
    bed.add(conf, &pod).unwrap();
    pod
}

// Proves: COMPAT-16
#[test]
fn an_attachment_that_still_has_its_device_under_another_name_gets_no_second_one() {
    let bed = bed_with_card();
    let (pod, conf) = (bed.pod("a"), host_device(&bed));
    bed.add(&conf, &pod).unwrap();
    pod.sh("ip link set eth0 down; ip link set eth0 name mine");
    bed.sh("ip link add other0 type veth peer name x");
    let error = bed.add(&with(&conf, json!({"device": "other0", "ipam": {}})), &pod).unwrap_err();
    assert!(error.msg.contains("has the device `card0` of the host already"), "{error}");
    bed.del(&conf, &pod).unwrap();
    assert!(runs(&bed.host, "ip link show card0 && ip link show other0"));
}

// Proves: COMPAT-16.3
#[test]
fn a_device_that_an_older_version_lent_comes_home_and_a_forged_one_does_not() {
    let bed = bed_with_card();
    let card = index(&bed.sh("ip -o link show card0"));
    let conf = host_device(&bed);
    for (forge, home) in [("true", true), (HIDE_AND_FORGE, false)] {
        let pod = bed.pod("a");
        let result = bed.add(&conf, &pod).unwrap();
        records(&bed).iter().for_each(|file| std::fs::remove_file(file).unwrap());
        pod.sh(forge);
        if !home {
            pod.sh("ip link set eth0 alias card0");
        }
        bed.del(&with_result(&conf, &result), &pod).unwrap();
        assert_eq!(runs(&bed.host, "ip link show card0"), home);
        if home {
            card_is_home(&bed, &card);
        }
    }
}

/// Everything about the link that a pod can change, and a link of its own in its place.
const DISGUISE: &str = "ip link set eth0 down; ip addr flush dev eth0; ip link set eth0 name mine
    ip link set mine address 02:aa:aa:aa:aa:aa || true; ip link set mine alias x; ip link set mine up
    ip link add eth0 type veth peer name inside";

fn made(bed: &Bed) -> Vec<Value> {
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
    let conf = |kind: &str, subnet: &str, further: Value| {
        with(
            &json!({"cniVersion": "1.1.0", "name": "net", "type": kind, "ipam": bed.host_local(subnet)}),
            further,
        )
    };
    vec![
        conf("macvlan", "10.3.0.0/24", json!({"master": "up0"})),
        conf("bridge", "10.1.0.0/24", json!({"bridge": "br0"})),
        conf("ptp", "10.2.0.0/24", json!({})),
        conf("tap", "10.4.0.0/24", json!({})),
    ]
}

fn disguised_links_go(bed: &Bed, conf: &Value) {
    for told in [true, false] {
        let pod = bed.pod("a");
        let before = bed.sh("ip -o link | grep -c veth || true");
        let result = bed.add(conf, &pod).unwrap();
        assert_eq!(records(bed).len(), 1);
        pod.sh(DISGUISE);
        let of_del = if told { with_result(conf, &result) } else { conf.clone() };
        for _ in 0..2 {
            bed.del(&of_del, &pod).unwrap();
            assert!(!runs(&pod.netns, "ip link show mine"), "{conf}");
            assert_eq!(bed.sh("ip -o link | grep -c veth || true"), before, "{conf}");
            assert_eq!(records(bed), Vec::<PathBuf>::new());
            if told {
                assert!(runs(&pod.netns, "ip link show eth0"), "the pod's own: {conf}");
            }
        }
        // The name is free for the next ADD once the pod's own link is gone.
        pod.sh("ip link del eth0 2>/dev/null || true");
        bed.add(conf, &pod).unwrap();
        bed.del(conf, &pod).unwrap();
    }
}

// Proves: COMPAT-17
#[test]
fn a_link_goes_with_del_whatever_the_pod_made_of_its_name_and_its_addresses() {
    let bed = new_bed();
    for conf in made(&bed) {
        disguised_links_go(&bed, &conf);
    }
}

// Proves: COMPAT-17
#[test]
#[ignore = "needs a kernel with VLAN, ipvlan and dummy links: run it in the guest kernel"]
fn a_link_of_a_rare_kind_goes_with_del_whatever_the_pod_made_of_it() {
    let bed = new_bed();
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
    for further in [
        json!({"type": "ipvlan", "master": "up0"}),
        json!({"type": "vlan", "master": "up0", "vlanId": 5}),
        json!({"type": "dummy"}),
    ] {
        let conf = json!({"cniVersion": "1.1.0", "name": "net", "ipam": bed.host_local("10.5.0.0/24")});
        disguised_links_go(&bed, &with(&conf, further));
    }
}

// Proves: COMPAT-17.1
#[test]
fn a_pair_whose_end_was_moved_out_of_the_pod_ends_from_the_host() {
    let bed = new_bed();
    let conf = made(&bed).remove(1);
    let (pod, nested) = (bed.pod("a"), bed.pod("nested"));
    let result = bed.add(&conf, &pod).unwrap();
    pod.sh(&format!("ip link set eth0 netns {}", nested.path().display()));
    bed.del(&with_result(&conf, &result), &pod).unwrap();
    assert!(!runs(&nested.netns, "ip link show eth0"));
    assert_eq!(bed.sh("ip -o link show master br0"), "");
}

// Proves: COMPAT-17, F-POD-8
#[test]
fn a_record_is_of_one_namespace_and_the_same_index_in_another_is_another_pods() {
    let bed = new_bed();
    let conf = made(&bed).remove(0);
    let (old, other) = (bed.pod("old"), bed.pod("other"));
    bed.add(&conf, &old).unwrap();
    bed.add(&conf, &other).unwrap();
    let mut at = old.at("eth0", "").detach();
    at.netns = Some(other.path());
    bed.del_at(&conf, &at).unwrap();
    assert!(runs(&other.netns, "ip link show eth0"), "the indices are equal, the namespaces are not");
}

// Proves: COMPAT-17
#[test]
fn gc_forgets_what_was_written_down_of_attachments_that_are_gone() {
    let bed = new_bed();
    for conf in made(&bed) {
        let (alive, stale) = (bed.pod("alive"), bed.pod("stale"));
        bed.add(&conf, &alive).unwrap();
        bed.add(&conf, &stale).unwrap();
        drop(stale);
        bed.gc(&conf, &[&alive]).unwrap();
        assert_eq!(records(&bed).len(), 1, "{conf}");
        bed.del(&conf, &alive).unwrap();
        assert_eq!(records(&bed), Vec::<PathBuf>::new(), "{conf}");
    }
}

// Proves: COMPAT-16.1
#[test]
#[ignore = "needs a kernel with bond links: run it in the guest kernel"]
fn members_that_the_pod_renamed_come_home_and_forged_ones_do_not() {
    let bed = new_bed();
    bed.sh("for n in 1 2; do ip link add dev$n type veth peer name wire$n; ip link set wire$n up; done");
    let before = bed.state();
    let conf = json!({"cniVersion": "1.1.0", "name": "team", "type": "bond", "mode": "active-backup", "miimon": "100",
        "failOverMac": 1, "links": [{"name": "dev1"}, {"name": "dev2"}], "ipam": bed.host_local("10.1.0.0/24")});
    let pod = bed.pod("a");
    let result = bed.add(&conf, &pod).unwrap();
    pod.sh("ip link set dev1 nomaster; ip link set dev1 down; ip link set dev1 name mine; ip link set eth0 down
            ip link set eth0 name bond9; ip link add dev1 type veth peer name inside; ip link set dev1 alias dev1");
    bed.del(&with_result(&conf, &result), &pod).unwrap();
    bed.becomes("host", &before);
    assert!(
        runs(&pod.netns, "ip link show dev1 && ip link show inside")
            && !runs(&pod.netns, "ip link show bond9")
    );
    same("records", "[]", &format!("{:?}", records(&bed)));
}
