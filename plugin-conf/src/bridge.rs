//! `bridge`: a port on a Linux bridge of the host (PLG-BRIDGE-1 to -11).

use ipnet::IpNet;
use manifold_cni::{IfName, RawObject};
use serde::Deserialize;

use crate::problem::Problem;
use crate::{DnsConf, MasqBackend, Mtu, Trunk, VlanId, fit, ipam};

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BridgeConf {
    #[serde(deserialize_with = "bridge_name")]
    pub bridge: IfName,
    pub is_gateway: bool,
    /// Implies `is_gateway`: see [`Self::is_gateway`].
    pub is_default_gateway: bool,
    pub force_address: bool,
    pub ip_masq: bool,
    pub ip_masq_backend: MasqBackend,
    /// Ours: networks towards which a pod of theirs keeps its address, the other nodes' pods for one.
    pub ip_masq_except: Vec<IpNet>,
    pub mtu: Mtu,
    pub hairpin_mode: bool,
    pub promisc_mode: bool,
    pub vlan: VlanId,
    pub vlan_trunk: Trunk,
    pub preserve_default_vlan: bool,
    pub macspoofchk: bool,
    pub enabledad: bool,
    pub disable_container_interface: bool,
    pub port_isolation: bool,
    pub dns: DnsConf,
}

pub const KEYS: &[&str] = &[
    "bridge",
    "isGateway",
    "isDefaultGateway",
    "forceAddress",
    "ipMasq",
    "ipMasqBackend",
    "ipMasqExcept",
    "mtu",
    "hairpinMode",
    "promiscMode",
    "vlan",
    "vlanTrunk",
    "preserveDefaultVlan",
    "macspoofchk",
    "enabledad",
    "disableContainerInterface",
    "portIsolation",
];

impl Default for BridgeConf {
    fn default() -> Self {
        Self {
            bridge: default_bridge(),
            is_gateway: false,
            is_default_gateway: false,
            force_address: false,
            ip_masq: false,
            ip_masq_backend: MasqBackend::Auto,
            ip_masq_except: Vec::new(),
            mtu: Mtu::default(),
            hairpin_mode: false,
            promisc_mode: false,
            vlan: VlanId::default(),
            vlan_trunk: Trunk::default(),
            preserve_default_vlan: false,
            macspoofchk: false,
            enabledad: false,
            disable_container_interface: false,
            port_isolation: false,
            dns: DnsConf::default(),
        }
    }
}

impl BridgeConf {
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        let conf: Self = fit::fit(config)?;
        conf.rules(ipam::ipam_type(config)?.is_some())?;
        Ok(conf)
    }

    /// For DEL: what can still be understood.
    pub fn read_leniently(config: &RawObject) -> Self {
        fit::fit_leniently(config)
    }

    /// The address with the network beyond which it is masqueraded: its own, or a wider one of `ipMasqExcept`.
    pub fn masqueraded_beyond(&self, address: IpNet) -> IpNet {
        let around =
            self.ip_masq_except.iter().filter(|net| net.contains(&address)).map(IpNet::prefix_len).min();
        let length = around.unwrap_or(address.prefix_len());
        IpNet::new(address.addr(), length).unwrap_or(address)
    }

    pub fn is_gateway(&self) -> bool {
        self.is_gateway || self.is_default_gateway
    }

    /// VLANs are asked for, so the bridge must filter.
    pub fn wants_vlans(&self) -> bool {
        self.vlan.get().is_some() || !self.vlan_trunk.is_empty()
    }

    fn rules(&self, has_ipam: bool) -> Result<(), Problem> {
        if self.hairpin_mode && self.promisc_mode {
            let why = "`hairpinMode` and `promiscMode` would deliver each packet twice; turn one of them off";
            return Err(Problem::new("/hairpinMode", why));
        }
        if self.disable_container_interface && has_ipam {
            let why = "`disableContainerInterface` keeps the interface down, so it can carry no addresses; \
                       remove it, or remove `ipam`";
            return Err(Problem::new("/disableContainerInterface", why));
        }
        Ok(())
    }
}

fn default_bridge() -> IfName {
    "cni0".parse().expect("`cni0` is an interface name")
}

