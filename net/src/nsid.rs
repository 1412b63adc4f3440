//! By which marks a namespace is known again: the cookie that the kernel gives each only once, and the number under
//! which one namespace knows another.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use nix::errno::Errno;
use nix::libc::{SO_NETNS_COOKIE, SOL_SOCKET, getsockopt, socklen_t};

use crate::error::{NetError, Why};
use crate::net::Net;

impl Net {
    /// Inode numbers of namespaces are used again; this number is not, until the next boot. `None` before Linux 5.14.
    ///
    /// # Errors
    /// If a kernel that has such numbers does not tell it.
    pub fn cookie(&self) -> Result<Option<u64>, NetError> {
        match self.with_socket(cookie) {
            Ok(cookie) => Ok(Some(cookie)),
            // The last three are of emulators of another processor or kernel.
            Err(Errno::ENOPROTOOPT | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(None),
            Err(errno) => {
                Err(NetError::new("read the cookie of a network namespace", Why::Socket(errno.into())))
            }
        }
    }

    /// The number by which links of this namespace tell that their other end is in `other`, if they do.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn number_of(&self, other: &Net) -> Result<Option<i32>, NetError> {
        let mut message = NsidMessage::default();
        let fd = u32::try_from(other.netns().as_fd().as_raw_fd()).unwrap_or_default();
        message.attributes = vec![NsidAttribute::Fd(fd)];
        let what = || "look up the number of another namespace".to_owned();
        let answers = self.request(what, RouteNetlinkMessage::GetNsId(message), 0)?;
        Ok(answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewNsId(told) => told.attributes.into_iter().find_map(|fact| match fact {
                NsidAttribute::Id(id) if id >= 0 => Some(id),
                _ => None,
            }),
            _ => None,
        }))
    }
}

#[expect(unsafe_code, reason = "the option has no name in nix")]
fn cookie(socket: BorrowedFd<'_>) -> Result<u64, Errno> {
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as socklen_t;
    // SAFETY: the descriptor is open, and the kernel writes at most `length` bytes, which are those of `cookie`.
    let outcome = unsafe {
        getsockopt(socket.as_raw_fd(), SOL_SOCKET, SO_NETNS_COOKIE, (&raw mut cookie).cast(), &raw mut length)
    };
    Errno::result(outcome).map(|_| cookie)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Netns, VethSpec};

    #[test]
    fn a_cookie_is_of_one_namespace_only() {
        let (a, b) = (Netns::create().unwrap(), Netns::create().unwrap());
        let cookie = |netns: &Netns| Net::inside(netns).unwrap().cookie().unwrap().unwrap();
        assert_eq!(cookie(&a), cookie(&a));
        assert_ne!(cookie(&a), cookie(&b));
    }

    #[test]
    fn the_number_of_another_namespace_is_the_one_that_links_tell() {
        let (a, b, c) = (Netns::create().unwrap(), Netns::create().unwrap(), Netns::create().unwrap());
        let [a, b, c] = [a, b, c].map(|netns| Net::inside(&netns).unwrap());
        assert_eq!(a.number_of(&b).unwrap(), None);
        let spec =
            VethSpec { name: "one", peer_name: Some("two"), peer_net: Some(&b), ..VethSpec::default() };
        a.add_veth(&spec).unwrap();
        let link = a.link("one").unwrap().unwrap();
        assert!(link.link_netnsid.is_some());
        assert_eq!(a.number_of(&b).unwrap(), link.link_netnsid);
        assert_eq!(a.number_of(&c).unwrap(), None);
    }
}
