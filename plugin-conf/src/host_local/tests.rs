use proptest::prelude::*;

use super::*;
use crate::cluster_local::{AddressSource, ClusterLocalConf};

fn object(raw: &str) -> RawObject {
    RawObject::parse(raw.as_bytes()).unwrap()
}

/// As both types that have these keys read it: `cluster-local` has the same defaults, rules and sentences.
fn read_for(raw: &str, args: &CniArgs, version: Version) -> Result<HostLocalConf, Problem> {
    let local = HostLocalConf::read(&object(raw), args, version);
    if !raw.contains("dataDir") {
        same_as_cluster_local(&local, ClusterLocalConf::read(&object(raw), args, version));
    }
    local
}

#[track_caller]
fn same_as_cluster_local(local: &Result<HostLocalConf, Problem>, cluster: Result<ClusterLocalConf, Problem>) {
    let of_local =
        |c: &HostLocalConf| (c.sets.clone(), c.routes.clone(), c.resolv_conf.clone(), c.requested.clone());
    let sets = |c: &ClusterLocalConf| {
        let ranges = |source: &AddressSource| match source {
            AddressSource::Inline(set) => set.ranges.clone(),
            AddressSource::Pool(name) => panic!("{name}"),
        };
        c.sources.iter().map(ranges).collect::<Vec<_>>()
    };
    let of_cluster = |c: ClusterLocalConf| (sets(&c), c.routes, c.resolv_conf, c.requested);
    let as_local = |mut problem: Problem| {
        // It has another remedy too.
        for more in [", or name `pools`", " or `pools`"] {
            problem.sentence = problem.sentence.replace(more, "");
        }
        problem.sentence = problem.sentence.replace("cluster-local", "host-local");
        problem
    };
    let local = local.as_ref().map(of_local).map_err(Clone::clone);
    assert_eq!(cluster.map(of_cluster).map_err(as_local), local);
}

fn read(raw: &str) -> Result<HostLocalConf, Problem> {
    read_for(raw, &CniArgs::default(), Version::NEWEST)
}

