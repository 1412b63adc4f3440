//! The node agent as a process, against a real API server.

mod addresses;
mod answers;
mod bed;
mod built_in;
mod credentials;
mod definition;
mod folders;
mod late;
mod outcomes;
mod routes;
mod strangers;
mod uninstall;
