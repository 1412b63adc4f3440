//! The shim against real parts: an API server, network namespaces, plugins.

mod source;
