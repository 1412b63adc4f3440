//! Whole plans, from annotation to delegates.

mod attachments;
mod cni_args;
mod default_network;
mod hostile;
mod isolation;
mod judgement;
mod left_to_pods;
mod lenient;
mod requests;
mod sources;
pub(crate) mod support;

pub(crate) use support::wanted;
