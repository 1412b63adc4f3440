//! Which namespace a question goes to: a netlink socket stays bound to the namespace it was opened in.
//!
//! So one thread can hold the host's and the pod's [`Net`] side by side, and name either as the home of a new link.

use std::fmt;
use std::os::fd::BorrowedFd;

use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::channel::Channel;
use crate::error::{NetError, Why};
use crate::netns::{Netns, NetnsError};

/// The network of one namespace.
pub struct Net {
    channel: Channel,
    netns: Netns,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Net {
    /// The network of the namespace the calling thread is in.
    ///
    /// # Errors
    /// If no netlink socket can be opened.
    pub fn here() -> Result<Self, NetError> {
        let netns = Netns::current().map_err(namespace)?;
        Ok(Self { channel: open()?, netns })
    }

    /// The network of another namespace. The socket is opened on a thread that enters it and ends.
    ///
    /// # Errors
    /// If the namespace cannot be entered, or no netlink socket opened in it.
    pub fn inside(netns: &Netns) -> Result<Self, NetError> {
        let channel = if netns.is_current().map_err(namespace)? {
            open()?
        } else {
            netns.run(open).map_err(namespace)??
        };
        Ok(Self { channel, netns: netns.clone() })
    }

    /// The namespace this network is in.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    pub(crate) fn with_socket<T>(&self, work: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        self.channel.with_socket(work)
    }

    pub(crate) fn same_namespace(&self, other: &Self) -> bool {
        self.netns.identity() == other.netns.identity()
    }

    pub(crate) fn request(
        &self,
        what: impl Fn() -> String,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, NetError> {
        self.channel.request(what, message, flags)
    }

    pub(crate) fn dump(
        &self,
        what: impl Fn() -> String,
        message: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, NetError> {
        self.channel.dump(what, message)
    }
}

fn open() -> Result<Channel, NetError> {
    Channel::open().map_err(|error| NetError::new("open a netlink socket", Why::Socket(error)))
}

fn namespace(error: NetnsError) -> NetError {
    NetError::new("reach the network of a namespace", Why::Namespace(error))
}

impl Family {
    /// The family of an address.
    pub fn of(ip: std::net::IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    pub(crate) fn code(self) -> AddressFamily {
        match self {
            Self::V4 => AddressFamily::Inet,
            Self::V6 => AddressFamily::Inet6,
        }
    }

    pub(crate) fn from_code(code: AddressFamily) -> Option<Self> {
        match code {
            AddressFamily::Inet => Some(Self::V4),
            AddressFamily::Inet6 => Some(Self::V6),
            _ => None,
        }
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Net({:?})", self.netns)
    }
}
