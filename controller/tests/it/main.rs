//! The controller against a real API server.
