//! Plugins that give a pod an interface.
//!
//! Every ADD has the same shape: read the configuration (which may refuse), open both namespaces, then one step after
//! another, each of which leaves its reversal in [`undo::Undo`] before the next begins. DEL goes on past errors and
//! asks for nothing that may be gone: not the namespace, not the parent link, not a configuration that still fits.
//!
//! | question | module |
//! | --- | --- |
//! | what does each plugin do | [`bridge`], [`ptp`], [`macvlan`], [`loopback`] |
//! | which addresses and routes go on the link, and in which order | [`address`] |
//! | which kernel settings does the link get | [`settings`], [`forwarding`] |
//! | is the attachment still as its result says | [`verify`] |
//! | is the link in that namespace the one we made | [`ownership`] |
//! | how does the pod's address change on its way out | [`masquerade`] |
//! | what is taken back when a step fails; what is reported when several do | [`undo`], [`teardown`] |

mod address;
mod bridge;
mod dns;
pub(crate) mod failure;
pub(crate) mod forwarding;
mod loopback;
mod macvlan;
pub(crate) mod masquerade;
mod ownership;
mod ptp;
pub(crate) mod ruleset;
pub(crate) mod sandbox;
mod settings;
mod spoof_check;
pub(crate) mod teardown;
pub(crate) mod undo;
mod verify;
mod veth_pair;

pub use bridge::Bridge;
pub use loopback::Loopback;
pub use macvlan::Macvlan;
pub use ptp::Ptp;
pub use undo::{AfterStep, go_on};

pub const BRIDGE: Bridge = Bridge { after_step: go_on };
pub const PTP: Ptp = Ptp { after_step: go_on };
pub const MACVLAN: Macvlan = Macvlan { after_step: go_on };
