//! The webhook, called by a real API server by way of the shipped configuration.

mod bed;
mod certificates;
mod clients;
mod definitions;
mod faults;
mod hearsay;
mod in_use;
mod isolation;
mod load;
mod pods;
mod slips;
mod target;
mod updates;
mod wire;
