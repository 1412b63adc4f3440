//! The bundled IPAM plugins. They give addresses and never touch a link, a route or a namespace.

pub mod cluster_local;
mod dhcp;
pub mod host_local;
pub mod static_ipam;

pub use cluster_local::{CLUSTER_LOCAL, ClusterLocal};
pub use dhcp::Dhcp;
pub use host_local::HostLocal;
pub use static_ipam::Static;
