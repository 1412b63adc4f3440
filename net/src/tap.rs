//! TAP devices: made by an ioctl in the namespace they are to live in, as netlink makes none.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;

use crate::error::{NetError, Why};
use crate::link::{Link, check_name};
use crate::net::Net;

const DEVICE: &str = "/dev/net/tun";
/// Refuses a name that is taken, where the kernel would otherwise open the device that has it.
const EXCLUSIVE: i32 = libc::IFF_TUN_EXCL;

/// A TAP device that stays after whoever opens it is gone; frames carry the header of virtual machines.
#[derive(Clone, Copy, Debug, Default)]
pub struct TapSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it can be opened several times, for one queue each.
    pub multi_queue: bool,
    /// Who may open it beside whoever may administer the network.
    pub owner: Option<u32>,
    /// The group that may open it too.
    pub group: Option<u32>,
}

impl Net {
    /// Makes a TAP device.
    ///
    /// # Errors
    /// If the name is taken or `/dev/net/tun` cannot be used.
    pub fn add_tap(&self, spec: &TapSpec<'_>) -> Result<Link, NetError> {
        let what = || format!("create TAP device `{}`", spec.name);
        check_name(spec.name).map_err(|why| NetError::new(what(), why))?;
        let made = self.netns().run(|| make(spec)).map_err(|e| NetError::new(what(), Why::Namespace(e)))?;
        made.map_err(|why| NetError::new(what(), why))?;
        let gone = || NetError::new(what(), Why::Refused { errno: Errno::ENODEV, said: None });
        self.link(spec.name)?.ok_or_else(gone)
    }
}

/// Until it is made to stay, the device goes with the file: whoever is killed in between leaves nothing.
fn make(spec: &TapSpec<'_>) -> Result<(), Why> {
    let device = OpenOptions::new().read(true).write(true).open(DEVICE);
    let device = device.map_err(|error| {
        Why::Input(format!("`{DEVICE}` cannot be opened ({error}); load the kernel's module `tun`"))
    })?;
    let mut flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | EXCLUSIVE;
    if spec.multi_queue {
        flags |= libc::IFF_MULTI_QUEUE;
    }
    set_up(&device, spec, flags).map_err(|errno| match errno {
        // The one word for a name that any link has.
        Errno::EBUSY | Errno::EINVAL => Why::Refused { errno: Errno::EEXIST, said: None },
        errno => Why::Refused { errno, said: None },
    })
}

#[expect(unsafe_code, reason = "the ioctls of the TUN driver have no safe wrapper")]
fn set_up(device: &File, spec: &TapSpec<'_>, flags: i32) -> Result<(), Errno> {
    nix::ioctl_write_ptr_bad!(
        tun_set_iff,
        nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
        libc::ifreq
    );
    nix::ioctl_write_int_bad!(tun_set_persist, nix::request_code_write!(b'T', 203, size_of::<libc::c_int>()));
    nix::ioctl_write_int_bad!(tun_set_owner, nix::request_code_write!(b'T', 204, size_of::<libc::c_int>()));
    nix::ioctl_write_int_bad!(tun_set_group, nix::request_code_write!(b'T', 206, size_of::<libc::c_int>()));
    let mut name: [libc::c_char; libc::IFNAMSIZ] = [0; libc::IFNAMSIZ];
    for (to, from) in name.iter_mut().take(libc::IFNAMSIZ - 1).zip(spec.name.bytes()) {
        *to = from as libc::c_char;
    }
    let request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags as libc::c_short },
    };
    let fd = device.as_raw_fd();
    // SAFETY: the descriptor is open for as long as `device` lives; the first call reads an `ifreq` that outlives it,
    // the others take a number.
    unsafe {
        tun_set_iff(fd, &request)?;
        if let Some(owner) = spec.owner {
            tun_set_owner(fd, owner.cast_signed())?;
        }
        if let Some(group) = spec.group {
            tun_set_group(fd, group.cast_signed())?;
        }
        tun_set_persist(fd, 1)?;
    }
    Ok(())
}