/// With `ipam` as given; `type` is added.
fn ipam(keys: &str) -> String {
    format!(r#"{{"ipam":{{"type":"host-local",{keys}}}}}"#)
}

fn shown(conf: &HostLocalConf) -> Vec<String> {
    conf.sets.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn refused(raw: &str, pointer: &str, part: &str) {
    let problem = read(raw).unwrap_err();
    assert_eq!(problem.pointer, pointer, "{problem}");
    assert!(problem.sentence.contains(part), "{problem}");
}

#[track_caller]
fn range_refused(range: &str, key: &str, part: &str) {
    refused(&ipam(&format!(r#""ranges":[[{range}]]"#)), &format!("/ipam/ranges/0/0{key}"), part);
}

// Proves: PLG-HL-1, PLG-HL-4, PLG-HL-5, IPAM-1
#[test]
fn a_subnet_alone_brings_its_defaults() {
    let conf =
        read(&ipam(r#""ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"fd00:1::/64","gateway":""}]]"#))
            .unwrap();
    assert_eq!(shown(&conf), ["10.1.2.1-10.1.2.254", "fd00:1::1-fd00:1::ffff:ffff:ffff:ffff"]);
    let gateways: Vec<String> = conf.sets.iter().map(|s| s.ranges()[0].gateway.to_string()).collect();
    assert_eq!(gateways, ["10.1.2.1", "fd00:1::1"]);
    assert_eq!((conf.sets[0].capacity(), conf.sets[1].capacity()), (253, u128::from(u64::MAX) - 1));
    assert_eq!((conf.data_dir.to_str().unwrap(), &conf.resolv_conf), ("/var/lib/cni/networks", &None));
}

// Proves: PLG-HL-1, IPAM-1
#[test]
fn every_key_of_a_range_is_read() {
    let raw = r#""ranges":[[{"subnet":"10.1.2.0/24","rangeStart":"10.1.2.9","rangeEnd":"10.1.2.20","gateway":"10.1.2.254"}]]"#;
    let conf = read(&ipam(raw)).unwrap();
    let range = conf.sets[0].ranges()[0];
    assert_eq!(shown(&conf), ["10.1.2.9-10.1.2.20"]);
    assert_eq!((range.gateway.to_string(), range.capacity()), ("10.1.2.254".into(), 12));
}

// Proves: PLG-HL-1, IPAM-1
#[test]
fn every_broken_range_names_its_key() {
    range_refused("{}", "/subnet", "needs a `subnet`");
    range_refused(r#"{"subnet":"10.1.2.0"}"#, "/subnet", "not a network");
    range_refused(r#"{"subnet":7}"#, "/subnet", "takes a string");
    range_refused(r#"{"subnet":"10.1.2.3/24"}"#, "/subnet", "write `10.1.2.0/24`");
    range_refused(r#"{"subnet":"10.1.2.0/31"}"#, "/subnet", "use /30 or shorter");
    range_refused(r#"{"subnet":"10.1.2.0/32"}"#, "/subnet", "use /30 or shorter");
    range_refused(r#"{"subnet":"fd00::/127"}"#, "/subnet", "use /126 or shorter");
    range_refused(r#"{"subnet":"10.1.2.0/24","rangeStart":"10.1.3.1"}"#, "/rangeStart", "outside `subnet`");
    range_refused(r#"{"subnet":"10.1.2.0/24","rangeEnd":"10.1.3.1"}"#, "/rangeEnd", "outside `subnet`");
    range_refused(
        r#"{"subnet":"10.1.2.0/24","rangeStart":"10.1.2.9","rangeEnd":"10.1.2.8"}"#,
        "/rangeStart",
        "above",
    );
    range_refused(r#"{"subnet":"10.1.2.0/24","gateway":"x"}"#, "/gateway", "not an IP address");
    range_refused(r#"{"subnet":"10.1.2.0/24","gateway":"fd00::1"}"#, "/gateway", "different families");
    refused(&ipam(r#""ranges":[[]]"#), "/ipam/ranges/0", "empty");
    refused(&ipam(r#""ranges":[]"#), "/ipam/ranges", "no addresses to give out");
    refused(
        &ipam(r#""ranges":[{"subnet":"10.1.2.0/24"}]"#),
        "/ipam/ranges/0",
        "each set is a list of ranges",
    );
    refused(&ipam(r#""ranges":"10.1.2.0/24""#), "/ipam/ranges", "takes a list");
    refused("{}", "/ipam", "no `ipam` section");
}

// Proves: PLG-CAL-7
#[test]
fn calicos_placeholder_for_the_pod_cidr_is_refused_in_words() {
    range_refused(r#"{"subnet":"usePodCidr"}"#, "/subnet", "only the calico plugin fills in");
    range_refused(r#"{"subnet":"usePodCidrIPv6"}"#, "/subnet", "only the calico plugin fills in");
    refused(&ipam(r#""subnet":"usePodCidr""#), "/ipam/subnet", "only the calico plugin fills in");
}

// Proves: PLG-HL-2, IPAM-1
#[test]
fn the_runtimes_ranges_come_first_then_the_legacy_keys_then_ranges() {
    let conf = read(
        r#"{"runtimeConfig":{"ipRanges":[[{"subnet":"10.9.0.0/24"}],[{"subnet":"fd00:9::/64"}]]},
            "ipam":{"type":"host-local","subnet":"10.2.0.0/24","rangeStart":"10.2.0.50","gateway":"10.2.0.99",
                    "ranges":[[{"subnet":"10.3.0.0/24"}]]}}"#,
    )
    .unwrap();
    let starts: Vec<String> = conf.sets.iter().map(|s| s.ranges()[0].start.to_string()).collect();
    assert_eq!(starts, ["10.9.0.1", "fd00:9::1", "10.2.0.50", "10.3.0.1"]);
    assert_eq!(conf.sets[2].ranges()[0].gateway.to_string(), "10.2.0.99");
    refused(
        r#"{"runtimeConfig":{"ipRanges":[[{"subnet":"10.9.0.1/24"}]]},"ipam":{"type":"host-local"}}"#,
        "/runtimeConfig/ipRanges/0/0/subnet",
        "host bits",
    );
}

// Proves: PLG-HL-3, IPAM-1
#[test]
fn ranges_are_of_one_family_in_a_set_and_never_overlap() {
    let a = r#"{"subnet":"10.1.0.0/24"}"#;
    let mixed = ipam(&format!(r#""ranges":[[{a},{{"subnet":"fd00::/64"}}]]"#));
    refused(&mixed, "/ipam/ranges/0/1", "different families");
    refused(&ipam(&format!(r#""ranges":[[{a},{a}]]"#)), "/ipam/ranges/0/1", "overlaps");
    refused(&ipam(&format!(r#""ranges":[[{a}],[{a}]]"#)), "/ipam/ranges/1", "overlaps");
    refused(&ipam(&format!(r#""subnet":"10.1.0.0/16","ranges":[[{a}]]"#)), "/ipam/ranges/0", "overlaps");
    // One address in common is enough, from either side.
    let touching = r#"[[{"subnet":"10.1.0.0/24","rangeEnd":"10.1.0.9"}],[{"subnet":"10.1.0.0/24","rangeStart":"10.1.0.9"}]]"#;
    refused(&ipam(&format!(r#""ranges":{touching}"#)), "/ipam/ranges/1", "overlaps");
    let apart = touching.replace(r#""rangeStart":"10.1.0.9""#, r#""rangeStart":"10.1.0.10""#);
    assert_eq!(read(&ipam(&format!(r#""ranges":{apart}"#))).unwrap().sets.len(), 2);
}

// Proves: PLG-HL-3, IPAM-1
#[test]
fn old_versions_have_room_for_one_address_of_each_family() {
    let two = r#""ranges":[[{"subnet":"10.1.0.0/24"}],[{"subnet":"10.2.0.0/24"}]]"#;
    let dual = r#""ranges":[[{"subnet":"10.1.0.0/24"}],[{"subnet":"fd00::/64"}]]"#;
    for version in Version::ALL {
        let read = |keys: &str| read_for(&ipam(keys), &CniArgs::default(), version);
        assert!(read(dual).is_ok());
        assert_eq!(read(two).is_ok(), version > Version::V0_2_0, "{version}");
    }
}

fn asked(config: &str, args: &str) -> Result<Vec<String>, Problem> {
    let conf = read_for(config, &CniArgs::parse(args), Version::NEWEST)?;
    Ok(conf.requested.iter().map(ToString::to_string).collect())
}

// Proves: PLG-HL-6, CNI-CNV-4, IPAM-1
#[test]
fn requested_addresses_of_all_sources_add_up_with_or_without_prefix() {
    let config = r#"{"ipam":{"type":"host-local","subnet":"10.1.0.0/16"},
        "args":{"cni":{"ips":["10.1.0.2/16","fd00::2"],"labels":[{"key":"a","value":"b"}]}},
        "runtimeConfig":{"ips":["10.1.0.3","10.1.0.2"]}}"#;
    let args = "IgnoreUnknown=1;IP=10.1.0.1/24";
    assert_eq!(asked(config, args).unwrap(), ["10.1.0.1", "10.1.0.2", "fd00::2", "10.1.0.3"]);
    let bare = ipam(r#""subnet":"10.1.0.0/16""#);
    assert_eq!(asked(&bare, "IP=10.1.0.9").unwrap(), ["10.1.0.9"]);
    assert_eq!(asked(&bare, "IP=").unwrap(), Vec::<String>::new());
}

// Proves: PLG-HL-6, F-INP-4, CNI-CNV-2, IPAM-1
#[test]
fn a_request_that_is_no_address_is_refused_with_its_place() {
    let with = |rest: &str| format!(r#"{{"ipam":{{"type":"host-local","subnet":"10.1.0.0/16"}},{rest}}}"#);
    let at = |config: &str, args: &str| asked(config, args).unwrap_err().to_string();
    assert!(
        at(&with(r#""runtimeConfig":{"ips":["10.1.0.3","x"]}"#), "").ends_with("at /runtimeConfig/ips/1")
    );
    assert!(at(&with(r#""runtimeConfig":{"ips":"10.1.0.3"}"#), "").ends_with("at /runtimeConfig/ips"));
    assert!(at(&with(r#""args":{"cni":{"ips":["::ffff:10.1.0.3"]}}"#), "").ends_with("at /args/cni/ips/0"));
    assert!(at(&ipam(r#""subnet":"10.1.0.0/16""#), "IP=10.1.0").starts_with("CNI_ARGS: "));
}

// Proves: PLG-HL-5, IPAM-1
#[test]
fn routes_keep_every_field_and_paths_must_be_absolute() {
    let route = r#"{"dst":"10.0.0.0/8","gw":"10.1.0.9","mtu":1400,"advmss":1300,"priority":7,"table":51,"scope":0,"x":1}"#;
    let conf = read(&ipam(&format!(
        r#""subnet":"10.1.0.0/16","routes":[{{"dst":"0.0.0.0/0"}},{route}],"dataDir":"/a/b","resolvConf":"/c""#
    )))
    .unwrap();
    assert_eq!(
        serde_json::to_value(&conf.routes[1]).unwrap(),
        serde_json::from_str::<serde_json::Value>(route).unwrap()
    );
    assert_eq!((conf.data_dir.to_str(), conf.resolv_conf.unwrap().to_str()), (Some("/a/b"), Some("/c")));
    let subnet = r#""subnet":"10.1.0.0/16""#;
    refused(&ipam(&format!(r#"{subnet},"dataDir":"a""#)), "/ipam/dataDir", "begins with `/`");
    refused(&ipam(&format!(r#"{subnet},"resolvConf":"../a""#)), "/ipam/resolvConf", "begins with `/`");
    refused(&ipam(&format!(r#"{subnet},"routes":[{{"dst":"x"}}]"#)), "/ipam/routes/0", "a route is");
    refused(&ipam(&format!(r#"{subnet},"routes":[{{}}]"#)), "/ipam/routes/0", "a route is");
}

// Proves: PLG-HL-13
#[test]
fn the_data_dir_is_found_in_a_configuration_that_add_would_refuse() {
    let broken = ipam(r#""ranges":[[{"subnet":"nonsense"}]],"routes":7,"dataDir":"/x""#);
    assert_eq!(HostLocalConf::data_dir(&object(&broken)).to_str(), Some("/x"));
    for hopeless in ["{}", r#"{"ipam":7}"#, &ipam(r#""dataDir":7"#)] {
        assert_eq!(HostLocalConf::data_dir(&object(hopeless)).to_str(), Some(DEFAULT_DATA_DIR));
    }
}

/// JSON made of the words that matter here, in every wrong place.
fn junk() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("[]".to_owned()),
        Just("-1".to_owned()),
        Just("1e999".to_owned()),
        Just("true".to_owned()),
        prop_oneof![
            "10.1.0.0/[0-9]{1,2}",
            "fd00::/[0-9]{1,3}",
            "10.1.0.[0-9]{1,3}",
            "::",
            "usePodCidr",
            "\\PC{0,6}"
        ]
        .prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    let key = prop_oneof![
        Just("ipam"),
        Just("ranges"),
        Just("subnet"),
        Just("rangeStart"),
        Just("rangeEnd"),
        Just("gateway"),
        Just("routes"),
        Just("dst"),
        Just("dataDir"),
        Just("runtimeConfig"),
        Just("ipRanges"),
        Just("ips"),
        Just("args"),
        Just("cni"),
        Just("addresses"),
        Just("address"),
        Just("type"),
        Just("pools"),
        Just("exclude"),
        Just("domain"),
        Just("vlanTrunk"),
        Just("mac"),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            proptest::collection::btree_map(key.clone(), inner, 0..4).prop_map(|all| {
                let pairs: Vec<String> = all.iter().map(|(k, v)| format!(r#""{k}":{v}"#)).collect();
                format!("{{{}}}", pairs.join(","))
            }),
        ]
    })
}

proptest! {
    // Proves: S-8, F-INP-5
    #[test]
    fn no_configuration_panics(ipam in junk(), args in junk(), runtime in junk(), env in "\\PC{0,20}") {
        let raw = format!(r#"{{"ipam":{ipam},"args":{args},"runtimeConfig":{runtime},"vlanTrunk":{ipam},"mac":{args}}}"#);
        if let Ok(config) = RawObject::parse(raw.as_bytes()) {
            let args = CniArgs::parse(&format!("IP={env};GATEWAY={env};MAC={env}"));
            let _ = HostLocalConf::read(&config, &args, Version::NEWEST);
            let _ = crate::StaticConf::read(&config, &args, Version::V0_2_0);
            for kind in ["bridge", "ptp", "macvlan", "loopback", "host-local", "cluster-local", "static", "other"] {
                let _ = crate::check(kind, &config);
            }
        }
    }

    #[test]
    fn a_range_that_is_accepted_holds_together(bits in 0u8..=32, start in any::<u8>(), end in any::<u8>(), gw in any::<u8>()) {
        let raw = ipam(&format!(
            r#""ranges":[[{{"subnet":"10.0.0.0/{bits}","rangeStart":"10.0.0.{start}","rangeEnd":"10.0.0.{end}","gateway":"10.0.0.{gw}"}}]]"#
        ));
        if let Ok(conf) = HostLocalConf::read(&object(&raw), &CniArgs::default(), Version::NEWEST) {
            let range = conf.sets[0].ranges()[0];
            prop_assert!(range.start <= range.end && range.subnet.contains(&range.start) && range.subnet.contains(&range.end));
            let host = |n: u8| IpAddr::from([10, 0, 0, n]);
            let ends = [range.subnet.network(), range.subnet.broadcast()];
            let given = (start..=end).filter(|n| *n != gw && !ends.contains(&host(*n)));
            prop_assert_eq!(range.capacity(), given.count() as u128);
        }
    }
}
