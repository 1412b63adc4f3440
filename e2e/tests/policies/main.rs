//! The policies and roles of `deploy/`, held against a real API server with real tokens.
//!
//! Two servers, each started once. On one, RBAC lets every service account do everything, so that the policies hold
//! alone ([`denied`]); on the other both are as they are shipped ([`rights`], [`normal`]). Every refusal has a twin: what
//! the same words would do where they are allowed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the configuration allows it inside test functions only, not in what they share"
)]

mod attempt;
mod bed;
mod cases;
mod cost;
mod denied;
mod identity;
mod manifests;
mod normal;
mod objects;
mod patch;
mod rights;
mod shape;
