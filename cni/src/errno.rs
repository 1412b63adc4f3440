//! What an error number of the system means for the runtime: whether the same call may succeed later.

use std::io;

use nix::errno::Errno;

use crate::code;

/// Whether the node only lacks something now: space, descriptors, memory, a thread or process, or a disk that works. What was
/// asked is not wrong, so a later attempt may succeed.
pub fn is_passing(errno: i32) -> bool {
    matches!(
        Errno::from_raw(errno),
        Errno::ENOSPC
            | Errno::EDQUOT
            | Errno::EROFS
            | Errno::EIO
            | Errno::EMFILE
            | Errno::ENFILE
            | Errno::ENOMEM
            | Errno::ENOBUFS
            | Errno::EAGAIN
            | Errno::EINTR
            | Errno::ETXTBSY
            | Errno::ESTALE
    )
}

/// [`is_passing`] of the error number, where the system gave one.
pub fn is_passing_error(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(is_passing)
}

/// The code for an error of the system: 11 where it passes, else `otherwise`.
pub fn code_for(errno: Option<i32>, otherwise: u32) -> u32 {
    if errno.is_some_and(is_passing) { code::TRY_AGAIN } else { otherwise }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CniError;

    // Proves: F-DSK-8
    #[test]
    fn what_the_node_lacks_now_is_code_11_and_what_is_wrong_is_not() {
        use nix::libc::{
            EACCES, EAGAIN, EDQUOT, EINVAL, EIO, EMFILE, ENAMETOOLONG, ENFILE, ENOENT, ENOMEM, ENOSPC, EROFS,
        };
        let code_of = |errno| CniError::io(&io::Error::from_raw_os_error(errno), "it failed").code;
        for passing in [ENOSPC, EDQUOT, EROFS, EIO, EMFILE, ENFILE, ENOMEM, EAGAIN] {
            assert_eq!(code_of(passing), code::TRY_AGAIN, "{passing}");
            assert_eq!(code_for(Some(passing), code::FAILED), code::TRY_AGAIN, "{passing}");
        }
        for lasting in [EACCES, EINVAL, ENAMETOOLONG, ENOENT] {
            assert_eq!(code_of(lasting), code::IO, "{lasting}");
            assert_eq!(code_for(Some(lasting), code::FAILED), code::FAILED, "{lasting}");
        }
        assert_eq!(CniError::io(&io::Error::other("its own words"), "it failed").code, code::IO);
        assert_eq!(code_for(None, code::FAILED), code::FAILED);
    }
}
