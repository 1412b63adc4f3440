//! The bridge as the pods' gateway: which address that is, and where in the host it goes (PLG-BRIDGE-15, -17).

use std::net::IpAddr;

use ipnet::IpNet;
use manifold_cni::{CniError, CniResult, RawObject, Route};
use manifold_net::{AddressOptions, BridgeVlan, Family, Link, Net, VethSpec, sysctl};
use manifold_plugin_conf::{BridgeConf, ipam, whereabouts};

use super::{OWN, port};
use crate::interface::failure::{Told, gone_is_fine};
use crate::interface::forwarding;
use crate::interface::undo::Undo;

/// Where a gateway comes from that IPAM's answer does not name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// An IPAM plugin that keeps the first address of its subnets free, or whose addresses the definition lists.
    FirstHost,
    /// Another one may give out every address of its subnets. Only the definition can name one that is free, or keep the first
    /// one free.
    Given { ipam: &'a str, config: &'a RawObject },
}

impl<'a> Source<'a> {
    pub(super) fn of(ipam: &'a str, config: &'a RawObject) -> Self {
        match ipam {
            "host-local" | "static" | "dhcp" => Self::FirstHost,
            _ => Self::Given { ipam, config },
        }
    }

    fn gateway(self, address: IpNet) -> Result<IpAddr, CniError> {
        let Self::Given { ipam, config } = self else { return first_host(address) };
        let given = ipam::given_gateway(config).filter(|gateway| address.contains(gateway));
        let kept_free = || {
            let first = first_host(address).ok()?;
            (ipam == "whereabouts" && whereabouts::leaves_out(config, first)).then_some(first)
        };
        given.or_else(kept_free).ok_or_else(|| {
            CniError::failed(format!(
                "`isGateway` needs a gateway in the pod's subnet, and IPAM plugin `{ipam}` gave `{address}` without one: \
                 any other address of that subnet may become a pod's; keep one out of its pool and name it in \
                 `ipam.gateway`, or turn `isGateway` off"
            ))
        })
    }
}

/// Points the addresses at the container's interface, and fills in gateways and default routes where the
/// configuration makes the bridge the gateway. Touches nothing but the result.
pub(super) fn complete(
    result: &mut CniResult,
    conf: &BridgeConf,
    source: Source<'_>,
) -> Result<(), CniError> {
    for ip in &mut result.ips {
        ip.interface = Some(OWN);
        if !conf.is_gateway() {
            continue;
        }
        let gateway = ip.gateway.map_or_else(|| source.gateway(ip.address), Ok)?;
        if gateway == ip.address.addr() {
            return Err(CniError::failed(format!(
                "IPAM gave the pod `{gateway}`, which is the gateway's address; keep it out of IPAM's pool, or name \
                 another gateway"
            )));
        }
        ip.gateway = Some(gateway);
    }
    if !conf.is_default_gateway {
        return Ok(());
    }
    for family in [Family::V4, Family::V6] {
        let gateway =
            result.ips.iter().filter(|ip| Family::of(ip.address.addr()) == family).find_map(|ip| ip.gateway);
        let given = |route: &Route| {
            route.is_default() && Family::of(route.dst.addr()) == family && route.gw.is_some()
        };
        if let Some(gateway) = gateway
            && !result.routes.iter().any(given)
        {
            let everything = manifold_net::Route::default_of(family).dst;
            result.routes.push(Route::new(everything, Some(gateway)));
        }
    }
    Ok(())
}

fn first_host(address: IpNet) -> Result<IpAddr, CniError> {
    let next = match address.network() {
        _ if address.prefix_len() == address.max_prefix_len() => None,
        IpAddr::V4(ip) => u32::from(ip).checked_add(1).map(|ip| IpAddr::V4(ip.into())),
        IpAddr::V6(ip) => u128::from(ip).checked_add(1).map(|ip| IpAddr::V6(ip.into())),
    };
    next.ok_or_else(|| {
        CniError::failed(format!(
            "`isGateway` needs a gateway in the pod's subnet, and IPAM gave the single address `{address}` without \
             one; use an IPAM that gives subnets, or turn `isGateway` off"
        ))
    })
}

