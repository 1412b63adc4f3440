//! What is known of whereabouts' pools: it names no gateway unless it is told one, and one of its subnet's addresses may be any
//! pod's, unless the definition keeps it out.

use std::net::IpAddr;

use ipnet::IpNet;
use manifold_cni::RawObject;
use serde::Deserialize;

use crate::ipam;

/// One range as it is written; an empty text is as none.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    range: String,
    range_start: String,
    range_end: String,
    exclude: Vec<String>,
}

#[derive(Debug)]
struct Pool {
    subnet: IpNet,
    start: Option<IpAddr>,
    end: Option<IpAddr>,
    exclude: Vec<IpNet>,
}

/// Whether no pod gets the address. `false` where the definition does not tell, for a file of the node may have the range.
pub fn leaves_out(config: &RawObject, ip: IpAddr) -> bool {
    let pools = pools(config).unwrap_or_default();
    let mut around = pools.iter().filter(|pool| pool.subnet.contains(&ip)).peekable();
    around.peek().is_some() && around.all(|pool| pool.leaves_out(ip))
}

/// Whether the first host of every subnet is kept out, as a bridge that is the gateway takes it.
pub(crate) fn leaves_out_first_hosts(config: &RawObject) -> bool {
    let pools = pools(config).unwrap_or_default();
    let first = |pool: &Pool| {
        pool.subnet.hosts().next().filter(|_| pool.subnet.prefix_len() < pool.subnet.max_prefix_len())
    };
    !pools.is_empty() && pools.iter().all(|pool| first(pool).is_some_and(|ip| leaves_out(config, ip)))
}

impl Pool {
    fn leaves_out(&self, ip: IpAddr) -> bool {
        self.start.is_some_and(|start| ip < start)
            || self.end.is_some_and(|end| ip > end)
            || self.exclude.iter().any(|net| net.contains(&ip))
    }

    /// `FIRST-LAST/PREFIX` says start and end as well.
    fn read(written: &Written) -> Option<Self> {
        let (first, rest) = match written.range.split_once('-') {
            Some((first, rest)) => (Some(first.trim().parse().ok()?), rest.trim()),
            None => (None, written.range.as_str()),
        };
        let last: IpNet = rest.parse().ok()?;
        let exclude =
            |text: &String| text.parse().ok().or_else(|| text.parse().ok().map(|ip: IpAddr| ip.into()));
        Some(Self {
            subnet: last.trunc(),
            start: first.map_or_else(|| address(&written.range_start), |first| Some(Some(first)))?,
            end: first.map_or_else(|| address(&written.range_end), |_| Some(Some(last.addr())))?,
            exclude: written.exclude.iter().map(exclude).collect::<Option<_>>()?,
        })
    }
}

/// Outer `None`: it is no address.
fn address(text: &str) -> Option<Option<IpAddr>> {
    if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
}

/// `None`: one of them cannot be read here.
fn pools(config: &RawObject) -> Option<Vec<Pool>> {
    let section = ipam::section(config).ok()?;
    let mut all: Vec<Written> = section.get_as("ipRanges").ok()?.unwrap_or_default();
    let text = |name: &str| section.get_as::<String>(name).ok().map(Option::unwrap_or_default);
    let range = text("range")?;
    if !range.is_empty() {
        let exclude = section.get_as("exclude").ok()?.unwrap_or_default();
        all.push(Written {
            range,
            range_start: text("range_start")?,
            range_end: text("range_end")?,
            exclude,
        });
    }
    all.iter().map(Pool::read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ipam: &str, ip: &str, expected: bool) {
        let config =
            RawObject::parse(format!(r#"{{"ipam":{{"type":"whereabouts",{ipam}}}}}"#).as_bytes()).unwrap();
        assert_eq!(leaves_out(&config, ip.parse().unwrap()), expected, "{ipam}: {ip}");
    }

    // Proves: COMPAT-19.1
    #[test]
    fn an_address_outside_the_pool_is_nobodys() {
        check(r#""range":"10.1.0.0/24""#, "10.1.0.1", false);
        check(r#""range":"10.1.0.0/24","range_start":"10.1.0.10""#, "10.1.0.1", true);
        check(r#""range":"10.1.0.0/24","range_start":"10.1.0.10""#, "10.1.0.10", false);
        check(r#""range":"10.1.0.0/24","range_end":"10.1.0.99""#, "10.1.0.100", true);
        check(r#""range":"10.1.0.10-10.1.0.99/24""#, "10.1.0.1", true);
        check(r#""range":"10.1.0.0/24","exclude":["10.1.0.0/30"]"#, "10.1.0.1", true);
        check(r#""range":"fd00::/64","range_start":"fd00::10""#, "fd00::1", true);
        // Of several pools all must keep it out; one that cannot be read may hold it.
        let two = r#""ipRanges":[{"range":"10.1.0.0/24","range_start":"10.1.0.10"},{"range":"10.1.0.0/29"}]"#;
        check(two, "10.1.0.1", false);
        check(r#""range":"10.1.0.0/24","range_start":"10.1.0.x""#, "10.1.0.1", false);
        check(r#""range":"10.2.0.0/24""#, "10.1.0.1", false);
        check(r#""configuration_path":"/etc/whereabouts.conf""#, "10.1.0.1", false);
    }
}
