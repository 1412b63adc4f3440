//! ADD, DEL and CHECK against the files of one folder.

use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;

use super::run;
use crate::ipam_bed::{Bed, add, call, del};

// Proves: PLG-HL-7, PLG-HL-12, S-3
#[test]
fn the_first_add_makes_folder_lease_counter_and_lock_without_a_word() {
    let bed = Bed::new();
    let mut config = bed.config(json!({"subnet": "10.1.2.0/24"}));
    config["ipam"]["dataDir"] = json!(bed.data_dir().join("made/anew"));
    let answer = run(&add("abc"), &config);
    assert_eq!((answer.ips(), answer.stderr.as_str()), (vec!["10.1.2.2/24".to_owned()], ""));
    assert_eq!(answer.stdout["ips"][0]["gateway"], "10.1.2.1");
    let folder = bed.data_dir().join("made/anew/net");
    let content = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(content("10.1.2.2"), "abc\r\neth0");
    assert_eq!(content("last_reserved_ip.0"), "10.1.2.2");
    assert_eq!(content("lock"), "");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
    for (path, mode) in [(folder.clone(), 0o700), (folder.join(".."), 0o700)]
        .into_iter()
        .chain(["10.1.2.2", "last_reserved_ip.0", "lock"].map(|name| (folder.join(name), 0o600)))
    {
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            mode,
            "{}",
            path.display()
        );
    }
}

// Proves: PLG-HL-2
#[test]
fn the_result_has_one_address_of_each_set_in_their_order() {
    let bed = Bed::new();
    let mut config = bed.config(json!({"subnet": "10.2.0.0/24", "ranges": [[{"subnet": "fd00:3::/64"}]]}));
    config["runtimeConfig"] = json!({"ipRanges": [[{"subnet": "10.9.0.0/24"}]]});
    assert_eq!(run(&add("a"), &config).ips(), ["10.9.0.2/24", "10.2.0.2/24", "fd00:3::2/64"]);
    let files = bed.files();
    let last = |n: usize| files[&format!("last_reserved_ip.{n}")].as_str();
    assert_eq!((last(0), last(1), last(2)), ("10.9.0.2", "10.2.0.2", "fd00:3::2"));
}

// Proves: PLG-HL-4, PLG-HL-8, PLG-HL-9
#[test]
fn addresses_go_round_and_a_full_pool_says_so_and_changes_nothing() {
    let bed = Bed::new();
    let config = bed.config(json!({"ranges": [[{"subnet": "10.1.2.0/29"}]]}));
    let given: Vec<String> = (0..5).map(|n| run(&add(&format!("c{n}")), &config).ips().remove(0)).collect();
    assert_eq!(given, ["10.1.2.2/29", "10.1.2.3/29", "10.1.2.4/29", "10.1.2.5/29", "10.1.2.6/29"]);
    let before = bed.files();
    run(&add("c5"), &config).failed(11, "all 5 addresses of range set 0 (`10.1.2.1-10.1.2.6`) are leased");
    assert_eq!(bed.files(), before);
    // The one that was freed earliest is not the next: the walk goes on from the last.
    run(&del("c3"), &config).ok();
    run(&del("c1"), &config).ok();
    assert_eq!(run(&add("c6"), &config).ips(), ["10.1.2.3/29"]);
    assert_eq!(run(&add("c7"), &config).ips(), ["10.1.2.5/29"]);
}

// Proves: PLG-HL-9
#[test]
fn a_second_add_is_refused_and_the_living_lease_stays() {
    let bed = Bed::new();
    let config = bed.config(json!({"subnet": "10.1.2.0/24"}));
    run(&add("a"), &config).ok();
    let before = bed.files();
    run(&add("a"), &config).failed(102, "has the address `10.1.2.2` already");
    // Not by asking for another address either.
    run(&add("a").args("IP=10.1.2.77"), &config).failed(102, "already");
    assert_eq!(bed.files(), before);
    // Another interface of the container is another attachment.
    assert_eq!(run(&add("a").ifname("net1"), &config).ips(), ["10.1.2.3/24"]);
    // A lease of old times names the container only.
    std::fs::write(bed.lease("10.1.2.9"), "old").unwrap();
    run(&add("old"), &config).failed(102, "already");
}