/// Puts every gateway on the bridge, or on the bridge's interface in the VLAN; tells the latter.
pub(super) fn put<'a>(
    undo: &mut Undo<'a>,
    host: &'a Net,
    bridge: &Link,
    result: &CniResult,
    conf: &BridgeConf,
) -> Result<Option<Link>, CniError> {
    let vlan = match conf.vlan.get() {
        Some(id) => Some(vlan_interface(undo, host, bridge, id, conf)?),
        None => None,
    };
    let gateways: Vec<IpNet> = result.ips.iter().filter_map(on_subnet).collect();
    for gateway in &gateways {
        ensure_address(host, vlan.as_ref().unwrap_or(bridge), *gateway, conf.force_address)?;
    }
    forwarding::enable(host, gateways.iter().map(IpNet::addr))?;
    Ok(vlan)
}

fn on_subnet(ip: &manifold_cni::IpConfig) -> Option<IpNet> {
    IpNet::new(ip.gateway?, ip.address.prefix_len()).ok()
}

fn ensure_address(host: &Net, link: &Link, wanted: IpNet, force: bool) -> Result<(), CniError> {
    let present = host.addresses(link.index).told()?;
    if present.iter().any(|address| address.ip == wanted) {
        return Ok(());
    }
    for conflict in present.iter().map(|address| address.ip).filter(|ip| conflicts(*ip, wanted)) {
        if !force {
            return Err(CniError::failed(format!(
                "`{}` has address `{conflict}`, which conflicts with the gateway `{wanted}`; correct the subnet, name \
                 another `bridge`, or set `forceAddress`",
                link.name
            )));
        }
        gone_is_fine(host.del_address(link.index, conflict))?;
    }
    // Every node may have this very gateway on its bridge: a duplicate is meant, and must not disable it.
    let options = AddressOptions { no_dad: true, ..AddressOptions::default() };
    match host.add_address(link.index, wanted, options) {
        Err(error) if error.is_exists() => Ok(()), // Another pod's ADD was faster.
        added => added.told(),
    }
}

/// IPv4 has one address per bridge; IPv6 any number, in subnets apart.
fn conflicts(present: IpNet, wanted: IpNet) -> bool {
    match (present, wanted) {
        (IpNet::V4(_), IpNet::V4(_)) => true,
        (IpNet::V6(_), IpNet::V6(_)) => present.contains(&wanted.addr()) || wanted.contains(&present.addr()),
        _ => false,
    }
}

/// `<bridge>.<vlan>`: the host's own leg in the VLAN, a veth pair with its other end on the bridge. Made once, then
/// shared like the bridge.
fn vlan_interface<'a>(
    undo: &mut Undo<'a>,
    host: &'a Net,
    bridge: &Link,
    vlan: u16,
    conf: &BridgeConf,
) -> Result<Link, CniError> {
    let name = format!("{}.{vlan}", bridge.name);
    if name.len() > 15 {
        let text =
            format!("the gateway's interface would be called `{name}`, which is too long; shorten `bridge`");
        return Err(CniError::failed(text));
    }
    if let Some(found) = host.link(&name).told()? {
        return whole(host, bridge, found, vlan, conf);
    }
    let mtu = Some(bridge.mtu);
    let (leg, port) =
        match host.add_veth(&VethSpec { name: &name, mtu, peer_mtu: mtu, ..VethSpec::default() }) {
            Err(error) if error.is_exists() => {
                // Another pod's ADD was faster.
                let found = host.link(&name).told()?.ok_or_else(|| CniError::failed(error.to_string()))?;
                return whole(host, bridge, found, vlan, conf);
            }
            made => made.told()?,
        };
    if let Err(error) = connect(host, bridge, &leg, &port, vlan, conf) {
        // Half made it would be taken for whole by the next ADD.
        undo.done("VLAN interface of the gateway", move || gone_is_fine(host.delete(leg.index)))?;
        return Err(error);
    }
    Ok(leg)
}

