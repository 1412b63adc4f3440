//! Checks one plugin's configuration by its type: the entry for the plan and the admission webhook.

use std::collections::BTreeMap;

use manifold_cni::convert::{DNS_KEYS, ROUTE_KEYS};
use manifold_cni::{CniArgs, RawObject, Version};

use crate::keys::{self, Owner};
use crate::mac::{self, Sources};
use crate::problem::{Note, Problem};
use crate::{
    BandwidthConf, BondConf, BridgeConf, ClusterLocalConf, DhcpConf, DummyConf, FirewallConf, HostLocalConf,
    IpvlanConf, LoopbackConf, MacvlanConf, PortmapConf, PtpConf, SbrConf, StaticConf, TapConf, TuningConf,
    VlanConf, VrfConf, addressing, bandwidth, bond, bridge, cluster_local, dhcp, dummy, firewall, fit,
    host_device, host_local, ip_range, ipam, ipv6, ipvlan, loopback, macvlan, portmap, ptp, runtime, sbr,
    shared_wire, sriov, static_ipam, tap, tuning, vlan, vlan_link, vrf,
};

/// Everything that can be told from the configuration alone. Types that are not bundled pass: their own plugin knows.
/// `cniVersion` may be missing, as it stands on the list; then the newest is assumed.
pub fn check(type_name: &str, config: &RawObject) -> Result<Vec<Note>, Problem> {
    let own = match type_name {
        "bridge" => {
            BridgeConf::read(config)?;
            mac::requested(config, &CniArgs::default(), Sources::WithArgsCni)?;
            bridge::KEYS
        }
        "ptp" => PtpConf::read(config).map(|_| ptp::KEYS)?,
        "macvlan" => {
            MacvlanConf::read(config)?;
            mac::requested(config, &CniArgs::default(), Sources::WithConfigKey)?;
            macvlan::KEYS
        }
        "loopback" => LoopbackConf::read(config).map(|_| loopback::KEYS)?,
        "vlan" => VlanConf::read(config).map(|_| vlan_link::KEYS)?,
        "ipvlan" => IpvlanConf::read(config).map(|_| ipvlan::KEYS)?,
        "dummy" => DummyConf::read(config).map(|_| dummy::KEYS)?,
        "bond" => BondConf::read(config).map(|_| bond::KEYS)?,
        "host-device" => host_device::notes(config).map(|_| host_device::KEYS)?,
        "tap" | "sriov" => {
            mac::requested(config, &CniArgs::default(), Sources::WithConfigKey)?;
            if type_name == "tap" {
                TapConf::read(config).map(|_| tap::KEYS)?
            } else {
                sriov::notes(config).map(|_| sriov::KEYS)?
            }
        }
        "tuning" => TuningConf::read(config, &CniArgs::default()).map(|_| tuning::KEYS)?,
        "portmap" => PortmapConf::read(config).map(|_| portmap::KEYS)?,
        "bandwidth" => BandwidthConf::read(config).map(|_| bandwidth::KEYS)?,
        "sbr" => SbrConf::read(config).map(|_| sbr::KEYS)?,
        "vrf" => VrfConf::read(config).map(|_| vrf::KEYS)?,
        "firewall" => FirewallConf::read(config).map(|_| firewall::KEYS)?,
        "host-local" | "cluster-local" | "static" | "dhcp" => {
            common(config)?;
            return ipam_notes(type_name, config);
        }
        _ => return Ok(keys::odd_case(config, keys::LIST, "")),
    };
    common(config)?;
    let mut known: Vec<&str> = keys::PROTOCOL.iter().chain(own).copied().collect();
    if ipv6::READERS.contains(&type_name) {
        ipv6::is_kept(config)?;
        known.push(ipv6::KEY);
    }
    let ipam_type = ipam::ipam_type(config)?;
    if ipam_type.as_ref().is_some_and(|t| t.as_str() == cluster_local::TYPE) {
        // KubeVirt makes IPAMClaims for networks that say so. No plugin reads it.
        known.push("allowPersistentIPs");
    }
    let owner = match ipam_type.as_ref().map(|t| t.as_str()) {
        None | Some("host-local" | "cluster-local" | "static" | "dhcp") => Owner::Ours,
        Some(_) => Owner::Shared,
    };
    let mut notes = keys::unknown(config, &known, "", type_name, owner);
    notes.extend(odd_case_inside(config, &[("dns", DNS_KEYS), ("vlanTrunk", vlan::TRUNK_KEYS)], ""));
    notes.extend(odd_case_of_requests(config)?);
    notes.extend(oddities(type_name, config, ipam_type.is_some())?);
    notes.extend(chained_notes(type_name, config)?);
    match ipam_type {
        Some(ipam_type) => {
            notes.extend(ipam_notes(ipam_type.as_str(), config)?);
            if ipam_type.as_str() == "host-local" && !declares(config, "ipRanges")? {
                notes.extend(shared_wire::note(type_name, config)?);
            }
            notes.extend(addressing::gateway(type_name, ipam_type.as_str(), config));
        }
        None if !ipam::section(config)?.is_empty() => notes.push(Note {
            pointer: "/ipam".into(),
            sentence: "`ipam` has no `type`, so it has no effect; add one, or remove the section".into(),
        }),
        None => {}
    }
    Ok(notes)
}

