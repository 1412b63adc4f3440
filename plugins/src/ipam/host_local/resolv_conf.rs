//! The DNS settings of a file in the form of `/etc/resolv.conf` (PLG-HL-5).

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use manifold_cni::{CniError, Dns, NetworkName};
use nix::fcntl::OFlag;

/// Nothing that a resolver reads is longer, and the path comes from a configuration.
const MOST: u64 = 64 * 1024;

/// For the ADD of a network that names the file.
pub(in crate::ipam) fn read_for(network: &NetworkName, path: &Path) -> Result<Dns, CniError> {
    read(path).map_err(|e| {
        let msg = format!("network `{network}`: `resolvConf` `{}` cannot be read: {e}", path.display());
        CniError::config(msg).details("at `/ipam/resolvConf`; fix: create the file, or remove the key")
    })
}

fn read(path: &Path) -> io::Result<Dns> {
    // Links are followed, as `/etc/resolv.conf` often is one. A pipe would never end, so it is not waited for.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    File::take(file, MOST).read_to_end(&mut text)?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

pub(super) fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines().map(str::trim).filter(|l| !l.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace();
        let (Some(key), Some(first)) = (words.next(), words.next()) else { continue };
        let all = || std::iter::once(first).chain(words).map(str::to_owned);
        match key {
            "nameserver" => dns.nameservers.push(first.to_owned()),
            "domain" => dns.domain = first.to_owned(),
            "search" => dns.search.extend(all()),
            "options" => dns.options.extend(all()),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: PLG-HL-5
    #[test]
    fn the_four_settings_are_read_and_the_rest_is_left() {
        let dns = parse(
            "# comment\n; another\n\nnameserver 192.0.2.0\n  nameserver\t2001:db8::1 # tail\nnameserver\n\
             domain example.net\ndomain example.com\nsearch example.com example.org\nsearch third.example\n\
             options ndots:5 rotate\nsortlist 130.155.160.0\nnameserverx 1.1.1.1\r\n",
        );
        assert_eq!(dns.nameservers, ["192.0.2.0", "2001:db8::1"]);
        assert_eq!(dns.domain, "example.com");
        assert_eq!(dns.search, ["example.com", "example.org", "third.example"]);
        assert_eq!(dns.options, ["ndots:5", "rotate"]);
        assert_eq!(parse(""), Dns::default());
    }

    #[test]
    fn no_text_panics() {
        use proptest::prelude::*;
        proptest!(|(text in "\\PC*")| { parse(&text); });
    }
}
