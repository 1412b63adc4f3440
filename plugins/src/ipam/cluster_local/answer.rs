//! The result: host-local's, one address for each source in order.

use std::net::IpAddr;

use ipnet::IpNet;
use manifold_cni::{CniResult, Dns, IpConfig, Route};

use super::sources::Sources;

/// Of these addresses, one for each source.
pub fn result(sources: &Sources, given: &[IpAddr], routes: Vec<Route>, dns: Dns) -> CniResult {
    let config = |(n, ip): (usize, &IpAddr)| {
        let (subnet, gateway) = sources.place(n, *ip).unwrap_or_else(|| (IpNet::from(*ip), None));
        let address = IpNet::new(*ip, subnet.prefix_len()).unwrap_or_else(|_| IpNet::from(*ip));
        IpConfig::new(address, gateway)
    };
    let routes = routes.into_iter().chain(sources.routes().cloned()).collect();
    CniResult { ips: given.iter().enumerate().map(config).collect(), routes, dns, ..CniResult::default() }
}