/// What the plugins that work on an interface of others may lack without being wrong.
fn chained_notes(type_name: &str, config: &RawObject) -> Result<Vec<Note>, Problem> {
    let idle = |capability: &str, what: &str| Note {
        pointer: "/capabilities".into(),
        sentence: format!(
            "{type_name} {what}, and does not declare the capability `{capability}`, so it has no effect; declare it"
        ),
    };
    Ok(match type_name {
        "portmap" if !declares(config, "portMappings")? => {
            vec![idle("portMappings", "maps the ports that the runtime names")]
        }
        "bandwidth" if BandwidthConf::read(config)?.is_unlimited() && !declares(config, "bandwidth")? => {
            vec![idle("bandwidth", "has no limit of its own")]
        }
        "firewall" => FirewallConf::notes(config),
        _ => Vec::new(),
    })
}

/// What works, but only under a condition that a definition does not show, or otherwise than it reads.
fn oddities(type_name: &str, config: &RawObject, has_ipam: bool) -> Result<Vec<Note>, Problem> {
    Ok(match type_name {
        "ipvlan" => ipvlan::notes(has_ipam).into_iter().collect(),
        "host-device" => host_device::notes(config)?.into_iter().collect(),
        "sriov" => sriov::notes(config)?,
        "bond" => list_notes(config, "", "links", bond::LINK_KEYS, "bond"),
        _ => Vec::new(),
    })
}

/// Notes on keys in another case in the objects, or lists of objects, under these keys.
pub(crate) fn odd_case_inside(object: &RawObject, inside: &[(&str, &[&str])], place: &str) -> Vec<Note> {
    let mut notes = Vec::new();
    for (key, known) in inside {
        if let Ok(Some(one)) = object.get_as::<RawObject>(key) {
            notes.extend(keys::odd_case(&one, known, &format!("{place}/{key}")));
        }
        let entries: Vec<RawObject> = object.get_as(key).ok().flatten().unwrap_or_default();
        for (n, entry) in entries.iter().enumerate() {
            notes.extend(keys::odd_case(entry, known, &format!("{place}/{key}/{n}")));
        }
    }
    notes
}

/// The same for `args.cni`, which pods and definitions ask by.
fn odd_case_of_requests(config: &RawObject) -> Result<Vec<Note>, Problem> {
    let args = fit::object(config, "args")?;
    let mut notes = keys::odd_case(&args, &["cni"], "/args");
    let cni = fit::object(&args, "cni").map_err(|p| p.under("/args"))?;
    notes.extend(keys::odd_case(&cni, keys::REQUESTS, "/args/cni"));
    Ok(notes)
}

/// Notes on the keys of each object of a list.
fn list_notes(object: &RawObject, place: &str, key: &str, known: &[&str], reader: &str) -> Vec<Note> {
    let entries: Vec<RawObject> = object.get_as(key).ok().flatten().unwrap_or_default();
    let of = |(n, entry)| keys::unknown(entry, known, &format!("{place}/{key}/{n}"), reader, Owner::Ours);
    entries.iter().enumerate().flat_map(of).collect()
}

