//! The use of networks, kept true on the definitions of a real API server.

mod bed;
mod counting;
mod deletion;
mod missing;
mod namespaces;
mod quiet;
mod race;
mod restart;
mod watch;
