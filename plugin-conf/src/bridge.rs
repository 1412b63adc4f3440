//! `bridge`: a port on a Linux bridge of the host (PLG-BRIDGE-1 to -11).

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
