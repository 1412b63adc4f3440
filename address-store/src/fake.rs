//! A server in memory.
