//! The bundled IPAM plugins. They give addresses and never touch a link, a route or a namespace.

pub mod host_local;
pub mod static_ipam;

pub use host_local::HostLocal;
pub use static_ipam::Static;
