//! From one attachment's result to its status: which interface, which addresses.

use std::net::IpAddr;

use manifold_cni::version::Family;
use manifold_cni::{CniResult, IfName, Interface, IpConfig, Version};

use super::NetworkStatus;
use crate::device_info::DeviceInfo;

/// How many entries one attachment makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entries {
    /// One, about the first interface inside the sandbox (NPWG-5.1.1-1).
    #[default]
    FirstSandboxInterface,
    /// One for each interface inside the sandbox, as Multus writes them.
    EachSandboxInterface,
}

/// One finished attachment, as far as its status needs it.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    /// How the entry is called.
    pub name: &'a str,
    /// Whether it is the pod's default network.
    pub default: bool,
    /// The `CNI_IFNAME` of the attachment: results older than 0.3.0 name no interface.
    pub ifname: &'a IfName,
    /// What ADD answered.
    pub result: &'a CniResult,
    /// The version that the delegate answered in.
    pub version: Version,
    /// Whether the selection carried `default-route`.
    pub asked_default_route: bool,
    /// The device behind it.
    pub device_info: Option<&'a DeviceInfo>,
}

impl NetworkStatus {
    /// The entries of one attachment; never none (NPWG-5.1.1-2).
    pub fn of(described: &Described<'_>, entries: Entries) -> Vec<Self> {
        if described.version.family() == Family::Ip4Ip6 {
            return vec![described.old_result()];
        }
        let inside = |(_, interface): &(usize, &Interface)| !interface.sandbox.is_empty();
        let most = if entries == Entries::EachSandboxInterface { usize::MAX } else { 1 };
        let mut chosen = described.result.interfaces.iter().enumerate().filter(inside).take(most);
        let Some(first) = chosen.next() else { return vec![described.without_interface()] };
        let mut out = vec![described.about(first)];
        // One attachment is one default network at most, so further entries never say `default`.
        out.extend(chosen.map(|other| Self { default: false, ..described.about(other) }));
        out
    }
}

impl Described<'_> {
    fn base(&self) -> NetworkStatus {
        let gateway = self.gateways();
        NetworkStatus {
            name: self.name.to_owned(),
            default: self.default,
            dns: self.result.dns.clone(),
            device_info: self.device_info.cloned(),
            default_route: self.asked_default_route.then(|| gateway.clone()),
            gateway,
            ..NetworkStatus::default()
        }
    }

    fn about(&self, (index, interface): (usize, &Interface)) -> NetworkStatus {
        let ips = self.result.ips.iter().filter(|ip| self.belongs(ip, index));
        NetworkStatus {
            interface: Some(interface.name.clone()),
            ips: ips.map(|ip| ip.address.addr()).collect(),
            mac: Some(interface.mac.clone()).filter(|m| !m.is_empty()),
            mtu: interface.mtu,
            ..self.base()
        }
    }

    /// No interface inside the sandbox: the addresses of the one that is called as the pod's was to be (Azure's plugin says
    /// it so), else the first address that belongs to none, else no address (NPWG-5.3.3-3, -4; COMPAT-35). The entry names
    /// no interface, as with Multus.
    fn without_interface(&self) -> NetworkStatus {
        let ips = &self.result.ips;
        let pods = self.result.interfaces.iter().position(|i| i.name == self.ifname.as_str());
        let chosen: Vec<&IpConfig> = match pods {
            Some(index) => ips.iter().filter(|ip| self.belongs(ip, index)).collect(),
            None => ips.iter().find(|ip| ip.interface.is_none()).into_iter().collect(),
        };
        NetworkStatus { ips: chosen.into_iter().map(|ip| ip.address.addr()).collect(), ..self.base() }
    }

    /// A result that names one interface means it, even where it leaves the index out (MLT-STS-3).
    fn belongs(&self, ip: &IpConfig, index: usize) -> bool {
        let only = self.result.interfaces.len() == 1;
        ip.interface == Some(index) || (only && ip.interface.is_none())
    }

    fn old_result(&self) -> NetworkStatus {
        NetworkStatus {
            interface: Some(self.ifname.to_string()),
            ips: self.result.ips.iter().map(|ip| ip.address.addr()).collect(),
            ..self.base()
        }
    }

    /// A default route without its own next hop goes by the gateway of the address of that family (CNI-RES-4).
    fn gateways(&self) -> Vec<IpAddr> {
        let mut out = Vec::new();
        for route in self.result.routes.iter().filter(|r| r.is_default()) {
            let v4 = route.dst.addr().is_ipv4();
            let of_address =
                || self.result.ips.iter().filter_map(|ip| ip.gateway).find(|g| g.is_ipv4() == v4);
            if let Some(gateway) = route.gw.or_else(of_address).filter(|g| !out.contains(g)) {
                out.push(gateway);
            }
        }
        out
    }
}
