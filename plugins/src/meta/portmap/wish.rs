//! Which mappings lead to which of the pod's addresses (PLG-PORTMAP-3, -5).

use ipnet::IpNet;
use manifold_net::Family;
use manifold_plugin_conf::portmap::PortMapping;

/// One address of the pod, with its network, and what is to lead to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) address: IpNet,
    pub(super) mappings: Vec<PortMapping>,
}

impl Wish {
    pub(super) fn family(&self) -> Family {
        Family::of(self.address.addr())
    }
}

/// For the first address of each family, those mappings that do not name an address of the other.
pub(super) fn of(addresses: impl Iterator<Item = IpNet>, mappings: &[PortMapping]) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = Vec::new();
    for address in addresses {
        let family = Family::of(address.addr());
        if wishes.iter().any(|wish| wish.family() == family) {
            continue;
        }
        let fits = |mapping: &&PortMapping| mapping.host_ip.is_none_or(|ip| Family::of(ip) == family);
        wishes.push(Wish { address, mappings: mappings.iter().filter(fits).copied().collect() });
    }
    wishes.retain(|wish| !wish.mappings.is_empty());
    wishes
}

/// The address that packets must be to; `None` for any of the host.
pub(super) fn host_address(mapping: &PortMapping) -> Option<std::net::IpAddr> {
    mapping.host_ip.filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use manifold_plugin_conf::portmap::Protocol;

    use super::*;

    // Proves: PLG-PORTMAP-3, PLG-PORTMAP-5
    #[test]
    fn the_first_address_of_each_family_gets_the_mappings_of_its_family() {
        let mapping = |host_port, ip: Option<&str>| PortMapping {
            host_port,
            container_port: 80,
            protocol: Protocol::Tcp,
            host_ip: ip.map(|ip| ip.parse().unwrap()),
        };
        let mappings = [mapping(1, None), mapping(2, Some("fd00::9")), mapping(3, Some("0.0.0.0"))];
        let ips = |raw: &[&str]| raw.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpNet>>().into_iter();
        let wishes = of(ips(&["10.1.0.2/24", "10.1.0.3/24", "fd00::2/64"]), &mappings);
        let ports: Vec<(String, Vec<u16>)> = wishes
            .iter()
            .map(|wish| (wish.address.to_string(), wish.mappings.iter().map(|m| m.host_port).collect()))
            .collect();
        assert_eq!(ports, [("10.1.0.2/24".into(), vec![1, 3]), ("fd00::2/64".into(), vec![1, 2])]);
        assert_eq!(of(ips(&["10.1.0.2/24"]), &mappings[1..2]), []);
        assert_eq!(host_address(&mappings[2]), None);
        assert!(host_address(&mappings[1]).is_some());
    }
}
