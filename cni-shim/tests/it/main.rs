//! The shim against real parts: an API server.

mod source;
