//! The standard's Kubernetes objects as types: NetworkAttachmentDefinition, the selection and status annotations.
//!
//! Pure: text in, types out, and back. Every name, address and number that a user wrote is parsed once here;
//! what comes out needs no second look. Refusals are one sentence that names the element and the key.

pub mod address;
pub mod crd;
pub mod device_info;
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