// Proves: PLG-HL-9, CNI-RUN-6
#[test]
fn a_second_add_of_an_interface_plugin_does_not_release_the_living_lease() {
    let bed = Bed::new();
    let config = bed.config(json!({"subnet": "10.1.2.0/24"}));
    let input = crate::ipam_bed::input(&config);
    let ipam = manifold_cni::Ipam::of(&input, manifold_plugins::bundled).unwrap().unwrap();
    let at = crate::ipam_bed::attachment("a");
    assert_eq!(ipam.add(&at).unwrap().ips.len(), 1);
    let before = bed.files();
    assert_eq!(ipam.add(&at).unwrap_err().code, 102);
    assert_eq!(bed.files(), before);
}

// Proves: PLG-HL-6
#[test]
fn requested_addresses_are_given_each_out_of_its_set() {
    let bed = Bed::new();
    let mut config = bed.config(json!({"ranges": [[{"subnet": "10.1.0.0/16"}], [{"subnet": "fd00::/64"}]]}));
    config["args"] = json!({"cni": {"ips": ["fd00::77/64"]}});
    let wish = add("a").args("IgnoreUnknown=true;K8S_POD_NAME=p;IP=10.1.7.7");
    assert_eq!(run(&wish, &config).ips(), ["10.1.7.7/16", "fd00::77/64"]);
    assert_eq!(bed.files()["last_reserved_ip.0"], "10.1.7.7");
    // The next one without a wish goes on from there.
    config["args"] = json!({});
    assert_eq!(run(&add("b"), &config).ips(), ["10.1.7.8/16", "fd00::78/64"]);
}

// Proves: PLG-HL-6
#[test]
fn a_request_that_cannot_be_met_leaves_no_lease() {
    let bed = Bed::new();
    let mut config = bed.config(json!({"ranges": [[{"subnet": "10.1.0.0/16"}], [{"subnet": "fd00::/64"}]]}));
    run(&add("holder").args("IP=10.1.7.7"), &config).ok();
    let before = bed.leases();
    let mut refused = |ips: &[&str], code, part: &str| {
        config["runtimeConfig"] = json!({"ips": ips});
        run(&add("b"), &config).failed(code, part);
        assert_eq!(bed.leases(), before);
    };
    refused(&["10.1.7.7"], 11, "`10.1.7.7` is leased already");
    refused(&["fd00::5", "10.1.7.7"], 11, "`10.1.7.7` is leased already");
    refused(&["10.1.0.1"], 7, "`10.1.0.1` is the subnet's gateway");
    refused(&["fd00::1"], 7, "gateway");
    refused(&["10.9.0.5"], 7, "in none of the ranges `10.1.0.1-10.1.255.254`, `fd00::1-");
    refused(&["10.1.0.5", "10.1.0.6"], 7, "gives another one already");
}

