use manifold_addresses::pool::Pool;

use super::*;
use crate::{HostLocalConf, check};

fn object(raw: &str) -> RawObject {
    RawObject::parse(raw.as_bytes()).unwrap()
}

/// With `ipam` as given; `type` is added.
fn ipam(keys: &str) -> String {
    format!(r#"{{"ipam":{{"type":"cluster-local",{keys}}}}}"#)
}

fn read(raw: &str) -> Result<ClusterLocalConf, Problem> {
    ClusterLocalConf::read(&object(raw), &CniArgs::default(), Version::NEWEST)
}

#[track_caller]
fn refused(keys: &str, pointer: &str, part: &str) {
    let problem = read(&ipam(keys)).unwrap_err();
    assert_eq!(problem.pointer, pointer, "{problem}");
    assert!(problem.sentence.contains(part), "{problem}");
    assert_eq!(
        check(TYPE, &object(&ipam(keys))).unwrap_err(),
        problem,
        "the webhook says what ADD would say"
    );
}

fn pools(keys: &str) -> Vec<PoolSpecShown> {
    let conf = read(&ipam(keys)).unwrap();
    let all = conf.inline_pools();
    all.map(|p| (p.pool.domain.to_string(), p.pool.subnet.to_string(), p.pool.ordinary.count())).collect()
}

type PoolSpecShown = (String, String, u128);

fn notes(keys: &str) -> Vec<String> {
    let notes = check("macvlan", &object(&ipam(keys))).unwrap();
    notes.into_iter().map(|note| format!("{} {}", note.pointer, note.sentence)).collect()
}

// Proves: IPAM-1
#[test]
fn the_data_dir_is_refused() {
    refused(r#""subnet":"10.1.0.0/16","dataDir":"/var/lib/x""#, "/ipam/dataDir", "a key of host-local");
    assert!(read(&ipam(r#""subnet":"10.1.0.0/16","dataDir":"""#)).is_ok(), "empty is as none");
}

/// What makes it through host-local's rules and is told there in the same words: see `host_local/tests.rs` for the table.
#[test]
fn an_inline_range_is_a_pool_of_its_subnet() {
    let one = ("default".to_owned(), "10.1.0.0/24".to_owned(), 253);
    assert_eq!(pools(r#""subnet":"10.1.0.0/24""#), [one]);
    // Two ranges of one subnet are one pool of two ranges; another subnet, or another gateway, is a pool of its own.
    let several = r#""domain":"wire-1","ranges":[[
        {"subnet":"10.1.0.0/24","rangeStart":"10.1.0.10","rangeEnd":"10.1.0.19"},
        {"subnet":"10.2.0.0/24"},
        {"subnet":"10.1.0.0/24","rangeStart":"10.1.0.30","rangeEnd":"10.1.0.39"}],
        [{"subnet":"fd00::/120"}]]"#;
    let pool = |subnet: &str, count| ("wire-1".to_owned(), subnet.to_owned(), count);
    let expected = [pool("10.1.0.0/24", 20), pool("10.2.0.0/24", 253), pool("fd00::/120", 254)];
    assert_eq!(pools(several), expected);
    let definition = NadRef::new("shop", "left").unwrap();
    let names: Vec<String> = (0..3).map(|n| inline_pool_name(&definition, n).unwrap().to_string()).collect();
    assert_eq!(names, ["shop.left", "shop.left.1", "shop.left.2"]);
    assert_eq!(inline_pool_name(&NadRef::new("shop", &"a".repeat(250)).unwrap(), 0), None);
}

#[test]
fn a_gateway_outside_the_subnet_is_in_the_result_as_it_is_with_host_local() {
    let conf = read(&ipam(r#""ranges":[[{"subnet":"10.1.0.0/24","gateway":"169.254.1.1"}]]"#)).unwrap();
    let [AddressSource::Inline(set)] = &conf.sources[..] else { panic!("{conf:?}") };
    assert_eq!(set.ranges.ranges()[0].gateway.to_string(), "169.254.1.1");
    assert_eq!((set.pools[0].pool.gateway, set.pools[0].pool.ordinary.count()), (None, 254));
}

// Shows part of: IPAM-2
#[test]
fn pools_come_by_name_one_address_of_each_and_never_beside_ranges() {
    let conf = read(&ipam(r#""pools":["storage","storage-v6"],"routes":[{"dst":"::/0"}]"#)).unwrap();
    let named = |name: &str| AddressSource::Pool(name.parse().unwrap());
    assert_eq!(conf.sources, [named("storage"), named("storage-v6")]);
    assert_eq!((conf.routes.len(), conf.inline_pools().count()), (1, 0));
    for (beside, pointer) in [
        (r#""ranges":[[{"subnet":"10.1.0.0/16"}]]"#, "/ipam/ranges"),
        (r#""subnet":"10.1.0.0/16""#, "/ipam/subnet"),
        (r#""exclude":["10.1.0.5"]"#, "/ipam/exclude"),
        (r#""domain":"other""#, "/ipam/domain"),
    ] {
        refused(&format!(r#""pools":["storage"],{beside}"#), pointer, "is beside `pools`");
    }
    refused(r#""pools":[]"#, "/ipam/pools", "is empty");
    refused(r#""pools":"storage""#, "/ipam/pools", "takes a list");
    refused(r#""pools":["a","../b"]"#, "/ipam/pools/1", "the name of an AddressPool");
    refused(r#""pools":["a","b","a"]"#, "/ipam/pools/2", "listed twice");
    let brought = r#"{"runtimeConfig":{"ipRanges":[[{"subnet":"10.9.0.0/24"}]]},"ipam":{"type":"cluster-local","pools":["a"]}}"#;
    assert_eq!(read(brought).unwrap_err().pointer, "/runtimeConfig/ipRanges");
}

// Proves: IPAM-3
#[test]
fn exclusions_are_networks_or_addresses_of_the_ranges() {
    let of = |exclude: &str| pools(&format!(r#""subnet":"10.1.0.0/24","exclude":[{exclude}]"#))[0].2;
    assert_eq!(of(""), 253);
    assert_eq!(of(r#""10.1.0.7""#), 252);
    assert_eq!(of(r#""10.1.0.7","10.1.0.7/32","10.1.0.1""#), 252, "the gateway is none of them anyway");
    assert_eq!(of(r#""10.1.0.16/28""#), 237);
    assert_eq!(of(r#""10.1.0.20/28""#), 237, "host bits are read as the network they lie in");
    assert_eq!(of(r#""10.1.0.0/25","fd00::/64""#), 127);
    for (bad, part) in
        [("x", "neither a network"), ("10.1.0.0/33", "neither"), ("::ffff:10.1.0.5", "IPv6 form")]
    {
        refused(
            &format!(r#""subnet":"10.1.0.0/24","exclude":["10.1.0.9","{bad}"]"#),
            "/ipam/exclude/1",
            part,
        );
    }
    refused(r#""subnet":"10.1.0.0/24","exclude":"10.1.0.9""#, "/ipam/exclude", "takes a list");
    let nothing = "leaves no address";
    refused(r#""subnet":"10.1.0.0/24","exclude":["10.0.0.0/8"]"#, "/ipam/exclude", nothing);
    refused(r#""subnet":"10.1.0.0/30","exclude":["10.1.0.2"]"#, "/ipam/exclude", nothing);
    refused(
        r#""ranges":[[{"subnet":"10.1.0.0/24"}],[{"subnet":"fd00::/120"}]],"exclude":["fd00::/64"]"#,
        "/ipam/exclude",
        nothing,
    );
    refused(r#""subnet":"10.1.0.0/24","rangeEnd":"10.1.0.1""#, "/ipam", "nothing is left");
    // While a set has another pool, one of it may be excluded as a whole.
    let two = r#""ranges":[[{"subnet":"10.1.0.0/24"},{"subnet":"10.2.0.0/24"}]],"exclude":["10.1.0.0/24"]"#;
    assert_eq!(pools(two), [("default".to_owned(), "10.2.0.0/24".to_owned(), 253)]);
}

// Proves: IPAM-3
#[test]
fn an_exclusion_that_touches_no_range_is_noted() {
    let of = |exclude: &str| {
        notes(&format!(
            r#""ranges":[[{{"subnet":"10.1.0.0/24","rangeStart":"10.1.0.10","rangeEnd":"10.1.0.19"}}]],"exclude":["{exclude}"]"#
        ))
    };
    for idle in ["10.1.0.9", "10.1.0.32/28", "fd00::/64", "10.2.0.0/16"] {
        let [note] = &of(idle)[..] else { panic!("{:?}", of(idle)) };
        assert!(note.starts_with("/ipam/exclude/0") && note.contains("touches no range"), "{note}");
    }
    for good in ["10.1.0.10", "10.1.0.19", "10.1.0.16/28"] {
        assert_eq!(of(good), [""; 0], "{good}");
    }
}

// Shows part of: IPAM-4
#[test]
fn a_domain_is_a_dns_label() {
    let of = |domain: &str| pools(&format!(r#""subnet":"10.1.0.0/24","domain":"{domain}""#))[0].0.clone();
    assert_eq!((of(""), of("default"), of("wire-1")), ("default".into(), "default".into(), "wire-1".into()));
    for bad in ["A", "a.b", "a/b", "..", "-a", &"a".repeat(64)] {
        refused(&format!(r#""subnet":"10.1.0.0/24","domain":"{bad}""#), "/ipam/domain", "give a DNS label");
    }
}

// Shows part of: IPAM-85
#[test]
fn keys_without_effect_and_gateways_inside_a_range_are_noted() {
    let cases = [
        (r#""subnet":"10.1.0.0/16","datadir2":1"#, "/ipam/datadir2"),
        (r#""subnet":"10.1.0.0/16","excludes":["10.1.0.5"]"#, "/ipam/excludes"),
        (r#""pools":["a"],"gateway":"10.1.0.1""#, "/ipam/gateway"),
        (r#""ranges":[[{"subnet":"10.1.0.0/16"}]],"rangeStart":"10.1.0.9""#, "/ipam/rangeStart"),
        (r#""ranges":[[{"subnet":"10.1.0.0/16","range_start":"10.1.0.9"}]]"#, "/ipam/ranges/0/0/range_start"),
        (r#""subnet":"10.1.0.0/16","rangeStart":"10.1.0.1""#, "/ipam"),
        (
            r#""ranges":[[{"subnet":"10.1.0.0/16","rangeEnd":"10.1.0.99","gateway":"10.1.0.50"}]]"#,
            "/ipam/ranges/0/0",
        ),
        (r#""subnet":"10.1.0.0/16","routes":[{"dst":"::/0"}]"#, "/ipam/routes"),
    ];
    for (keys, pointer) in cases {
        let found = notes(keys);
        let [note] = &found[..] else { panic!("{keys}: {found:?}") };
        assert!(note.starts_with(&format!("{pointer} ")), "{note}");
    }
    for good in [
        r#""subnet":"10.1.0.0/16","rangeStart":"10.1.4.0","gateway":"10.1.0.1""#,
        r#""subnet":"10.1.0.0/16""#,
        r#""pools":["a","b"],"routes":[{"dst":"10.0.0.0/8"}],"resolvConf":"/etc/x""#,
    ] {
        assert_eq!(notes(good), [""; 0], "{good}");
    }
}

// Shows part of: IPAM-48
#[test]
fn each_source_gives_the_address_asked_of_it_or_says_why_it_never_will() {
    let conf = read(&ipam(
        r#""ranges":[[{"subnet":"10.1.0.0/24","rangeStart":"10.1.0.10","rangeEnd":"10.1.0.19"}],[{"subnet":"fd00::/120"}]],
           "exclude":["10.1.0.15"]"#,
    ))
    .unwrap();
    let of = |source: &AddressSource| match source {
        AddressSource::Inline(set) => set.pools.iter().map(|p| p.pool.clone()).collect::<Vec<_>>(),
        AddressSource::Pool(_) => Vec::new(),
    };
    let all: Vec<Vec<Pool>> = conf.sources.iter().map(of).collect();
    let sources: Vec<Vec<&Pool>> = all.iter().map(|pools| pools.iter().collect()).collect();
    let ask = |raw: &[&str]| {
        let wanted: Vec<IpAddr> = raw.iter().map(|ip| ip.parse().unwrap()).collect();
        assign(&wanted, &sources)
    };
    let ip = |raw: &str| Some(raw.parse::<IpAddr>().unwrap());
    assert_eq!(ask(&[]), Ok(vec![None, None]));
    assert_eq!(ask(&["fd00::9"]), Ok(vec![None, ip("fd00::9")]));
    assert_eq!(ask(&["fd00::9", "10.1.0.11"]), Ok(vec![ip("10.1.0.11"), ip("fd00::9")]));
    for (asked, part) in [
        (&["10.1.0.11", "10.1.0.12"][..], "another one already"),
        (&["10.1.0.15"], "excluded"),
        (&["10.1.0.9"], "not in the pool's ranges"),
        (&["10.1.0.1"], "gateway"),
        (&["10.1.0.255"], "no pod's address in `10.1.0.0/24`, `fd00::/120`"),
        (&["10.2.0.1"], "no pod's address"),
    ] {
        let why = ask(asked).unwrap_err();
        assert!(why.contains(part), "{why}");
    }
}

/// Every key that host-local reads is read here too, or refused in words.
#[test]
fn no_key_of_host_local_is_unknown() {
    for key in crate::host_local::KEYS.iter().filter(|key| **key != "dataDir") {
        assert!(KEYS.contains(key), "{key}");
    }
    let both = r#"{"ipam":{"type":"x","subnet":"10.1.0.0/24","resolvConf":"/c"}}"#;
    let local = HostLocalConf::read(&object(both), &CniArgs::default(), Version::NEWEST).unwrap();
    assert_eq!(read(both).unwrap().resolv_conf, local.resolv_conf);
}
