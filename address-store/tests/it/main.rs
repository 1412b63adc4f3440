//! The folder and the claims on real files, by processes that are killed and by many at once. The API server's place is taken
//! by a folder that does what the server promises: versions, conflicts, and now and then no answer. The real server is in
//! crate `e2e`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the configuration allows it inside test functions only, not in what they share"
)]

mod at_once;
mod bed;
mod claims;
mod file_api;
mod kept;
mod killed;
mod named;
mod torn;
