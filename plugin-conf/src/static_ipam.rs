//! `static`: the addresses that are written down (PLG-STATIC-1 to -4).

use std::net::IpAddr;

use ipnet::IpNet;
use manifold_cni::{CniArgs, Dns, RawObject, Route, Version};

use crate::problem::Problem;
use crate::requested::{self, Requested};
use crate::{DnsConf, address, fit, host_local, ipam};

#[derive(Clone, Debug)]
pub struct StaticConf {
    /// In the order of the result. May be empty: then the caller has no addresses to work with.
    pub addresses: Vec<StaticAddress>,
    pub routes: Vec<Route>,
    pub dns: Dns,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticAddress {
    pub address: IpNet,
    pub gateway: Option<IpAddr>,
}

pub const KEYS: &[&str] = &["type", "name", "addresses", "routes", "dns"];

pub const ADDRESS_KEYS: &[&str] = &["address", "gateway"];

/// The keys of CNI_ARGS that static knows.
pub const CNI_ARGS: &[&str] = &["IP", "GATEWAY"];

impl StaticConf {
    pub fn read(config: &RawObject, args: &CniArgs, version: Version) -> Result<Self, Problem> {
        let section = ipam::section(config)?;
        if section.is_empty() {
            return Err(Problem::new(
                "/ipam",
                "the configuration has no `ipam` section; add one with `addresses`",
            ));
        }
        let addresses = addresses(config, &section, args)?;
        one_per_family(&addresses, version)?;
        let dns: Option<DnsConf> = fit::key(&section, "dns").map_err(|p| p.under("/ipam"))?;
        let dns = dns.unwrap_or_default().dns;
        Ok(Self { addresses, routes: host_local::routes(&section)?, dns })
    }
}

/// Whoever speaks last is heard alone: config with CNI_ARGS < `args.cni.ips` < `runtimeConfig.ips`. The losers are
/// parsed all the same, so that a mistake does not hide behind a request.
fn addresses(config: &RawObject, section: &RawObject, args: &CniArgs) -> Result<Vec<StaticAddress>, Problem> {
    let mut own = written(section)?;
    own.extend(bare(&requested::from_cni_args(args, "IP"))?);
    for request in requested::from_cni_args(args, "GATEWAY") {
        let gateway = address::ip(&request.raw)
            .map_err(|why| Problem::new("", format!("CNI_ARGS: `GATEWAY`: {why}")))?;
        for address in own.iter_mut().filter(|a| a.address.contains(&gateway)) {
            address.gateway = Some(gateway);
        }
    }
    let by_args = bare(&requested::from_args_cni(config)?)?;
    let by_runtime = bare(&requested::from_runtime_config(config)?)?;
    let winner = [by_runtime, by_args].into_iter().find(|list| !list.is_empty()).unwrap_or(own);
    match winner.iter().find(|a| a.gateway == Some(a.address.addr())) {
        None => Ok(winner),
        Some(a) => {
            let why =
                format!("`{}` is its own gateway; use another address, or another `gateway`", a.address);
            Err(Problem::new("/ipam/addresses", why))
        }
    }
}

/// No pod gets a gateway's address by asking for it, though the network may have room for it: all others of the network
/// would lose their way out (S-23).
///
/// # Errors
/// If one is asked for.
pub fn refuse_gateways(config: &RawObject, args: &CniArgs) -> Result<(), Problem> {
    let section = ipam::section(config)?;
    let of_addresses = written(&section)?.into_iter().filter_map(|written| written.gateway);
    let of_routes = host_local::routes(&section)?.into_iter().filter_map(|route| route.gw);
    let gateways: Vec<IpAddr> = of_addresses.chain(of_routes).collect();
    let mut requests = requested::from_cni_args(args, "IP");
    requests.extend(requested::from_args_cni(config)?);
    requests.extend(requested::from_runtime_config(config)?);
    for request in &requests {
        let ip = address::ip_or_cidr(&request.raw).map_err(|why| request.problem(&why))?;
        if gateways.contains(&ip) {
            let why = format!("`{ip}` is a gateway of the network; {}", requested::INSTEAD_OF_GATEWAY);
            return Err(request.problem(&why));
        }
    }
    Ok(())
}

fn written(section: &RawObject) -> Result<Vec<StaticAddress>, Problem> {
    let raw: Vec<RawObject> =
        fit::key(section, "addresses").map_err(|p| p.under("/ipam"))?.unwrap_or_default();
    raw.iter()
        .enumerate()
        .map(|(n, one)| entry(one).map_err(|p| p.under(&format!("/ipam/addresses/{n}"))))
        .collect()
}

fn entry(raw: &RawObject) -> Result<StaticAddress, Problem> {
    let text: String = fit::key(raw, "address")?
        .ok_or_else(|| Problem::new("/address", "`address` is missing; write one such as `10.1.0.5/24`"))?;
    let address =
        address::cidr(&text).map_err(|why| Problem::new("/address", format!("`address`: {why}")))?;
    let gateway = fit::key::<String>(raw, "gateway")?.filter(|raw| !raw.is_empty());
    let gateway = gateway.map(|raw| address::ip(&raw)).transpose();
    let gateway = gateway.map_err(|why| Problem::new("/gateway", format!("`gateway`: {why}")))?;
    match gateway.filter(|gw| gw.is_ipv4() != address.addr().is_ipv4()) {
        None => Ok(StaticAddress { address, gateway }),
        Some(gw) => {
            let why =
                format!("`gateway` `{gw}` and `address` `{address}` are of different families; use one");
            Err(Problem::new("/gateway", why))
        }
    }
}

fn bare(requests: &[Requested]) -> Result<Vec<StaticAddress>, Problem> {
    let read = |r: &Requested| {
        let address = address::cidr(&r.raw).map_err(|why| r.problem(&why))?;
        Ok(StaticAddress { address, gateway: None })
    };
    requests.iter().map(read).collect()
}

fn one_per_family(addresses: &[StaticAddress], version: Version) -> Result<(), Problem> {
    let v4 = addresses.iter().filter(|a| a.address.addr().is_ipv4()).count();
    let v6 = addresses.len() - v4;
    if version <= Version::V0_2_0 && (v4 > 1 || v6 > 1) {
        return Err(Problem::new("/ipam/addresses", host_local::too_many(version)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