// Proves: PLG-HL-6
#[test]
fn a_later_set_that_fails_gives_back_what_the_earlier_ones_took() {
    let bed = Bed::new();
    let config = bed.config(json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.2.0.0/30"}]]}));
    run(&add("a"), &config).ok();
    let before = bed.leases();
    run(&add("b"), &config).failed(11, "range set 1");
    assert_eq!(bed.leases(), before);
}

// Proves: PLG-COM-25
#[test]
fn unknown_cni_args_need_leave_to_be_ignored() {
    let bed = Bed::new();
    let config = bed.config(json!({"subnet": "10.1.2.0/24"}));
    run(&add("a").args("FOO=bar"), &config).failed(4, "FOO");
    assert!(bed.files().is_empty());
    run(&add("a").args("FOO=bar;IgnoreUnknown=1"), &config).ok();
}

// Proves: PLG-HL-10, CNI-DEL-1, CNI-DEL-2, CNI-DEL-5
#[test]
fn del_frees_every_form_of_lease_and_twice_is_success() {
    let bed = Bed::new();
    let config = bed.config(json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]}));
    let nothing = run(&del("nobody"), &config);
    assert!(nothing.success && nothing.stdout.is_null());
    assert!(!bed.folder().exists(), "DEL made the folder");
    run(&add("a"), &config).ok();
    run(&add("other"), &config).ok();
    std::fs::write(bed.lease("10.1.0.50"), " a\r\neth0\n").unwrap();
    std::fs::write(bed.lease("10.1.0.51"), "a\r\neth1").unwrap();
    std::fs::write(bed.lease("10.1.0.52"), "old \n").unwrap();
    for _ in 0..2 {
        let answer = run(&del("a"), &config);
        assert!(answer.success && answer.stdout.is_null());
        run(&del("old"), &config).ok();
        let left: Vec<String> = bed.leases().into_keys().collect();
        assert_eq!(left, ["10.1.0.3", "10.1.0.51", "fd00::3"]);
    }
    assert_eq!(bed.files()["last_reserved_ip.0"], "10.1.0.3");
}

// Proves: PLG-HL-10
#[test]
fn a_lease_of_old_form_stays_while_one_of_the_new_form_is_there() {
    let bed = Bed::new();
    let config = bed.config(json!({"subnet": "10.1.0.0/24"}));
    run(&add("a"), &config).ok();
    std::fs::write(bed.lease("10.1.0.50"), "a").unwrap();
    run(&del("a"), &config).ok();
    assert_eq!(bed.leases().into_keys().collect::<Vec<_>>(), ["10.1.0.50"]);
    run(&del("a"), &config).ok();
    assert!(bed.leases().is_empty());
}

// Proves: PLG-HL-13, CNI-DEL-3, CNI-DEL-4
#[test]
fn del_needs_only_the_name_and_the_folder() {
    let bed = Bed::new();
    let config = bed.config(json!({"subnet": "10.1.0.0/24"}));
    for (id, ipam) in [
        ("a", json!({"subnet": "10.1.0.9/24"})),
        (
            "b",
            json!({"ranges": [[{"subnet": "nonsense", "rangeStart": 7}]], "routes": "x", "resolvConf": "gone"}),
        ),
        ("c", json!({})),
    ] {
        run(&add(id), &config).ok();
        let edited = bed.config(ipam);
        assert!(!run(&add("new"), &edited).success);
        run(&del(id).args("FOO=bar"), &edited).ok();
        assert!(bed.leases().is_empty());
    }
}

// Proves: PLG-HL-11, CNI-CHK-5, CNI-CHK-8
#[test]
fn check_finds_any_lease_of_the_attachment() {
    let bed = Bed::new();
    let mut config = bed.config(json!({"subnet": "10.1.0.0/24"}));
    let result = run(&add("a"), &config).stdout;
    config["prevResult"] = result;
    let check = |id: &str| run(&call("CHECK", id), &config);
    assert!(check("a").success && check("a").stdout.is_null());
    check("b").failed(101, "no lease for interface `eth0` of container `b`");
    run(&call("CHECK", "a").ifname("net1"), &config).failed(101, "no lease");
    // Whatever the address is.
    std::fs::rename(bed.lease("10.1.0.2"), bed.lease("10.1.0.99")).unwrap();
    check("a").ok();
    std::fs::write(bed.lease("10.1.0.99"), "a").unwrap();
    check("a").ok();
    std::fs::remove_file(bed.lease("10.1.0.99")).unwrap();
    check("a").failed(101, "no lease");
}