fn bridge_name<'de, D: serde::Deserializer<'de>>(d: D) -> Result<IfName, D::Error> {
    Ok(fit::empty_is_none(d)?.unwrap_or_else(default_bridge))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(raw: &str) -> RawObject {
        RawObject::parse(raw.as_bytes()).unwrap()
    }

    fn read(raw: &str) -> Result<BridgeConf, Problem> {
        BridgeConf::read(&object(raw))
    }

    #[track_caller]
    fn refused(raw: &str, pointer: &str, part: &str) {
        let problem = read(raw).unwrap_err();
        assert_eq!(problem.pointer, pointer, "{problem}");
        assert!(problem.sentence.contains(part), "{problem}");
    }

    #[test]
    fn a_pod_keeps_its_address_towards_the_excepted_network_around_it() {
        let conf =
            read(r#"{"ipMasq":true,"ipMasqExcept":["10.244.0.0/16","fd00::/48"],"ipam":{"type":"x"}}"#)
                .unwrap();
        let beyond = |ip: &str| conf.masqueraded_beyond(ip.parse().unwrap()).to_string();
        assert_eq!(beyond("10.244.1.7/24"), "10.244.1.7/16");
        assert_eq!(beyond("fd00:0:0:1::7/64"), "fd00:0:0:1::7/48");
        assert_eq!(beyond("10.9.1.7/24"), "10.9.1.7/24");
    }

    // Proves: PLG-BRIDGE-1, PLG-BRIDGE-11
    #[test]
    fn nothing_given_means_cni0_without_any_extra() {
        for raw in ["{}", r#"{"bridge":"","ipam":{},"mtu":null,"vlanTrunk":[]}"#, r#"{"ipam":null}"#] {
            let conf = read(raw).unwrap();
            assert_eq!(conf.bridge.as_str(), "cni0");
            assert_eq!(conf.mtu.get(), None);
            assert!(!conf.is_gateway() && !conf.wants_vlans() && !conf.dns.any_field);
            assert!(
                !conf.preserve_default_vlan && !conf.ip_masq && conf.ip_masq_backend == MasqBackend::Auto
            );
        }
    }

    // Proves: PLG-BRIDGE-2, PLG-BRIDGE-3, PLG-BRIDGE-4, PLG-BRIDGE-5, PLG-BRIDGE-7, PLG-BRIDGE-8, PLG-BRIDGE-9, PLG-BRIDGE-10
    #[test]
    fn every_key_is_read() {
        let conf = read(
            r#"{"bridge":"br7","isDefaultGateway":true,"forceAddress":true,"ipMasq":true,"ipMasqBackend":"nftables",
                "mtu":1400,"hairpinMode":true,"vlan":100,"vlanTrunk":[{"id":5}],"preserveDefaultVlan":true,
                "macspoofchk":true,"enabledad":true,"disableContainerInterface":true,"portIsolation":true,
                "dns":{"search":[]}}"#,
        )
        .unwrap();
        assert_eq!((conf.bridge.as_str(), conf.mtu.get(), conf.vlan.get()), ("br7", Some(1400), Some(100)));
        assert!(conf.is_gateway() && conf.force_address && conf.ip_masq && conf.hairpin_mode);
        assert!(conf.preserve_default_vlan && conf.macspoofchk && conf.enabledad && conf.port_isolation);
        assert!(conf.disable_container_interface && conf.dns.any_field && conf.wants_vlans());
        assert_eq!((conf.ip_masq_backend, conf.vlan_trunk.ids()), (MasqBackend::Nftables, &[5][..]));
        assert!(read(r#"{"promiscMode":true}"#).unwrap().promisc_mode);
    }

    // Proves: PLG-BRIDGE-6, PLG-BRIDGE-7, PLG-BRIDGE-8, PLG-BRIDGE-10, PLG-COM-22
    #[test]
    fn every_broken_rule_names_its_key() {
        refused(r#"{"hairpinMode":true,"promiscMode":true}"#, "/hairpinMode", "turn one of them off");
        refused(r#"{"vlan":-1}"#, "/vlan", "-1 is not a VLAN id");
        refused(r#"{"vlan":4095}"#, "/vlan", "4095 is not a VLAN id");
        refused(r#"{"vlanTrunk":[{"id":4095}]}"#, "/vlanTrunk", "entry 0");
        let both = r#"{"disableContainerInterface":true,"ipam":{"type":"host-local"}}"#;
        refused(both, "/disableContainerInterface", "remove `ipam`");
        refused(r#"{"ipMasqBackend":"ipchains"}"#, "/ipMasqBackend", "`ipchains` is not a backend");
        refused(r#"{"mtu":-1}"#, "/mtu", "-1 is not an MTU");
        refused(r#"{"mtu":"1500"}"#, "/mtu", "takes a whole number");
        refused(r#"{"isGateway":"yes"}"#, "/isGateway", "takes `true` or `false`");
        refused(r#"{"bridge":"a-name-of-16-byt"}"#, "/bridge", "15 bytes");
        refused(r#"{"ipam":[]}"#, "/ipam", "takes an object");
        refused(r#"{"ipam":{"type":"../x"}}"#, "/ipam/type", "bare name");
        refused(r#"{"ipam":{"type":7}}"#, "/ipam/type", "takes a string");
        refused(r#"{"dns":{"search":"x"}}"#, "/dns", "takes a list");
    }

    // Proves: PLG-COM-14
    #[test]
    fn dns_counts_as_written_by_any_field_even_an_empty_list() {
        for (raw, expected) in [
            ("{}", false),
            (r#"{"nameservers":[]}"#, true),
            (r#"{"options":["a"]}"#, true),
            (r#"{"domain":""}"#, false),
            (r#"{"domain":"x"}"#, true),
            (r#"{"search":null}"#, false),
        ] {
            assert_eq!(read(&format!(r#"{{"dns":{raw}}}"#)).unwrap().dns.any_field, expected, "{raw}");
        }
    }

    #[test]
    fn del_reads_what_it_can_of_a_configuration_that_add_would_refuse() {
        let conf =
            BridgeConf::read_leniently(&object(r#"{"bridge":"br7","vlan":9999,"mtu":[],"ipMasq":true}"#));
        assert_eq!((conf.bridge.as_str(), conf.ip_masq, conf.vlan.get()), ("br7", true, None));
    }
}
