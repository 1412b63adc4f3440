//! Addresses as a configuration writes them: which text is one that an interface can have (F-INP-4).

use std::net::IpAddr;

use ipnet::IpNet;
use manifold_cni::name::printable;

/// An address without prefix length.
pub fn ip(raw: &str) -> Result<IpAddr, String> {
    let found: IpAddr = raw
        .parse()
        .map_err(|_| format!("`{}` is not an IP address; write one such as `10.1.0.5`", printable(raw)))?;
    usable(found).map(|()| found)
}

/// An address with its prefix length; the host bits are kept.
pub fn cidr(raw: &str) -> Result<IpNet, String> {
    let found: IpNet = raw.parse().map_err(|_| match raw.parse::<IpAddr>() {
        Ok(_) => format!("`{0}` has no prefix length; write one such as `{0}/24`", printable(raw)),
        Err(_) => format!(
            "`{}` is not an address with prefix length; write one such as `10.1.0.5/24`",
            printable(raw)
        ),
    })?;
    usable(found.addr()).map(|()| found)
}

/// With or without prefix length, which is dropped.
pub fn ip_or_cidr(raw: &str) -> Result<IpAddr, String> {
    if raw.contains('/') { cidr(raw).map(|net| net.addr()) } else { ip(raw) }
}

/// A network: the form of [`cidr`], of any address.
pub fn network(raw: &str) -> Result<IpNet, String> {
    let found: IpNet = raw
        .parse()
        .map_err(|_| format!("`{}` is not a network; write one such as `10.1.0.0/24`", printable(raw)))?;
    unmapped(found.addr()).map(|()| found)
}

fn usable(ip: IpAddr) -> Result<(), String> {
    unmapped(ip)?;
    let why = match ip {
        _ if ip.is_unspecified() => "means no address",
        _ if ip.is_multicast() => "is a multicast address",
        IpAddr::V4(v4) if v4.is_broadcast() => "is the broadcast address",
        _ => return Ok(()),
    };
    Err(format!("`{ip}` {why}; use one that a single interface can have"))
}

fn unmapped(ip: IpAddr) -> Result<(), String> {
    match ip {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => Err(format!("`{ip}` is an IPv4 address in IPv6 form; write `{v4}`")),
            None => Ok(()),
        },
        IpAddr::V4(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(got: Result<impl std::fmt::Debug, String>, part: &str) {
        let why = got.unwrap_err();
        assert!(why.contains(part), "{why}");
    }

    // Proves: F-INP-4
    #[test]
    fn only_what_one_interface_can_have_is_an_address() {
        assert_eq!(cidr("10.1.2.3/24").unwrap().to_string(), "10.1.2.3/24");
        assert_eq!(ip_or_cidr("fd00::5/64").unwrap(), ip("fd00::5").unwrap());
        refused(cidr("10.1.2.3"), "write one such as `10.1.2.3/24`");
        refused(cidr("10.1.2.3/33"), "not an address with prefix length");
        refused(cidr("fd00::/129"), "not an address with prefix length");
        refused(cidr(""), "not an address");
        refused(ip("::ffff:10.0.0.1"), "write `10.0.0.1`");
        refused(cidr("::ffff:10.0.0.1/120"), "in IPv6 form");
        refused(network("::ffff:10.0.0.0/120"), "in IPv6 form");
        refused(ip("0.0.0.0"), "means no address");
        refused(ip("::"), "means no address");
        refused(ip("224.0.0.1"), "multicast");
        refused(cidr("ff02::1/64"), "multicast");
        refused(ip("255.255.255.255"), "broadcast");
        refused(ip("010.0.0.1"), "not an IP address");
        refused(ip("10.0.0.1%eth0"), "not an IP address");
        refused(ip_or_cidr("10.0.0.1/"), "not an address");
    }
}
