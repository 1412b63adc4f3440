//! Whole plans, from annotation to delegates.

mod attachments;
mod default_network;
mod hostile;
mod isolation;
mod judgement;
mod lenient;
mod requests;
mod sources;
pub(crate) mod support;

pub(crate) use support::wanted;
