//! Decides which networks a pod gets, in which order, under which interface names, from which bytes.
//!
//! In: the pod's two annotations, what the node's configuration says, the definitions and files that the caller fetched.
//! Out: the list that ADD walks forwards and DEL backwards, or one sentence that says why not. Nothing here fetches or
//! executes, so every rule is a table test, and the admission webhook refuses by the very code that the shim plans with.
//!
//! The order of calls: [`want()`] says what to fetch, the caller brings it as [`Definitions`], [`plan()`] decides.
//!
//! # Example
//! ```
//! use manifold_plan::{DefaultNetwork, Definitions, Pod, Policy, judge::judge, want};
//!
//! let policy = Policy::new(DefaultNetwork::Cluster("cluster-wide-network".parse()?));
//! let pod = Pod::new("shop", "cart", None)?.with_annotations(Some("left"), None);
//! let references: Vec<String> = want(&pod, &policy)?.references().iter().map(ToString::to_string).collect();
//! assert_eq!(references, ["kube-system/cluster-wide-network", "shop/left"]);
//!
//! // Without its definition, the network that the pod asks for is missing.
//! let judged = judge(&pod, &policy, &Definitions::default())?;
//! assert_eq!(judged.missing[0].0.to_string(), "shop/left");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod allocation;
pub mod annotation;
pub mod args;
mod attachment;
mod auxiliary;
mod by_args;
pub mod capability;
pub mod check_config;
mod cni_args;
pub mod default_network;
pub mod device_file;
mod device_need;
pub mod found;
pub mod judge;
pub mod names;
mod plan;
pub mod pod;
pub mod policy;
pub mod predict;
pub mod refusal;
mod requested_address;
pub mod resolve;
pub mod routes;
mod shared_handle;
pub mod want;

#[cfg(test)]
mod tests;

pub use allocation::{Allocation, DeviceRequest, Identity};
pub use default_network::LeftToPods;
pub use found::{Definitions, Files};
pub use plan::{Plan, Planned, RuntimeInput, plan};
pub use pod::Pod;
pub use policy::{Compat, DefaultNetwork, Isolation, Limits, NetworkValue, Ours, Policy};
pub use refusal::Refusal;
pub use routes::{Family, Intent, RouteChange, RouteIntent};
pub use want::{Role, Source, Want, Wanted, want};
