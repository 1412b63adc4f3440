//! What the layers below say, as the error that the runtime hears.

use manifold_cni::errno::code_for;
use manifold_cni::{CniError, code};
use manifold_net::nft::NftError;
use manifold_net::{Mac, NetError, NetnsError, SysctlError};

pub(crate) trait Told<T> {
    /// The same, with the error as a CNI error.
    fn told(self) -> Result<T, CniError>;
}

impl<T> Told<T> for Result<T, NetError> {
    fn told(self) -> Result<T, CniError> {
        self.map_err(|error| CniError::refused(error.errno(), error.to_string()))
    }
}

impl<T> Told<T> for Result<T, SysctlError> {
    fn told(self) -> Result<T, CniError> {
        self.map_err(|error| CniError::refused(error.errno(), error.to_string()))
    }
}

impl<T> Told<T> for Result<T, NftError> {
    fn told(self) -> Result<T, CniError> {
        self.map_err(|error| {
            let errno = match &error {
                NftError::Run { source, .. } => source.raw_os_error(),
                _ => None,
            };
            CniError::refused(errno, error.to_string())
        })
    }
}

impl<T> Told<T> for Result<T, NetnsError> {
    fn told(self) -> Result<T, CniError> {
        self.map_err(|error| CniError::new(code_for(error.errno(), code::INVALID_NETNS), error.to_string()))
    }
}

/// What came of setting a link up, or of giving it a MAC address. Links on one parent have different ones: the kernel makes a
/// second link with the same, and lets it do nothing.
pub(crate) fn told_with_mac<T>(
    done: Result<T, NetError>,
    link: &str,
    mac: Option<Mac>,
) -> Result<T, CniError> {
    match (done, mac) {
        (Err(error), Some(mac)) if error.is_address_in_use() => Err(CniError::failed(format!(
            "interface `{link}` cannot have the MAC address `{mac}`, because another interface on the same parent has it; give each \
             a `mac` of its own"
        ))
        .details(error.to_string())),
        (done, _) => done.told(),
    }
}

/// A removal that found nothing is done: DEL may arrive twice, and a link may go with its namespace meanwhile.
pub(crate) fn gone_is_fine(removed: Result<(), NetError>) -> Result<(), CniError> {
    match removed {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.told(),
    }
}
