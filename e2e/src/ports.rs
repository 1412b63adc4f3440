//! Ports on loopback for servers that a test starts, and starts again on the same one.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;

use crate::netns;

/// Below the range from which the kernel picks, so that a port is still free when its server starts again.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// As many ports as asked for, none of them given to anybody in this process before.
pub fn free<const N: usize>(netns: Option<&Path>) -> anyhow::Result<[u16; N]> {
    let found = match netns {
        None => find(),
        Some(netns) => netns::inside(netns, find)?,
    };
    found.with_context(|| format!("no {N} ports from {FIRST} to {} are free on loopback", FIRST + COUNT - 1))
}

fn find<const N: usize>() -> Option<[u16; N]> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    // Processes that start together begin their search in different places.
    let base = u16::try_from(std::process::id() % 300).expect("a number below 300") * 32;
    let ports = (0..COUNT).map(|step| FIRST + (base + step) % COUNT);
    let found: Vec<u16> = ports.filter(|p| !given.contains(p)).filter(is_free).take(N).collect();
    given.extend(&found);
    found.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let (first, second): ([u16; 3], [u16; 2]) = (free(None).unwrap(), free(None).unwrap());
        let all: BTreeSet<u16> = first.into_iter().chain(second).collect();
        assert_eq!(all.len(), 5);
    }
}
