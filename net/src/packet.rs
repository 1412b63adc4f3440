//! Packets below the sockets that need an address: what DHCP and ARP speak before a link has one.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::Instant;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike as _, bind, recv, sendto, socket,
};

use crate::mac::Mac;

/// The protocol numbers of Ethernet frames.
pub const IPV4: u16 = 0x0800;
/// See [`IPV4`].
pub const ARP: u16 = 0x0806;
/// See [`IPV4`].
pub const IPV6: u16 = 0x86dd;
/// The address of everybody on a link.
pub const BROADCAST: Mac = Mac([0xff; 6]);

/// A socket on one link of the namespace in which it was opened; frames come and go without their Ethernet header.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
    index: u32,
    protocol: u16,
}

impl PacketSocket {
    /// In the calling thread's namespace: see [`crate::Netns::run`].
    ///
    /// # Errors
    /// If this process may not open packet sockets, or the link is gone.
    pub fn open(index: u32, protocol: u16) -> io::Result<Self> {
        // Protocol 0 receives nothing: frames of other links must not get in before the socket is bound.
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Datagram, flags, None)?;
        bind(socket.as_raw_fd(), &address(index, protocol, None)?)?;
        Ok(Self { socket, index, protocol })
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// If the link is gone or down.
    pub fn send(&self, to: Mac, payload: &[u8]) -> io::Result<()> {
        let to = address(self.index, self.protocol, Some(to))?;
        sendto(self.socket.as_raw_fd(), payload, &to, MsgFlags::empty()).map(drop).map_err(io::Error::from)
    }

    /// The next frame's payload, cut to the buffer; `None` when none came in time.
    ///
    /// # Errors
    /// If the link is gone or down.
    pub fn receive<'b>(&self, buffer: &'b mut [u8], deadline: Instant) -> io::Result<Option<&'b [u8]>> {
        loop {
            match recv(self.socket.as_raw_fd(), buffer, MsgFlags::empty()) {
                Ok(length) => return Ok(buffer.get(..length)),
                Err(nix::Error::EAGAIN) => {}
                Err(nix::Error::EINTR) => continue,
                Err(e) => return Err(e.into()),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // A rest below a millisecond would become a spin.
            let wait = PollTimeout::try_from(left.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], wait) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

#[expect(
    unsafe_code,
    reason = "there is no safe way to make a link-layer address; the structure is complete"
)]
fn address(index: u32, protocol: u16, mac: Option<Mac>) -> io::Result<LinkAddr> {
    let mut bytes = [0; 8];
    let octets = mac.map_or([0; 6], |mac| mac.0);
    bytes.iter_mut().zip(octets).for_each(|(to, from)| *to = from);
    let raw = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?,
        sll_protocol: protocol.to_be(),
        sll_ifindex: i32::try_from(index).map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: bytes,
    };
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
    // SAFETY: `raw` is a whole `sockaddr_ll` of the right family, alive during the call, and is copied.
    let address = unsafe { LinkAddr::from_raw((&raw const raw).cast(), Some(length)) };
    address.ok_or_else(|| io::Error::other("the kernel's link-layer address is malformed"))
}
