//! The bundled IPAM plugins. They give addresses and never touch a link, a route or a namespace.

mod dhcp;
pub mod host_local;
pub mod static_ipam;

pub use dhcp::Dhcp;
pub use host_local::HostLocal;
pub use static_ipam::Static;
