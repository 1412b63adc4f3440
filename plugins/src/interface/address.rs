//! Puts a result's addresses and routes on a link: which, in which order, and when they count as usable
//! (PLG-COM-8 to -10).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use manifold_cni::{CniError, CniResult, Input};
use manifold_net::{AddressOptions, Dad, Family, Link, Net, Route, RouteAdd};
use manifold_plugin_conf::ipv6;

use super::failure::{Told, told_with_mac};
use super::settings::{self, Ipv6, Settings};
use super::undo::Undo;

/// Scopes from here on are narrower than what is behind a gateway.
const SCOPE_LINK: u8 = 253;
const DAD_PATIENCE: Duration = Duration::from_secs(5);

/// What is going to be on the link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) addresses: Vec<IpNet>,
    pub(crate) gateway_v4: Option<IpAddr>,
    pub(crate) gateway_v6: Option<IpAddr>,
    /// Without their link.
    pub(crate) routes: Vec<Route>,
    /// IPv6 stays although no address is of it.
    pub(crate) keeps_ipv6: bool,
}

/// The neighbours' kernels decide, so there is nothing to mend here (COMPAT-36).
fn warn_of_broadcast(address: IpNet) {
    if let IpNet::V4(v4) = address
        && v4.prefix_len() < 31
        && v4.addr() == v4.broadcast()
    {
        tracing::warn!(%address, "IPAM gave the broadcast address of its subnet, so neighbours do not reach it");
    }
}

/// Decides; touches nothing. `own` is the index of the link among the result's interfaces.
pub(crate) fn plan(result: &CniResult, own: usize) -> Result<Plan, CniError> {
    if result.interfaces.is_empty() {
        return Err(CniError::failed("the result has no interface to put its addresses on"));
    }
    let mut plan = Plan::default();
    for ip in &result.ips {
        match ip.interface {
            None => continue,
            Some(index) if index != own => {
                let text = format!(
                    "address `{}` belongs to interface {index} of the result, not to {own}",
                    ip.address
                );
                return Err(CniError::failed(text));
            }
            Some(_) => plan.addresses.push(ip.address),
        }
        warn_of_broadcast(ip.address);
        let slot = match Family::of(ip.address.addr()) {
            Family::V4 => &mut plan.gateway_v4,
            Family::V6 => &mut plan.gateway_v6,
        };
        *slot = slot.or(ip.gateway);
    }
    for wanted in &result.routes {
        let route = plan.route(wanted);
        // The same way twice is one way; the kernel would refuse the second.
        if !plan.routes.contains(&route) {
            plan.routes.push(route);
        }
    }
    Ok(plan)
}

impl Plan {
    pub(crate) fn has_v6(&self) -> bool {
        self.addresses.iter().any(|ip| ip.addr().is_ipv6())
    }

    /// The plan with what the network's author says of IPv6 beside the addresses.
    pub(crate) fn for_network(mut self, input: &Input) -> Result<Self, CniError> {
        self.keeps_ipv6 = ipv6::is_kept(&input.config).map_err(|problem| problem.into_error(&input.name))?;
        Ok(self)
    }

    /// A route through an IPv6 gateway needs IPv6 on the link, if only for link-local addresses.
    pub(crate) fn ipv6(&self) -> Ipv6 {
        let has_gateway = self.routes.iter().any(|route| route.gateway.is_some_and(|g| g.is_ipv6()));
        match self.keeps_ipv6 || has_gateway {
            _ if self.has_v6() => Ipv6::Addresses,
            true => Ipv6::PodsBusiness,
            false => Ipv6::Off,
        }
    }

    /// Over its own gateway, else the first one of its family, else directly. An IPv4 route in the scope of the link says
    /// that it has none: a DHCP server can give one beside a router (RFC 3442), and the kernel takes no gateway for it.
    fn route(&self, wanted: &manifold_cni::Route) -> Route {
        let fallback = match Family::of(wanted.dst.addr()) {
            Family::V4 => self.gateway_v4.filter(|_| wanted.scope.is_none_or(|scope| scope < SCOPE_LINK)),
            Family::V6 => self.gateway_v6,
        };
        Route {
            gateway: wanted.gw.or(fallback),
            table: wanted.table,
            priority: wanted.priority,
            // The reference leaves an absent scope at "global", for direct routes too.
            scope: Some(wanted.scope.unwrap_or(0)),
            mtu: wanted.mtu,
            advmss: wanted.advmss,
            ..Route::new(wanted.dst.trunc())
        }
    }
}

