//! The CNI protocol as types: what a runtime asks, what a plugin is configured with, what it answers.
//!
//! Both sides live here. A plugin implements [`Plugin`] and is run by [`skel`]; a runtime (our shim)
//! turns each plugin of a network into a [`Delegate`] and runs whole lists with [`list`].
//! Nothing here knows Kubernetes or the kernel; the only thing that is ever executed is a plugin.
//!
//! # Example
//! ```
//! use manifold_cni::{NetworkList, Version};
//!
//! let text = br#"{"cniVersion": "1.1.0", "name": "blue", "plugins": [{"type": "bridge"}]}"#;
//! let list = NetworkList::parse(text)?;
//! assert_eq!(list.version(), Version::V1_1_0);
//! assert_eq!(list.plugins[0].kind.as_str(), "bridge");
//!
//! let wrong = NetworkList::parse(br#"{"name": "blue", "plugins": [{"tipe": "bridge"}]}"#).unwrap_err();
//! assert!(wrong.to_string().contains("type"));
//! # Ok::<(), manifold_cni::BadConfig>(())
//! ```
//!
//! A whole plugin is in `examples/minimal`.

#![warn(missing_docs, clippy::missing_errors_doc)]

mod answer;
pub mod args;
mod bundled;
pub mod cache;
pub mod call;
pub mod check;
pub mod config;
pub mod convert;
pub mod delegate;
pub mod derive;
pub mod dispatch;
pub mod errno;
pub mod error;
pub mod exec;
#[cfg(test)]
mod fake;
pub mod find;
pub mod ipam;
pub mod json;
pub mod list;
pub mod log_line;
pub mod name;
pub mod netns;
pub mod plugin;
pub mod probe;
pub mod request;
pub mod result;
pub mod select;
pub mod skel;
pub mod spelling;
pub mod stdin;
pub mod version;
pub mod watchdog;

pub use manifold_process::file_mask;
#[doc(hidden)]
pub use serde;

pub use args::CniArgs;
pub use call::{Call, Request, Target};
pub use config::{BadConfig, Inlined, NetworkList, PluginConf};
pub use delegate::{Bundled, Delegate, Invocation, Verb};
pub use error::{CniError, code};
pub use exec::Executed;
pub use find::{NotFound, find};
pub use ipam::Ipam;
pub use json::RawObject;
pub use list::{Added, List, Stale, Step, Stopped};
pub use name::{ContainerId, IfName, NetworkName, PluginType};
pub use plugin::{Input, Plugin};
pub use request::{Attachment, AttachmentId, Detachment};
pub use result::{CniResult, Dns, Interface, IpConfig, Route};
pub use select::{NotSelected, Selected, select_by_name};
pub use version::Version;
