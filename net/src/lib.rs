//! The typed layer over the kernel's network: links, addresses, routes, rules, bridge VLANs, namespaces, sysctls and
//! nftables, in words a plugin uses. It knows nothing of CNI or Kubernetes.
//!
//! Everything blocks and nothing needs a runtime. A netlink request is answered while it is being sent, so a plain
//! socket is both the simplest and the fastest client; it also keeps what a plugin must not lose, the kernel's own
//! explanation of a refusal and its mark on a listing that changed half way. Messages are those of
//! `netlink-packet-route`; no type of it leaves this crate.
//!
//! | question | module |
//! | --- | --- |
//! | which namespace is this, and how is work done in it | [`netns`] |
//! | which socket speaks to which namespace | [`net`] |
//! | by which marks is a namespace known again later | [`nsid`] |
//! | what does a link look like; create, change, remove one | [`link`], [`create`], [`kinds`], [`change`] |
//! | which VLANs does a bridge port carry | [`bridge_vlan`] |
//! | addresses, routes, rules, neighbours | [`address`], [`route`], [`rule`], [`neighbour`] |
//! | TAP devices | [`tap`] |
//! | what does a card enforce on its virtual functions | [`vf`] |
//! | how much may a link send or receive | [`shape`] |
//! | when is a link up, when are its addresses usable | [`wait`] |
//! | what is a kernel setting | [`sysctl`] |
//! | which firewall rules are ours | [`nft`] |
//! | where is a tool of the host | [`tool`] |
//! | how is a daemon of the host asked within a time | [`unix`] |
//! | may `iptables` have something of ours | [`iptables`] |
//! | which flows does the kernel remember | [`conntrack`] |
//! | how are packets sent from a link without an address | [`packet`] |
//!
//! # Example
//! ```
//! use manifold_net::Net;
//!
//! let lo = Net::here()?.link("lo")?.expect("every namespace has one");
//! assert!(lo.loopback && lo.kind.is_none());
//! # Ok::<(), manifold_net::NetError>(())
//! ```

#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod address;
pub mod bridge_vlan;
pub mod change;
mod channel;
pub mod conntrack;
pub mod create;
pub mod error;
pub mod iptables;
pub mod kinds;
pub mod link;
pub mod mac;
pub mod neighbour;
pub mod net;
mod netfilter;
pub mod netns;
pub mod nft;
pub mod nsid;
pub mod packet;
pub mod route;
pub mod rule;
pub mod shape;
pub mod sysctl;
pub mod tap;
pub mod tool;
pub mod unix;
pub mod vf;
pub mod wait;

pub use address::{Address, AddressOptions};
pub use bridge_vlan::{BridgeVlan, VlanOwner};
pub use change::LinkChange;
pub use create::{BridgeSpec, MacvlanSpec, VethSpec};
pub use error::NetError;
pub use ipnet::{IpNet, Ipv4Net, Ipv6Net};
pub use kinds::{BondSpec, NewLink};
pub use link::{BridgePort, IpvlanFlag, IpvlanMode, Link, MacvlanMode, ParentDevice};
pub use mac::Mac;
pub use net::{Family, Net};
pub use netns::{Netns, NetnsError, NetnsId};
pub use packet::PacketSocket;
pub use route::{NextHop, Route, RouteAdd, RouteFilter, RouteKind};
pub use rule::Rule;
pub use shape::TokenBucket;
pub use sysctl::SysctlError;
pub use tap::TapSpec;
pub use unix::UnixConnection;
pub use vf::{Vf, VfChange, VfState};
pub use wait::Dad;
