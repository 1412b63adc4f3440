//! Whose default route the pod has: decided for every attachment and family before anything is attached, settled with
//! the results at hand, applied once.
//!
//! Each family is decided alone: an IPv4 gateway does not take the IPv6 default route away (NPWG-4.1.2.1.9-7). A family
//! that nobody asked about stays with the default network. An empty list asks for no gateway of its own: the attachment
//! keeps what its configuration gives it, and where that is a default route, everybody else's goes.

mod intent;
mod settle;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;

pub use intent::decide;
pub use settle::settle;

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Family {
    /// Both families.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// What becomes of an attachment's default routes, by family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteIntent {
    /// Of IPv4.
    pub v4: Intent,
    /// Of IPv6.
    pub v6: Intent,
}

impl RouteIntent {
    /// Of that family.
    pub const fn get(&self, family: Family) -> Intent {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    fn set(&mut self, family: Family, intent: Intent) {
        match family {
            Family::V4 => self.v4 = intent,
            Family::V6 => self.v6 = intent,
        }
    }

    /// Whether nothing has to be done for this attachment, whatever the results say.
    pub fn is_keep(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of the default routes of one attachment and family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Intent {
    /// What its configuration gives it stays.
    #[default]
    Keep,
    /// Its default routes go.
    Remove,
    /// They go if the attachment of that place turns out to have one.
    YieldTo(usize),
    /// They go, and the pod's default route leads through it to this gateway.
    Via(IpAddr),
}

/// One thing to do in the pod, after all attachments are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteChange {
    /// The place of the attachment in the plan.
    pub attachment: usize,
    /// Of which addresses.
    pub family: Family,
    /// Every default route of the interface and family goes first. This is the gateway of the new one, if there is one.
    pub gateway: Option<IpAddr>,
}
