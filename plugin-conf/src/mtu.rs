//! An MTU: 0 leaves the choice to the kernel.

use serde::{Deserialize, Serialize};

/// Bytes; 0 is the kernel's choice. The upper bound is the largest that an IP packet can need; a parent link may set
/// a lower one, which only the plugin can see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64")]
pub struct Mtu(u32);

impl Mtu {
    /// `None` is the kernel's choice.
    pub fn get(self) -> Option<u32> {
        (self.0 != 0).then_some(self.0)
    }
}

impl TryFrom<i64> for Mtu {
    type Error = String;

    fn try_from(n: i64) -> Result<Self, String> {
        match u32::try_from(n) {
            Ok(n @ 0..=65_536) => Ok(Self(n)),
            _ => Err(format!(
                "{n} is not an MTU; use 0 for the kernel's choice, or up to the MTU of the parent link"
            )),
        }
    }
}