/// The shapes of the protocol's own keys.
fn common(config: &RawObject) -> Result<(), Problem> {
    let args = fit::object(config, "args")?;
    fit::object(&args, "cni").map_err(|p| p.under("/args"))?;
    runtime::config(config)?;
    fit::key::<BTreeMap<String, bool>>(config, "capabilities")?;
    fit::key::<bool>(config, "ipMasq")?;
    version(config).map(|_| ())
}

fn version(config: &RawObject) -> Result<Version, Problem> {
    match fit::key::<String>(config, "cniVersion")? {
        None => Ok(Version::NEWEST),
        Some(raw) => raw
            .parse()
            .map_err(|e: manifold_cni::version::UnknownVersion| Problem::new("/cniVersion", e.to_string())),
    }
}

fn ipam_notes(ipam_type: &str, config: &RawObject) -> Result<Vec<Note>, Problem> {
    match ipam_type {
        "host-local" => {
            let conf = HostLocalConf::read_without_request(config, version(config)?)?;
            if conf.sets.is_empty() && !declares(config, "ipRanges")? {
                // The same words that ADD would use.
                HostLocalConf::read(config, &CniArgs::default(), version(config)?)?;
            }
            let mut notes = host_local_notes(config)?;
            if !declares(config, "ipRanges")? {
                notes.extend(addressing::host_local(&conf));
            }
            Ok(notes)
        }
        cluster_local::TYPE => {
            let conf = ClusterLocalConf::read_without_request(config, version(config)?)?;
            if conf.sources.is_empty() && !declares(config, "ipRanges")? {
                ClusterLocalConf::read(config, &CniArgs::default(), version(config)?)?;
            }
            cluster_local::notes(config, &conf)
        }
        "static" => {
            let conf = StaticConf::read(config, &CniArgs::default(), version(config)?)?;
            static_notes(config, &conf)
        }
        "dhcp" => {
            DhcpConf::read(config)?;
            let section = ipam::section(config)?;
            let mut notes = keys::unknown(&section, dhcp::KEYS, "/ipam", "dhcp", Owner::Ours);
            notes.extend(list_notes(&section, "/ipam", "request", dhcp::REQUEST_KEYS, "dhcp"));
            notes.extend(list_notes(&section, "/ipam", "provide", dhcp::PROVIDE_KEYS, "dhcp"));
            notes.extend(DhcpConf::notes(config)?);
            Ok(notes)
        }
        _ => Ok(Vec::new()),
    }
}

fn host_local_notes(config: &RawObject) -> Result<Vec<Note>, Problem> {
    let section = ipam::section(config)?;
    let mut notes = keys::unknown(&section, host_local::KEYS, "/ipam", "host-local", Owner::Ours);
    if !section.contains("subnet") {
        let idle = ["rangeStart", "rangeEnd", "gateway"].into_iter().filter(|k| section.contains(k));
        notes.extend(idle.map(|key| Note {
            pointer: format!("/ipam/{key}"),
            sentence: format!("`{key}` has no `subnet`, so it has no effect; move it into a range"),
        }));
    }
    let sets: Vec<Vec<RawObject>> = section.get_as("ranges").ok().flatten().unwrap_or_default();
    for (n, set) in sets.iter().enumerate() {
        for (m, range) in set.iter().enumerate() {
            let place = format!("/ipam/ranges/{n}/{m}");
            notes.extend(keys::unknown(range, ip_range::KEYS, &place, "host-local", Owner::Ours));
        }
    }
    notes.extend(odd_case_inside(&section, &[("routes", ROUTE_KEYS)], "/ipam"));
    Ok(notes)
}

fn static_notes(config: &RawObject, conf: &StaticConf) -> Result<Vec<Note>, Problem> {
    let section = ipam::section(config)?;
    let mut notes = keys::unknown(&section, static_ipam::KEYS, "/ipam", "static", Owner::Ours);
    notes.extend(list_notes(&section, "/ipam", "addresses", static_ipam::ADDRESS_KEYS, "static"));
    notes.extend(odd_case_inside(&section, &[("routes", ROUTE_KEYS), ("dns", DNS_KEYS)], "/ipam"));
    if conf.addresses.is_empty() && !declares(config, "ips")? {
        notes.push(Note {
            pointer: "/ipam/addresses".into(),
            sentence: "there is no address, so every pod must bring its own; \
                       list some, or declare the capability `ips`"
                .into(),
        });
    }
    if !declares(config, "ips")? {
        notes.extend(addressing::static_ipam(conf));
    }
    Ok(notes)
}

