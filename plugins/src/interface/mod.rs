//! Plugins that give a pod an interface.
//!
//! Every ADD has the same shape: read the configuration (which may refuse), open both namespaces, then one step after
//! another, each of which leaves its reversal in [`undo::Undo`] before the next begins. DEL goes on past errors and
//! asks for nothing that may be gone: not the namespace, not the parent link, not a configuration that still fits.
//!
//! | question | module |
//! | --- | --- |
//! | what does each plugin do | [`bridge`], [`ptp`], [`macvlan`], [`vlan`], [`ipvlan`], [`dummy`], [`tap`], [`host_device`], [`bond`], [`sriov`], [`loopback`] |
//! | how does a link of the host go to the pod and come back | [`lent`] |
//! | what does root write down at ADD, so that a link is known again | [`record`] |
//! | what does sysfs tell of a device | [`sysfs`] |
//! | how is an attachment of one link finished, told of and ended | [`sole_link`] |
//! | which link is below, and is it there | [`master`] |
//! | which addresses and routes go on the link, and in which order | [`address`], [`idle_routes`] |
//! | how do neighbours learn where an address is now | [`announce`] |
//! | which kernel settings does the link get | [`settings`], [`forwarding`] |
//! | is the attachment still as its result says | [`verify`] |
//! | is the link in that namespace the one we made | [`ownership`] |
//! | how does the pod's address change on its way out | [`masquerade`] |
//! | may a pod send from any MAC address | [`spoof_check`] |
//! | what is taken back when a step fails; what is reported when several do | [`undo`], [`teardown`] |

mod address;
mod announce;
mod bond;
mod bridge;
mod dns;
mod dummy;
pub(crate) mod failure;
pub(crate) mod forwarding;
mod host_device;
mod idle_routes;
mod ipvlan;
mod lent;
mod loopback;
mod macvlan;
pub(crate) mod masquerade;
mod master;
mod ownership;
mod ptp;
mod record;
pub(crate) mod ruleset;
pub(crate) mod sandbox;
mod settings;
mod sole_link;
pub(crate) mod spoof_check;
mod sriov;
mod sysfs;
mod tap;
mod tap_label;
pub(crate) mod teardown;
pub(crate) mod undo;
mod verify;
mod veth_pair;
mod vlan;

pub use bond::Bond;
pub use bridge::Bridge;
pub use dummy::Dummy;
pub use host_device::HostDevice;
pub use ipvlan::Ipvlan;
pub use loopback::Loopback;
pub use macvlan::Macvlan;
pub use ptp::Ptp;
pub use sriov::Sriov;
pub use tap::Tap;
pub use undo::{AfterStep, go_on};
pub use vlan::Vlan;

pub const BRIDGE: Bridge = Bridge { after_step: go_on };
pub const PTP: Ptp = Ptp { after_step: go_on };
pub const MACVLAN: Macvlan = Macvlan { after_step: go_on };
pub const VLAN: Vlan = Vlan { after_step: go_on };
pub const IPVLAN: Ipvlan = Ipvlan { after_step: go_on };
pub const DUMMY: Dummy = Dummy { after_step: go_on };
pub const HOST_DEVICE: HostDevice = HostDevice { after_step: go_on };
pub const BOND: Bond = Bond { after_step: go_on };
pub const SRIOV: Sriov = Sriov { after_step: go_on, state: "/var/lib/cni/sriov" };
pub const TAP: Tap = Tap { after_step: go_on };
