//! Addresses that are unique in the whole cluster: what decides, without a line that reads a file, sends a request or looks at
//! a clock. Callers bring all of these.
//!
//! # Words
//! | word | meaning |
//! | --- | --- |
//! | domain | a space in which an address is given once; networks on one wire share it |
//! | [block](manifold_crds::ipam::BlockCidr) | 16 aligned addresses, known by their CIDR (IPv4 /28, IPv6 /124), and their object `AddressBlock`. Every domain is cut into the same ones, whatever ranges lie over it |
//! | held, shared | one node gives all of a block, or each address is allocated for itself |
//! | [allocation](manifold_crds::ipam::Allocation) | one address of a shared block: a node's, a claim's, or somebody foreign's |
//! | [pool](pool::Pool) | which addresses of one subnet may be given. A view: blocks know no pools |
//! | [holdings](holdings::Holdings) | what a node may give, in one durable file for each domain |
//! | [lease](lease::Lease) | one address of an interface of a pod: a file on its node |
//! | closing | held still, but on its way back: nothing more is given of it |
//! | epoch | raised in what a node writes of its own, so that nothing it sent before can land any more |
//!
//! Block, block CIDR and allocation are what Calico's IPAM calls the same things, and whereabouts too has `allocations`. Recall is
//! what an NFS server does with a delegation. Lease is host-local's and DHCP's word for the address of one interface.
//!
//! # What must hold
//! 1. A block's name and `resourceVersion` are the only locks of the cluster: every [`Write`](api::Write) is a create, or names
//!    the version that was read.
//! 2. An address is given only out of holdings, under the domain's lock, with a lease made first.
//! 3. What the API server says a node has is never less than its holdings: what leaves them is written there first, what
//!    enters them last. No request that is still on its way can change that: see [`reconcile`].
//! 4. Nothing that lives is freed by name or by time.
//!
//! # Who calls what
//! | who | calls | locks |
//! | --- | --- | --- |
//! | ADD, the plugin | [`give`], then [`Lease::encode`](lease::Lease::encode); nothing else while an address is free | domain |
//! | ADD with nothing to give | [`claim`], [`intent`], then [`give`] again before it lets go | claiming; domain for each file |
//! | whoever gets the claiming lock | settles the intents that lie there by [`reconcile`], then removes them | claiming |
//! | ADD for an IPAMClaim | [`keep`]; the address is the claim's, and no part of the holdings | none |
//! | DEL, GC | removes leases, notes [`freed`](lease::Leases::note_freed) | domain |
//! | CHECK | [`Holdings::contains`](holdings::Holdings::contains) | domain |
//! | node agent | [`agent::tasks`], then [`reconcile`], [`release`], [`claim`] | claiming; domain for each file |
//! | leader | [`leader`] | none |
//!
//! The claiming lock is taken before the domain's. A request is sent only under the claiming lock, never under the domain's.
//! The model in `tests/model` runs all of this with requests that are lost, late and doubled, and processes killed between
//! any two steps.

#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod agent;
pub mod api;
pub mod claim;
pub mod file;
pub mod give;
pub mod holdings;
pub mod intent;
pub mod keep;
pub mod leader;
pub mod lease;
pub mod moment;
pub mod pool;
pub mod reconcile;
pub mod release;
pub mod set;
