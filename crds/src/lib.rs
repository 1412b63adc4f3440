//! Kubernetes objects as types: the standard's NetworkAttachmentDefinition with its selection and status annotations, and
//! [`ipam`], the two resources of cluster-wide address management.
//!
//! Pure: text in, types out, and back. Every name, address and number that a user wrote is parsed once here;
//! what comes out needs no second look. Refusals are one sentence that names the element and the key.
//!
//! # Example
//! ```
//! use manifold_crds::{Namespace, selection};
//!
//! let home: Namespace = "shop".parse()?;
//! let asked = selection::parse("left, storage/right@net7", &home, selection::Limits::default())?.selections;
//! assert_eq!(asked[0].network.to_string(), "shop/left");
//! assert_eq!(asked[1].network.to_string(), "storage/right");
//! assert_eq!(asked[1].interface.as_ref().map(|name| name.as_str()), Some("net7"));
//!
//! let refused = selection::parse("left, a/b/c", &home, selection::Limits::default()).unwrap_err();
//! assert!(refused.to_string().starts_with("element 2"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod address;
pub mod crd;
pub mod device_info;
pub mod ipam;
pub mod keys;
pub mod nad;
pub mod nad_status;
pub mod name;
pub mod selection;
pub mod status;

pub use address::{Guid, IpRequest, Mac};
pub use device_info::DeviceInfo;
pub use nad::{Nad, NadRef};
pub use nad_status::{NadStatus, Unpublished};
pub use name::{ClaimName, DeviceId, NadName, Namespace, PodName, PodUid, ResourceName};
pub use selection::{BadSelection, Bandwidth, PortMapping, Protocol, Selection};
pub use status::NetworkStatus;
