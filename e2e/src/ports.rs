//! Ports on loopback for servers that a test starts, and starts again on the same one.
//!
//! Whether a port is free says nothing while its server is stopped, or is only about to start. So processes share out the
//! range in blocks: a process holds the name of its blocks for as long as it lives.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;

use crate::netns;

/// Below the range from which the kernel picks, so that a port is still free when its server starts again.
const FIRST: u16 = 20_000;
const BLOCKS: u16 = 200;
const BLOCK: u16 = 50;

/// What this process has.
struct Own {
    /// Held for their names.
    blocks: Vec<UnixDatagram>,
    left: VecDeque<u16>,
}

/// As many ports as asked for, none of them given to anybody in this process before, nor to another that lives.
pub fn free<const N: usize>(netns: Option<&Path>) -> anyhow::Result<[u16; N]> {
    static OWN: Mutex<Own> = Mutex::new(Own { blocks: Vec::new(), left: VecDeque::new() });
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = [0; N];
    for port in &mut found {
        *port = own.next(netns)?;
    }
    Ok(found)
}

impl Own {
    fn next(&mut self, netns: Option<&Path>) -> anyhow::Result<u16> {
        loop {
            let Some(port) = self.left.pop_front() else {
                self.claim_another()?;
                continue;
            };
            // Servers of a process that has ended may outlive it by a moment, and others know nothing of blocks.
            let is_free = move || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
            let is_free = match netns {
                None => is_free(),
                Some(netns) => netns::inside(netns, is_free)?,
            };
            if is_free {
                return Ok(port);
            }
        }
    }

    fn claim_another(&mut self) -> anyhow::Result<()> {
        let block = (0..BLOCKS).find_map(|number| Some((number, claim(number).ok()?)));
        let (number, held) = block.with_context(|| {
            let last = FIRST + BLOCKS * BLOCK - 1;
            format!("no ports from {FIRST} to {last} are left; other tests on this machine have them all")
        })?;
        self.blocks.push(held);
        self.left.extend((0..BLOCK).map(|n| FIRST + number * BLOCK + n));
        Ok(())
    }
}

/// The name of a block belongs to one socket at a time, and to nobody when the process has ended, however it ended.
fn claim(number: u16) -> io::Result<UnixDatagram> {
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(format!("manifold-test-ports-{number}"))?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let (first, second): ([u16; 3], [u16; 2]) = (free(None).unwrap(), free(None).unwrap());
        let all: BTreeSet<u16> = first.into_iter().chain(second).collect();
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn a_block_belongs_to_one_for_as_long_as_it_is_held() {
        let beyond = BLOCKS + u16::try_from(std::process::id() % 10_000).unwrap();
        let held = claim(beyond).unwrap();
        assert_eq!(claim(beyond).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(held);
    }
}
