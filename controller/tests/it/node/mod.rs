//! The node role as a process, against a real API server.

mod bed;
mod credentials;
mod folders;
mod late;
mod outcomes;
mod uninstall;
