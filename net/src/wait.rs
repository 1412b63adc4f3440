//! Waiting for the kernel: until a link carries traffic, until addresses are usable.
//!
//! Nothing polls. A listener subscribes first and reads the state after, so no change falls between the two; then every
//! notification is a reason to look again, until the deadline.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Instant;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{NetError, Why};
use crate::net::Net;

const GROUP_LINK: u32 = 1 << 0;
const GROUP_IPV6_IFADDR: u32 = 1 << 8;

/// How duplicate address detection on a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dad {
    /// Every address is usable.
    Settled,
    /// Someone on the link already has this address.
    Duplicate(IpAddr),
    /// It still goes on. A link without carrier stays so.
    Timeout,
}

impl Net {
    /// Whether the link came to be operationally up before the deadline. One that vanished did not.
    ///
    /// # Errors
    /// If the kernel refuses to say.
    pub fn wait_link_oper_up(&self, index: u32, deadline: Instant) -> Result<bool, NetError> {
        let what = || format!("wait for link {index} to come up");
        let came = self.wait(what, GROUP_LINK, deadline, || {
            Ok(match self.link_by_index(index)? {
                Some(link) if link.oper_up => Some(true),
                Some(_) => None,
                None => Some(false),
            })
        })?;
        Ok(came.unwrap_or(false))
    }

    /// Whether the port of a bridge came to forward frames before the deadline. A link that is none, or gone, did not.
    ///
    /// # Errors
    /// If the kernel refuses to say.
    pub fn wait_bridge_port_forwards(&self, index: u32, deadline: Instant) -> Result<bool, NetError> {
        let what = || format!("wait for bridge port {index} to forward");
        let came = self.wait(what, GROUP_LINK, deadline, || {
            let port = self.link_by_index(index)?.and_then(|link| link.bridge_port);
            Ok(port.map_or(Some(false), |port| port.forwarding.then_some(true)))
        })?;
        Ok(came.unwrap_or(false))
    }

    /// Waits until duplicate address detection is over for the IPv6 addresses of a link.
    ///
    /// # Errors
    /// If the kernel refuses to say.
    pub fn wait_dad(&self, index: u32, deadline: Instant) -> Result<Dad, NetError> {
        let what = || format!("wait for the IPv6 addresses of link {index}");
        let verdict = self.wait(what, GROUP_IPV6_IFADDR, deadline, || {
            let addresses = self.addresses(index)?;
            if let Some(address) = addresses.iter().find(|address| address.duplicate) {
                return Ok(Some(Dad::Duplicate(address.ip.addr())));
            }
            Ok(if addresses.iter().any(|address| address.tentative) { None } else { Some(Dad::Settled) })
        })?;
        Ok(verdict.unwrap_or(Dad::Timeout))
    }

    /// Looks, and looks again after each notification; `None` when the deadline came first.
    fn wait<T>(
        &self,
        what: impl Fn() -> String,
        groups: u32,
        deadline: Instant,
        mut look: impl FnMut() -> Result<Option<T>, NetError>,
    ) -> Result<Option<T>, NetError> {
        // Most waits are over before they begin; those need no listener.
        if let Some(seen) = look()? {
            return Ok(Some(seen));
        }
        let fail = |error| NetError::new(what(), Why::Socket(error));
        let opened =
            self.netns().run(|| listen(groups)).map_err(|e| NetError::new(what(), Why::Namespace(e)))?;
        let listener = opened.map_err(fail)?;
        loop {
            if let Some(seen) = look()? {
                return Ok(Some(seen));
            }
            if !heard(&listener, deadline).map_err(fail)? {
                return Ok(None);
            }
        }
    }
}

fn listen(groups: u32) -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind(&SocketAddr::new(0, groups))?;
    socket.set_non_blocking(true)?;
    Ok(socket)
}

/// Waits for news and takes all there is; false when the deadline came first.
fn heard(listener: &Socket, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up: a wait of zero would spin through the last millisecond.
        let left = PollTimeout::try_from(left.as_millis().saturating_add(1).min(i32::MAX as u128) as i32)
            .unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) if Instant::now() >= deadline => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return drain(listener).map(|()| true),
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn drain(listener: &Socket) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(8192);
    loop {
        buffer.clear();
        match listener.recv(&mut buffer, 0) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Too much news at once: some was lost, which is news as well.
            Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {}
            Err(error) => return Err(error),
        }
    }
}