// Proves: COMPAT-27, COMPAT-27.4
#[test]
fn check_notices_that_one_of_two_leases_is_gone() {
    let bed = Bed::new();
    let mut config =
        bed.config(json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]]}));
    let mut result = run(&add("a"), &config).stdout;
    // A later plugin's address is not ours to look for.
    result["ips"].as_array_mut().unwrap().push(json!({"address": "10.9.0.9/24"}));
    config["prevResult"] = result;
    let check = || run(&call("CHECK", "a"), &config);
    check().ok();
    let (lease, aside) = (bed.lease("10.1.0.2"), bed.data_dir().join("aside"));
    std::fs::rename(&lease, &aside).unwrap();
    check().failed(101, "the lease of `10.1.0.2`");
    std::fs::rename(&aside, &lease).unwrap();
    check().ok();
}

// Proves: PLG-HL-5
#[test]
fn routes_and_the_dns_of_a_resolv_conf_are_in_the_result() {
    let bed = Bed::new();
    let file = bed.data_dir().join("resolv.conf");
    std::fs::write(&file, "nameserver 192.0.2.1\nsearch a b\noptions ndots:2\ndomain d\n# nameserver x\n")
        .unwrap();
    // Distributions make `/etc/resolv.conf` a link.
    let link = bed.data_dir().join("link");
    symlink(&file, &link).unwrap();
    let routes =
        json!([{"dst": "0.0.0.0/0"}, {"dst": "10.8.0.0/16", "gw": "10.1.0.9", "table": 51, "mtu": 1400}]);
    let mut config = bed.newest(json!({"subnet": "10.1.0.0/24", "routes": routes, "resolvConf": link}));
    let answer = run(&add("a"), &config);
    assert_eq!(answer.stdout["routes"], routes);
    let dns =
        json!({"nameservers": ["192.0.2.1"], "domain": "d", "search": ["a", "b"], "options": ["ndots:2"]});
    assert_eq!(answer.stdout["dns"], dns);
    config["ipam"]["resolvConf"] = json!(bed.data_dir().join("gone"));
    run(&add("b"), &config).failed(7, "/ipam/resolvConf");
    config["ipam"]["resolvConf"] = json!(bed.data_dir());
    run(&add("b"), &config).failed(7, "not a regular file");
    assert_eq!(bed.leases().len(), 1);
}

// Proves: S-18
#[test]
fn links_and_folders_in_the_lease_folder_are_neither_followed_nor_given_out() {
    let bed = Bed::new();
    let config = bed.config(json!({"subnet": "10.1.0.0/24"}));
    std::fs::create_dir(bed.folder()).unwrap();
    let victim = bed.data_dir().join("victim");
    std::fs::write(&victim, "a\r\neth0").unwrap();
    symlink(&victim, bed.lease("10.1.0.2")).unwrap();
    symlink(bed.data_dir().join("nowhere"), bed.lease("10.1.0.3")).unwrap();
    std::fs::create_dir(bed.lease("10.1.0.4")).unwrap();
    // What the link points at is not read, so `a` has no lease yet.
    assert_eq!(run(&add("a"), &config).ips(), ["10.1.0.5/24"]);
    assert!(!bed.data_dir().join("nowhere").exists());
    run(&del("a"), &config).ok();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "a\r\neth0");
    assert!(bed.lease("10.1.0.2").is_symlink() && bed.lease("10.1.0.4").is_dir());
    // The counter as a link: refused, the lease given back, the file behind it untouched.
    std::fs::remove_file(bed.folder().join("last_reserved_ip.0")).unwrap();
    symlink(&victim, bed.folder().join("last_reserved_ip.0")).unwrap();
    run(&add("b"), &config).failed(5, "symbolic link");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "a\r\neth0");
    assert!(!bed.lease("10.1.0.5").exists());
}

// Proves: F-INP-2
#[test]
fn a_network_name_that_would_leave_the_folder_is_refused() {
    let bed = Bed::new();
    for name in ["../x", "..", "a/b", "/etc", ""] {
        let mut config = bed.config(json!({"subnet": "10.1.0.0/24"}));
        config["name"] = json!(name);
        assert!(!run(&add("a"), &config).success, "{name}");
        assert_eq!(std::fs::read_dir(bed.data_dir()).unwrap().count(), 0);
    }
}