/// One that is there; what an ADD that was killed has left of it is completed. It is set up last, so one that is up was
/// whole. Another kind of link, or one on another bridge, is the administrator's.
fn whole(host: &Net, bridge: &Link, leg: Link, vlan: u16, conf: &BridgeConf) -> Result<Link, CniError> {
    if leg.up || !leg.is_kind("veth") {
        return Ok(leg);
    }
    let port = leg.peer_or_parent.map_or(Ok(None), |index| host.link_by_index(index)).told()?;
    let ours = |port: &Link| port.is_kind("veth") && port.master.is_none_or(|master| master == bridge.index);
    match port.filter(ours) {
        Some(port) => connect(host, bridge, &leg, &port, vlan, conf).map(|()| leg),
        None => Ok(leg),
    }
}

fn connect(
    host: &Net,
    bridge: &Link,
    leg: &Link,
    port: &Link,
    vlan: u16,
    conf: &BridgeConf,
) -> Result<(), CniError> {
    host.set_master(port.index, bridge.index).told()?;
    port::set_vlans(host, port, &[BridgeVlan::access(vlan)], conf.preserve_default_vlan)?;
    for link in [port, leg] {
        match sysctl::set(&["net", "ipv6", "conf", &link.name, "accept_ra"], "0") {
            Err(error) if error.is_not_found() => {}
            set => set.told()?,
        }
        host.set_up(link.index).told()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(conf: &str, result: &str) -> Result<CniResult, CniError> {
        completed_for("host-local", conf, result)
    }

    fn completed_for(ipam: &str, raw: &str, result: &str) -> Result<CniResult, CniError> {
        let conf: BridgeConf = serde_json::from_str(raw).unwrap();
        let mut result: CniResult = serde_json::from_str(result).unwrap();
        let config = RawObject::parse(raw.as_bytes()).unwrap();
        complete(&mut result, &conf, Source::of(ipam, &config)).map(|()| result)
    }

    fn routes(result: &CniResult) -> Vec<String> {
        result.routes.iter().map(|r| format!("{} {:?}", r.dst, r.gw.map(|gw| gw.to_string()))).collect()
    }

    // Proves: PLG-BRIDGE-15
    #[test]
    fn the_gateway_is_the_first_host_only_when_the_bridge_is_the_gateway() {
        let ips =
            r#"{"ips": [{"address": "10.1.2.77/24"}, {"address": "fd00::77/64", "gateway": "fd00::9"}]}"#;
        let gateways = |result: CniResult| -> Vec<_> {
            result.ips.iter().map(|ip| ip.gateway.map(|gw| gw.to_string())).collect()
        };
        let text = |gw: &str| Some(gw.to_owned());
        assert_eq!(
            gateways(completed(r#"{"isGateway": true}"#, ips).unwrap()),
            [text("10.1.2.1"), text("fd00::9")]
        );
        assert_eq!(gateways(completed("{}", ips).unwrap()), [None, text("fd00::9")]);
        let result = completed(r#"{"isDefaultGateway": true}"#, ips).unwrap();
        assert_eq!(routes(&result), [r#"0.0.0.0/0 Some("10.1.2.1")"#, r#"::/0 Some("fd00::9")"#]);
        assert!(result.ips.iter().all(|ip| ip.interface == Some(OWN)));
    }

    // Proves: PLG-BRIDGE-15
    #[test]
    fn ipams_own_default_route_stands() {
        let given =
            r#"{"ips": [{"address": "10.1.2.77/24"}], "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.2.9"}]}"#;
        let result = completed(r#"{"isDefaultGateway": true}"#, given).unwrap();
        assert_eq!(routes(&result), [r#"0.0.0.0/0 Some("10.1.2.9")"#]);
    }

    // Proves: PLG-CAL-3
    #[test]
    fn a_single_address_can_have_no_gateway() {
        let error =
            completed(r#"{"isGateway": true}"#, r#"{"ips": [{"address": "192.168.7.3/32"}]}"#).unwrap_err();
        assert!(error.msg.contains("`192.168.7.3/32`"), "{error}");
        completed("{}", r#"{"ips": [{"address": "192.168.7.3/32"}]}"#).unwrap();
    }

    // Proves: COMPAT-19
    #[test]
    fn a_foreign_ipam_plugin_keeps_its_addresses_and_the_definition_may_name_the_gateway() {
        let block = r#"{"ips": [{"address": "10.201.0.0/28"}]}"#;
        let refused = |conf: &str| completed_for("calico-ipam", conf, block).unwrap_err().msg;
        for conf in [
            r#"{"isGateway": true}"#,
            r#"{"isDefaultGateway": true, "ipam": {"gateway": "10.201.0.17"}}"#,
            r#"{"isGateway": true, "ipam": {"gateway": ["10.201.0.1"]}}"#,
        ] {
            let msg = refused(conf);
            assert!(
                msg.contains("`calico-ipam` gave `10.201.0.0/28`") && msg.contains("`ipam.gateway`"),
                "{msg}"
            );
        }
        let given = r#"{"isGateway": true, "ipam": {"gateway": "10.201.0.14"}}"#;
        let result = completed_for("calico-ipam", given, block).unwrap();
        assert_eq!(result.ips[0].gateway.map(|gw| gw.to_string()).as_deref(), Some("10.201.0.14"));
        let itself = r#"{"isGateway": true, "ipam": {"gateway": "10.201.0.0"}}"#;
        assert!(refused(itself).contains("`10.201.0.0`, which is the gateway's address"));
        completed_for("calico-ipam", "{}", block).unwrap();
        // As it names one itself, it has kept it free.
        let named = r#"{"ips": [{"address": "10.201.0.2/28", "gateway": "10.201.0.1"}]}"#;
        completed_for("whereabouts", r#"{"isGateway": true}"#, named).unwrap();
    }

    // Proves: COMPAT-19.1
    #[test]
    fn the_first_host_is_the_gateway_where_whereabouts_keeps_it_out_of_its_pool() {
        let of = |pool: &str| {
            let raw = format!(r#"{{"isGateway": true, "ipam": {{"type": "whereabouts", {pool}}}}}"#);
            completed_for("whereabouts", &raw, r#"{"ips": [{"address": "10.1.0.10/24"}]}"#)
        };
        let result = of(r#""range": "10.1.0.0/24", "range_start": "10.1.0.10""#).unwrap();
        assert_eq!(result.ips[0].gateway.map(|gw| gw.to_string()).as_deref(), Some("10.1.0.1"));
        assert!(of(r#""range": "10.1.0.0/24""#).unwrap_err().msg.contains("may become a pod's"));
    }

    // Proves: PLG-BRIDGE-17
    #[test]
    fn any_ipv4_address_conflicts_and_ipv6_only_in_overlapping_subnets() {
        let conflict = |a: &str, b: &str| conflicts(a.parse().unwrap(), b.parse().unwrap());
        assert!(conflict("10.1.0.1/24", "10.2.0.1/24"));
        assert!(conflict("fd00:1::1/64", "fd00:1::2/64"));
        assert!(conflict("fd00:1::1/32", "fd00:1:5::2/64"));
        assert!(!conflict("fd00:1::1/64", "fd00:2::1/64"));
        assert!(!conflict("fe80::1/64", "fd00:2::1/64"));
        assert!(!conflict("10.1.0.1/24", "fd00::1/64"));
    }
}
