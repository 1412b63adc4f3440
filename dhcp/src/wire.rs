//! One link of one pod, as far as DHCP needs it. Opened for an exchange and closed after it, so that nobody keeps the
//! pod's namespace.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use manifold_net::packet::{ARP, BROADCAST, IPV4, PacketSocket};
use manifold_net::{Net, NetError, Netns, NetnsError, NetnsId, sysctl};

use crate::arp;
use crate::ip;
use crate::message::{Client, Reply, Saying};

/// A frame on an Ethernet link, jumbo ones included.
const FRAME: usize = 9216;

#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("{0}")]
    Namespace(#[from] NetnsError),
    #[error("the network namespace at that path was replaced by another one")]
    Reused,
    #[error("the network namespace is the daemon's own, not that of a pod")]
    Own,
    #[error("there is no interface `{0}` in the pod")]
    NoLink(String),
    #[error("interface `{0}` has no hardware address, so it cannot use DHCP")]
    NoMac(String),
    #[error("{0}")]
    Net(#[from] NetError),
    #[error("the link does not accept packets ({0})")]
    Socket(#[from] io::Error),
}

impl WireError {
    /// The pod's side is gone: nothing is left to keep.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Namespace(e) => e.is_not_found(),
            Self::Reused | Self::NoLink(_) => true,
            _ => false,
        }
    }
}

/// The link, found and up.
#[derive(Debug)]
pub struct Wire {
    net: Net,
    pub index: u32,
    pub mac: manifold_net::Mac,
}

impl Wire {
    /// `known` is the namespace that it must still be; at the first time there is none.
    pub fn open(netns: &Path, ifname: &str, known: Option<NetnsId>) -> Result<Self, WireError> {
        let netns = Netns::open(netns)?;
        if known.is_some_and(|known| known != netns.identity()) {
            return Err(WireError::Reused);
        }
        if netns.is_current()? {
            return Err(WireError::Own);
        }
        let net = Net::inside(&netns)?;
        let link = net.link(ifname)?.ok_or_else(|| WireError::NoLink(ifname.to_owned()))?;
        let mac = link.mac.ok_or_else(|| WireError::NoMac(ifname.to_owned()))?;
        if !link.up {
            // What routers advertise is not taken, not even before the plugin has set the link up as it wants it (S-10).
            // A kernel without IPv6 has no such setting.
            let _ = sysctl::set_in(&netns, &["net", "ipv6", "conf", ifname, "accept_ra"], "0");
            net.set_up(link.index)?;
        }
        Ok(Self { net, index: link.index, mac })
    }

    pub fn identity(&self) -> NetnsId {
        self.net.netns().identity()
    }

    pub fn set_down(&self) -> Result<(), NetError> {
        self.net.set_down(self.index)
    }

    /// A socket for one conversation.
    pub fn listen(&self) -> Result<PacketSocket, WireError> {
        Ok(self.net.netns().run(|| PacketSocket::open(self.index, IPV4))??)
    }

    /// Whether somebody else answers for the address.
    pub fn is_taken(&self, address: Ipv4Addr, patience: Duration) -> Result<bool, WireError> {
        let socket = self.net.netns().run(|| PacketSocket::open(self.index, ARP))??;
        socket.send(BROADCAST, &arp::probe(self.mac, address))?;
        let deadline = Instant::now() + patience;
        let mut frame = [0; FRAME];
        while let Some(packet) = socket.receive(&mut frame, deadline)? {
            if arp::claims(packet, address).is_some_and(|mac| mac != self.mac) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Says something to the server from the leased address, as any program of the pod would; `None` when there is no
    /// answer in time, or none is waited for.
    pub fn tell_server(
        &self,
        client: &Client,
        saying: Saying,
        (address, server): (Ipv4Addr, Ipv4Addr),
        deadline: Option<Instant>,
    ) -> Result<Option<Reply>, WireError> {
        let socket = self.net.netns().run(|| UdpSocket::bind((address, 68)))??;
        let xid = new_xid();
        socket.send_to(&client.encode(xid, saying), (server, 67))?;
        let mut frame = [0; FRAME];
        while let Some(left) = deadline.map(|d| d.saturating_duration_since(Instant::now())) {
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut frame) {
                Ok(length) => {
                    let reply = frame.get(..length).and_then(|bytes| client.decode(xid, bytes));
                    if reply.is_some() {
                        return Ok(reply);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock || e.kind() == io::ErrorKind::Interrupted => {
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(None)
    }
}

/// Says something to everybody on the link.
pub fn broadcast(socket: &PacketSocket, client: &Client, xid: u32, saying: Saying) -> io::Result<()> {
    let payload = client.encode(xid, saying);
    socket.send(BROADCAST, &ip::wrap(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, &payload))
}

/// The next reply in this conversation that `wanted` takes.
pub fn reply(
    socket: &PacketSocket,
    client: &Client,
    xid: u32,
    deadline: Instant,
    wanted: impl Fn(&Reply) -> bool,
) -> io::Result<Option<Reply>> {
    let mut frame = [0; FRAME];
    while let Some(packet) = socket.receive(&mut frame, deadline)? {
        let reply = ip::unwrap(packet).and_then(|payload| client.decode(xid, payload));
        if let Some(reply) = reply.filter(|reply| wanted(reply)) {
            return Ok(Some(reply));
        }
    }
    Ok(None)
}

/// A transaction number that nobody on the link can guess.
pub fn new_xid() -> u32 {
    u32::try_from(crate::backoff::random() & u64::from(u32::MAX)).unwrap_or_default()
}
