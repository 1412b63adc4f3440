//! Plugins that change an interface which an earlier plugin of the same list has made.
//!
//! Each takes `prevResult` and hands it on, with no more changed than what it did. DEL runs in reverse order, so it
//! mostly finds the interface still there; it must do without, and without the namespace.
//!
//! | question | module |
//! | --- | --- |
//! | what did the plugins before us make | [`chained`] |
//! | what does each plugin do | [`tuning`], [`sbr`], [`bandwidth`], [`portmap`], [`vrf`], [`firewall`] |

mod bandwidth;
mod chained;
mod firewall;
mod portmap;
mod sbr;
mod tuning;
mod vrf;

pub use bandwidth::Bandwidth;
pub use firewall::Firewall;
pub use portmap::Portmap;
pub use sbr::Sbr;
pub use tuning::Tuning;
pub use vrf::Vrf;

use crate::interface::go_on;
use crate::sandboxes::RuntimeRecord;

pub const TUNING: Tuning = Tuning { after_step: go_on, allow_list: tuning::ALLOW_LIST };
pub const SBR: Sbr = Sbr { after_step: go_on };
pub const BANDWIDTH: Bandwidth = Bandwidth { after_step: go_on };
pub const PORTMAP: Portmap = Portmap { after_step: go_on, sandboxes: &RuntimeRecord::USUAL };
pub const VRF: Vrf = Vrf { after_step: go_on };
pub const FIREWALL: Firewall = Firewall { after_step: go_on, bus: None };
