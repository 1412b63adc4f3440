use super::*;

fn read(raw: &str, args: &str) -> Result<StaticConf, Problem> {
    let config = RawObject::parse(raw.as_bytes()).unwrap();
    StaticConf::read(&config, &CniArgs::parse(args), Version::NEWEST)
}

/// `address` or `address via gateway`.
fn shown(raw: &str, args: &str) -> Vec<String> {
    let via = |a: &StaticAddress| match a.gateway {
        Some(gw) => format!("{} via {gw}", a.address),
        None => a.address.to_string(),
    };
    read(raw, args).unwrap().addresses.iter().map(via).collect()
}

#[track_caller]
fn refused(raw: &str, args: &str, pointer: &str, part: &str) {
    let problem = read(raw, args).unwrap_err();
    assert_eq!(problem.pointer, pointer, "{problem}");
    assert!(problem.sentence.contains(part), "{problem}");
}

const TWO: &str = r#""ipam":{"type":"static","addresses":[
    {"address":"10.1.0.5/24","gateway":"10.1.0.1"},{"address":"fd00::5/64"}]}"#;

// Proves: PLG-STATIC-1, PLG-STATIC-5
#[test]
fn addresses_routes_and_dns_come_as_they_are_written() {
    let conf = read(
        r#"{"ipam":{"type":"static","addresses":[{"address":"10.1.0.5/24"}],
            "routes":[{"dst":"10.9.0.0/16","gw":"10.1.0.1"},{"dst":"10.9.0.0/16","gw":"10.1.0.2"}],
            "dns":{"nameservers":["192.0.2.1"],"domain":"d","search":["s"],"options":["o"]}}}"#,
        "",
    )
    .unwrap();
    let gateways: Vec<String> = conf.routes.iter().map(|r| r.gw.unwrap().to_string()).collect();
    assert_eq!(gateways, ["10.1.0.1", "10.1.0.2"]);
    assert_eq!((conf.dns.domain.as_str(), conf.dns.nameservers.len()), ("d", 1));
    assert_eq!(shown(&format!("{{{TWO}}}"), ""), ["10.1.0.5/24 via 10.1.0.1", "fd00::5/64"]);
}

// Proves: PLG-STATIC-1, PLG-STATIC-4, F-INP-4
#[test]
fn every_broken_rule_names_its_key() {
    let one = |entry: &str| {
        format!(r#"{{"ipam":{{"type":"static","addresses":[{{"address":"10.9.9.9/8"}},{entry}]}}}}"#)
    };
    refused(&one(r#"{"address":"10.1.0.5"}"#), "", "/ipam/addresses/1/address", "no prefix length");
    refused(&one(r#"{"address":"x/24"}"#), "", "/ipam/addresses/1/address", "not an address");
    refused(&one("{}"), "", "/ipam/addresses/1/address", "missing");
    refused(&one(r#"{"address":"::ffff:10.0.0.1/120"}"#), "", "/ipam/addresses/1/address", "IPv6 form");
    refused(&one(r#"{"address":"10.1.0.5/24","gateway":"x"}"#), "", "/ipam/addresses/1/gateway", "not an IP");
    refused(
        &one(r#"{"address":"10.1.0.5/24","gateway":"fd00::1"}"#),
        "",
        "/ipam/addresses/1/gateway",
        "families",
    );
    refused(&one(r#"{"address":"10.1.0.5/24","gateway":"10.1.0.5"}"#), "", "/ipam/addresses", "own gateway");
    refused("{}", "", "/ipam", "no `ipam` section");
    refused(r#"{"ipam":null}"#, "", "/ipam", "no `ipam` section");
}

// Proves: PLG-STATIC-2
#[test]
fn cni_args_append_addresses_and_give_gateways_to_those_that_contain_them() {
    let args = "IgnoreUnknown=1;IP=10.2.0.5/24, fd01::5/64;GATEWAY=10.2.0.1,fd01::1";
    assert_eq!(
        shown(&format!("{{{TWO}}}"), args),
        ["10.1.0.5/24 via 10.1.0.1", "fd00::5/64", "10.2.0.5/24 via 10.2.0.1", "fd01::5/64 via fd01::1"]
    );
    assert_eq!(shown(r#"{"ipam":{"type":"static"}}"#, "IP=10.2.0.5/24"), ["10.2.0.5/24"]);
    refused(
        &format!("{{{TWO}}}"),
        "IP=10.2.0.5",
        "",
        "CNI_ARGS: requested address: `10.2.0.5` has no prefix",
    );
    refused(&format!("{{{TWO}}}"), "GATEWAY=x", "", "CNI_ARGS: `GATEWAY`");
}

// Proves: PLG-STATIC-3, CNI-CNV-4, CNI-CNV-2
#[test]
fn the_runtime_outranks_args_cni_which_outranks_the_rest() {
    let args = r#""args":{"cni":{"ips":["10.3.0.5/24","fd03::5/64"]}}"#;
    let runtime = r#""runtimeConfig":{"ips":["10.4.0.5/24"]}"#;
    let env = "IP=10.2.0.5/24;GATEWAY=10.2.0.1";
    assert_eq!(shown(&format!("{{{TWO},{args},{runtime}}}"), env), ["10.4.0.5/24"]);
    assert_eq!(shown(&format!("{{{TWO},{args}}}"), env), ["10.3.0.5/24", "fd03::5/64"]);
    assert_eq!(shown(&format!(r#"{{{TWO},"runtimeConfig":{{"ips":[]}}}}"#), "").len(), 2);
    let bad = format!(r#"{{{TWO},"runtimeConfig":{{"ips":["10.4.0.5"]}}}}"#);
    refused(&bad, "", "/runtimeConfig/ips/0", "no prefix length");
    let bad = format!(r#"{{{TWO},"args":{{"cni":{{"ips":["10.4.0.5"]}}}}}}"#);
    refused(&bad, "", "/args/cni/ips/0", "no prefix length");
}

// Proves: PLG-STATIC-4
#[test]
fn no_address_is_no_error_and_old_versions_have_room_for_one_of_each_family() {
    assert!(shown(r#"{"ipam":{"type":"static"}}"#, "").is_empty());
    let two =
        r#"{"ipam":{"type":"static","addresses":[{"address":"10.1.0.5/24"},{"address":"10.1.0.6/24"}]}}"#;
    let two = RawObject::parse(two.as_bytes()).unwrap();
    let dual = RawObject::parse(format!("{{{TWO}}}").as_bytes()).unwrap();
    for version in Version::ALL {
        assert!(StaticConf::read(&dual, &CniArgs::default(), version).is_ok());
        let read = StaticConf::read(&two, &CniArgs::default(), version);
        assert_eq!(read.is_ok(), version > Version::V0_2_0, "{version}");
    }
}