/// Writes the settings, adds the addresses, sets the link up, waits until its addresses are usable, adds the routes.
pub(crate) fn apply<'a>(
    undo: &mut Undo<'a>,
    pod: &'a Net,
    link: &Link,
    plan: &Plan,
    further: &[(&'static str, &'static str, &'static str)],
    deadline: Instant,
) -> Result<(), CniError> {
    let loopback_was = settings::write(pod, &link.name, &Settings { ipv6: plan.ipv6(), further })?;
    if let Some(was) = loopback_was {
        undo.done("IPv6 of lo", move || settings::restore_loopback(pod, &was))?;
    }
    for address in &plan.addresses {
        pod.add_address(link.index, *address, AddressOptions::default()).told()?;
    }
    undo.passed("addresses")?;
    told_with_mac(pod.set_up(link.index), &link.name, link.mac)?;
    if plan.gateway_v6.is_some() {
        wait_until_usable(pod, link, deadline)?;
    }
    undo.passed("link up")?;
    for route in &plan.routes {
        pod.add_route(&Route { oif: Some(link.index), ..route.clone() }, RouteAdd::First).told()?;
    }
    undo.passed("routes")
}

fn wait_until_usable(pod: &Net, link: &Link, deadline: Instant) -> Result<(), CniError> {
    let patience = deadline.min(Instant::now() + DAD_PATIENCE);
    match pod.wait_dad(link.index, patience).told()? {
        Dad::Settled => Ok(()),
        Dad::Duplicate(address) => Err(CniError::failed(format!(
            "another host on the network of interface `{}` has address `{address}` already; free it there, or choose \
             another",
            link.name
        ))),
        // Without carrier nobody can be asked; the address becomes usable once somebody can.
        Dad::Timeout if pod.link_by_index(link.index).told()?.is_none_or(|link| !link.oper_up) => Ok(()),
        Dad::Timeout => Err(CniError::failed(format!(
            "the IPv6 addresses of interface `{}` did not become usable in time; look at the network's answers to \
             neighbour solicitations",
            link.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(json: &str) -> CniResult {
        serde_json::from_str(json).unwrap()
    }

    // Proves: PLG-COM-10
    #[test]
    fn a_result_without_interfaces_is_refused() {
        let error = plan(&result(r#"{"ips": [{"address": "10.1.0.2/24", "interface": 0}]}"#), 0).unwrap_err();
        assert!(error.msg.contains("no interface"), "{error}");
    }

    // Proves: PLG-COM-8
    #[test]
    fn unset_indices_are_passed_over_and_foreign_ones_refused() {
        let both = r#"{"interfaces": [{"name": "a"}, {"name": "b"}],
            "ips": [{"address": "10.1.0.2/24"}, {"address": "10.1.0.3/24", "interface": 1}]}"#;
        assert_eq!(plan(&result(both), 1).unwrap().addresses, ["10.1.0.3/24".parse::<IpNet>().unwrap()]);
        assert!(plan(&result(both), 0).unwrap_err().msg.contains("`10.1.0.3/24` belongs to interface 1"));
    }

    // Proves: PLG-COM-9
    #[test]
    fn routes_take_their_own_gateway_then_the_familys_first_then_none() {
        let plan = plan(
            &result(
                r#"{"interfaces": [{"name": "a"}],
                "ips": [{"address": "10.1.0.2/24", "gateway": "10.1.0.1", "interface": 0},
                        {"address": "10.2.0.2/24", "gateway": "10.2.0.1", "interface": 0}],
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.9"}, {"dst": "fd00::/8"},
                    {"dst": "10.8.0.0/16", "table": 7, "priority": 9, "scope": 253, "mtu": 1400, "advmss": 1300},
                    {"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]}"#,
            ),
            0,
        )
        .unwrap();
        let gateways: Vec<_> =
            plan.routes.iter().map(|route| route.gateway.map(|gw| gw.to_string())).collect();
        let text = |gw: &str| Some(gw.to_owned());
        assert_eq!(gateways, [text("10.1.0.1"), text("10.1.0.9"), None, None]);
        let detailed = &plan.routes[3];
        assert_eq!(
            (detailed.table, detailed.priority, detailed.scope, detailed.mtu, detailed.advmss),
            (Some(7), Some(9), Some(253), Some(1400), Some(1300))
        );
        assert_eq!(plan.routes[0].scope, Some(0));
    }

    // Proves: S-10
    #[test]
    fn ipv6_is_off_exactly_when_no_address_is_of_it() {
        let v4 = r#"{"interfaces": [{"name": "a"}], "ips": [{"address": "10.1.0.2/24", "interface": 0}]}"#;
        let v6 = r#"{"interfaces": [{"name": "a"}], "ips": [{"address": "fd00::2/64", "interface": 0}]}"#;
        assert_eq!(plan(&result(v4), 0).unwrap().ipv6(), Ipv6::Off);
        assert_eq!(plan(&result(v6), 0).unwrap().ipv6(), Ipv6::Addresses);
        let through = r#"{"interfaces": [{"name": "a"}], "ips": [{"address": "10.1.0.2/24", "interface": 0}],
            "routes": [{"dst": "::/0", "gw": "fe80::1"}]}"#;
        assert_eq!(plan(&result(through), 0).unwrap().ipv6(), Ipv6::PodsBusiness);
    }
}