fn declares(config: &RawObject, capability: &str) -> Result<bool, Problem> {
    let all: BTreeMap<String, bool> = fit::key(config, "capabilities")?.unwrap_or_default();
    Ok(all.get(capability).copied().unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn notes(kind: &str, raw: &str) -> Vec<(String, String)> {
        let notes = check(kind, &RawObject::parse(raw.as_bytes()).unwrap()).unwrap();
        notes.into_iter().map(|n| (n.pointer, n.sentence)).collect()
    }

    #[track_caller]
    fn refused(kind: &str, raw: &str, pointer: &str) {
        let problem = check(kind, &RawObject::parse(raw.as_bytes()).unwrap()).unwrap_err();
        assert_eq!(problem.pointer, pointer, "{problem}");
    }

    const HOST_LOCAL: &str = r#""ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/16"}]]}"#;

    // Proves: P-USE-2
    #[test]
    fn a_misspelt_key_is_told_with_the_one_that_was_meant() {
        let raw = r#"{"type":"bridge","name":"n","cniVersion":"1.0.0","isGatway":true,"cni.dev/x":1,"args":{"any":1},
            "ipam":{"type":"host-local","datadir":"/x","ranges":[[{"subnet":"10.1.0.0/16","range_start":"10.1.0.9"}]]}}"#;
        let notes = notes("bridge", raw);
        let expected = [
            ("/isGatway", "did you mean `isGateway`?"),
            ("/ipam/datadir", "is read as `dataDir`"),
            ("/ipam/ranges/0/0/range_start", "did you mean `rangeStart`?"),
        ];
        assert_eq!(notes.len(), expected.len(), "{notes:?}");
        for ((pointer, sentence), (at, part)) in notes.iter().zip(expected) {
            assert!(pointer == at && sentence.contains(part), "{pointer}: {sentence}");
        }
        let stranger = r#"{"master":"eth0","colour~/":"blue","ipMasq":false}"#;
        let [(pointer, sentence)] = &self::notes("macvlan", stranger)[..] else { panic!("one note") };
        assert_eq!(pointer, "/colour~0~1");
        assert!(sentence.contains("has no effect"), "{sentence}");
    }

    // Proves: COMPAT-6
    #[test]
    fn a_key_in_another_case_is_read_and_noted() {
        let raw = r#"{"IsGateway":true,"isGateway":true,"hairpinmode":true,"DNS":{"Search":["a"]},"VlanTrunk":[{"minid":1,"maxID":9}],
            "Args":{"CNI":{"MAC":"02:00:00:00:00:01","Mine":1}},
            "IPAM":{"Type":"host-local","Ranges":[[{"Subnet":"10.1.0.0/16","rangestart":"10.1.0.9"}]],"routes":[{"DST":"0.0.0.0/0"}]}}"#;
        let told = notes("bridge", raw);
        let expected = [
            "/IsGateway",
            "/hairpinmode",
            "/DNS",
            "/VlanTrunk",
            "/Args",
            "/IPAM",
            "/dns/Search",
            "/vlanTrunk/0/minid",
            "/args/CNI",
            "/args/cni/MAC",
            "/ipam/Type",
            "/ipam/Ranges",
            "/ipam/ranges/0/0/Subnet",
            "/ipam/ranges/0/0/rangestart",
            "/ipam/routes/0/DST",
        ];
        assert_eq!(told.iter().map(|(pointer, _)| pointer.as_str()).collect::<Vec<_>>(), expected);
        assert!(told[0].1.contains("no effect beside `isGateway`"), "{}", told[0].1);
        assert!(told[1].1.contains("is read as `hairpinMode`; write"), "{}", told[1].1);
        refused("bridge", r#"{"IPAM":{"Type":"host-local","Subnet":"x"}}"#, "/ipam/subnet");
        refused("bridge", r#"{"VLAN":5000}"#, "/VLAN");
    }

    // Proves: PLG-CAL-2
    #[test]
    fn keys_of_an_executed_ipam_pass_and_only_slips_of_ours_are_told() {
        let calico = r#"{"type":"macvlan","datastore_type":"kubernetes","etcd_endpoints":"x","policy":{"type":"k8s"},
            "kubernetes":{"kubeconfig":"/x"},"log_level":"info","nodename":"n",
            "ipam":{"type":"calico-ipam","assign_ipv4":"true","ipv4_pools":["10.0.0.0/8"]}}"#;
        assert_eq!(notes("macvlan", calico), []);
        assert_eq!(notes("macvlan", &calico.replace("nodename", "masterr")).len(), 1);
    }

    // Shows part of: P-USE-2
    #[test]
    fn plugins_that_are_chained_are_checked_and_told_of_slips_too() {
        for (kind, good, slip, meant) in [
            ("tuning", r#""sysctl":{"net.core.somaxconn":"5"}"#, "sysctls", "sysctl"),
            ("portmap", r#""snat":false,"capabilities":{"portMappings":true}"#, "snta", "snat"),
            ("bandwidth", r#""ingressRate":8000,"ingressBurst":8000"#, "egresRate", "egressRate"),
            ("sbr", r#""gateways":["10.0.0.1"]"#, "gateway", "gateways"),
            ("vrf", r#""vrfname":"blue""#, "vrf_name", "vrfname"),
            ("firewall", r#""ingressPolicy":"open""#, "ingresPolicy", "ingressPolicy"),
        ] {
            assert_eq!(notes(kind, &format!("{{{good}}}")), [], "{kind}");
            let told = notes(kind, &format!(r#"{{{good},"{slip}":null}}"#));
            let [(pointer, sentence)] = &told[..] else { panic!("{kind}: {told:?}") };
            assert_eq!(pointer, &format!("/{slip}"));
            assert!(sentence.contains(&format!("did you mean `{meant}`?")), "{sentence}");
        }
        refused("tuning", r#"{"sysctl":{"kernel.hostname":"x"}}"#, "/sysctl/kernel.hostname");
        refused("portmap", r#"{"markMasqBit":40}"#, "/markMasqBit");
        refused("bandwidth", r#"{"egressBurst":8}"#, "/egressBurst");
        refused("sbr", r#"{"gateways":["x"]}"#, "/gateways");
        refused("vrf", "{}", "/vrfname");
        refused("firewall", r#"{"ingressPolicy":"shut"}"#, "/ingressPolicy");
        for kind in ["portmap", "bandwidth"] {
            assert_eq!(notes(kind, "{}")[0].0, "/capabilities");
        }
        assert_eq!(notes("bandwidth", r#"{"capabilities":{"bandwidth":true}}"#), []);
    }

    // Proves: P-USE-2
    #[test]
    fn conditions_that_a_definition_cannot_show_are_told() {
        for (kind, raw, pointer) in [
            ("ipvlan", r#"{"master":"eth0"}"#, "/ipam"),
            ("host-device", "{}", "/device"),
            ("sriov", r#"{"trust":"yes"}"#, "/trust"),
            ("sriov", r#"{"logLevel":"debug"}"#, "/logLevel"),
            ("bond", r#"{"mode":"broadcast","links":[{"name":"a","nmae":1},{"name":"b"}]}"#, "/links/0/nmae"),
            ("vlan", r#"{"master":"eth0","vlanId":5,"vlan_id":5}"#, "/vlan_id"),
            ("tap", r#"{"owner":1,"onwer":1}"#, "/onwer"),
            ("dhcp", r#"{"ipam":{"type":"dhcp","priorty":1}}"#, "/ipam/priorty"),
            ("dhcp", r#"{"ipam":{"type":"dhcp","request":[{"skipDefault":false}]}}"#, "/ipam/request/0"),
            ("dhcp", r#"{"ipam":{"type":"dhcp","provide":[{"option":12}]}}"#, "/ipam/provide/0"),
            (
                "macvlan",
                r#"{"ipam":{"type":"dhcp","provide":[{"option":12,"value":"x","arg":""}]}}"#,
                "/ipam/provide/0/arg",
            ),
        ] {
            let [(at, _)] = &notes(kind, raw)[..] else { panic!("one note on {kind} {raw}") };
            assert_eq!(at, pointer);
        }
        for (kind, raw) in [
            ("sriov", r#"{"vlan":5,"ipam":{"type":"static","addresses":[{"address":"10.1.0.2/24"}]}}"#),
            ("host-device", r#"{"pciBusID":"0000:03:00.1"}"#),
            ("dhcp", r#"{"ipam":{"type":"dhcp"}}"#),
        ] {
            assert_eq!(notes(kind, raw), [], "{kind}");
        }
        refused("tap", r#"{"mac":"00:00:00:00:00:00"}"#, "/mac");
        refused("dummy", "{}", "/ipam");
        refused("macvlan", r#"{"ipv6":"no"}"#, "/ipv6");
        assert_eq!(notes("macvlan", r#"{"ipv6":"keep"}"#), []);
        assert_eq!(notes("tuning", r#"{"ipv6":"keep"}"#).len(), 1);
        refused("host-device", r#"{"pciBusID":"x"}"#, "/pciBusID");
        refused("sriov", r#"{"vlan":5000}"#, "/vlan");
        refused("vlan", r#"{"master":"eth0"}"#, "/vlanId");
        refused("macvlan", r#"{"ipam":{"type":"dhcp","provide":[{"option":0}]}}"#, "/ipam/provide");
    }

    #[test]
    fn types_that_are_not_bundled_pass_whatever_they_carry() {
        assert_eq!(notes("ovs", r#"{"vlan":99999,"ipam":7}"#), []);
    }

    // Proves: F-INP-5
    #[test]
    fn the_protocols_own_keys_have_their_shapes() {
        for (key, value) in [
            ("args", r#""x""#),
            ("runtimeConfig", "[]"),
            ("capabilities", r#"{"ips":"true"}"#),
            ("ipMasq", "1"),
            ("cniVersion", r#""1.0""#),
        ] {
            refused("loopback", &format!(r#"{{"{key}":{value}}}"#), &format!("/{key}"));
            refused("bridge", &format!(r#"{{"{key}":{value}}}"#), &format!("/{key}"));
        }
        refused("loopback", r#"{"args":{"cni":[]}}"#, "/args/cni");
        refused("bridge", r#"{"args":{"cni":{"mac":"01:00:00:00:00:00"}}}"#, "/args/cni/mac");
        refused("macvlan", r#"{"mac":"00:00:00:00:00:00"}"#, "/mac");
    }

    #[test]
    fn the_ipam_of_an_interface_plugin_is_checked_with_it() {
        for kind in ["bridge", "ptp", "host-local"] {
            let ok = format!("{{{HOST_LOCAL}}}");
            assert_eq!(notes(kind, &ok), [], "{kind}");
            let bad = ok.replace("10.1.0.0/16", "10.1.0.1/16");
            refused(kind, &bad, "/ipam/ranges/0/0/subnet");
        }
        refused(
            "bridge",
            r#"{"ipam":{"type":"static","addresses":[{"address":"10.1.0.1"}]}}"#,
            "/ipam/addresses/0/address",
        );
        refused("ptp", "{}", "/ipam");
        // Two v4 sets: it is the version that decides.
        let two =
            r#""ipam":{"type":"host-local","subnet":"10.1.0.0/16","ranges":[[{"subnet":"10.2.0.0/16"}]]}"#;
        assert_eq!(notes("bridge", &format!("{{{two}}}")), []);
        refused("bridge", &format!(r#"{{"cniVersion":"0.2.0",{two}}}"#), "/ipam/ranges/0");
    }

    #[test]
    fn what_the_runtime_may_bring_is_not_missed() {
        refused("bridge", r#"{"ipam":{"type":"host-local"}}"#, "/ipam/ranges");
        assert_eq!(notes("bridge", r#"{"capabilities":{"ipRanges":true},"ipam":{"type":"host-local"}}"#), []);
        assert_eq!(notes("bridge", r#"{"ipam":{"type":"static"}}"#).len(), 1);
        assert_eq!(notes("bridge", r#"{"capabilities":{"ips":true},"ipam":{"type":"static"}}"#), []);
        assert_eq!(notes("bridge", r#"{"ipam":{"subnet":"10.1.0.0/16"}}"#)[0].0, "/ipam");
        assert_eq!(notes("bridge", r#"{"ipam":{}}"#), []);
        let idle =
            format!("{{{}}}", HOST_LOCAL.replace(r#""ranges""#, r#""rangeStart":"10.1.0.5","ranges""#));
        assert_eq!(notes("bridge", &idle)[0].0, "/ipam/rangeStart");
    }
}
