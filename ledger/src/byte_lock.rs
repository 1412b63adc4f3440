//! Locks on single bytes of a file: one for each name there may ever be, without a file for each.
//!
//! They belong to the open file, as `flock` does: the kernel frees those of the dead, and executed plugins, which inherit
//! no such file, hold none of them.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use sha2::{Digest as _, Sha256};

use crate::flock::How;

/// How often a lock is tried that somebody else has.
const TRY_EVERY: Duration = Duration::from_millis(10);

/// The first of the bytes of a name, of which there are `room`. Whoever chooses names can choose none that meets another's.
pub(crate) fn first_byte(name: &str, room: u32) -> i64 {
    let digest = Sha256::digest(name.as_bytes());
    let number = digest.iter().take(7).fold(0_i64, |number, byte| (number << 8) | i64::from(*byte));
    // 56 bits and at most 64 bytes for each: below the largest offset that a file may have.
    number * i64::from(room.clamp(1, 64))
}

/// Whether the byte is ours now.
pub(crate) fn try_lock(file: &File, byte: i64, how: How) -> io::Result<bool> {
    let kind = match how {
        How::Shared => libc::F_RDLCK,
        How::Exclusive => libc::F_WRLCK,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&range(kind, byte, 1))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Tries again and again until `deadline`.
pub(crate) fn lock_until(file: &File, byte: i64, how: How, deadline: Instant) -> io::Result<bool> {
    while !try_lock(file, byte, how)? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        std::thread::sleep(left.min(TRY_EVERY));
    }
    Ok(true)
}

/// Waits for the byte without end.
pub(crate) fn lock_for_ever(file: &File, byte: i64) -> io::Result<()> {
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLKW(&range(libc::F_WRLCK, byte, 1))) {
            Err(Errno::EINTR) => {}
            other => return Ok(other.map(drop)?),
        }
    }
}

/// Gives one byte back.
pub(crate) fn unlock(file: &File, byte: i64) -> io::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&range(libc::F_UNLCK, byte, 1)))?;
    Ok(())
}

fn range(kind: libc::c_int, start: i64, length: i64) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).expect("the three kinds are small numbers"),
        l_whence: i16::try_from(libc::SEEK_SET).expect("a small number"),
        l_start: start,
        l_len: length,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_one_name_exclude_each_other_and_no_other_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bytes");
        let open =
            || File::options().create(true).truncate(false).read(true).write(true).open(&path).unwrap();
        let (first, second) = (open(), open());
        let (a, b) = (first_byte("shop/storage", 2), first_byte("shop/wire", 2));
        assert!(try_lock(&first, a, How::Exclusive).unwrap());
        assert!(!try_lock(&second, a, How::Shared).unwrap());
        assert!(try_lock(&second, b, How::Exclusive).unwrap());
        assert!(try_lock(&second, a + 1, How::Exclusive).unwrap(), "the second byte of the name");
        unlock(&first, a).unwrap();
        assert!(try_lock(&second, a, How::Shared).unwrap() && try_lock(&first, a, How::Shared).unwrap());
        drop(second);
        assert!(try_lock(&first, a, How::Exclusive).unwrap(), "free with the file of the other");
    }

    #[test]
    fn every_name_has_bytes_that_a_file_may_have() {
        for n in 0..1000 {
            let first = first_byte(&format!("network-{n}"), u32::MAX);
            assert!(first >= 0 && first.checked_add(64).is_some());
        }
    }
}
