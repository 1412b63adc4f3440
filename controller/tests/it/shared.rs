//! The one API server of this process, for one test at a time.
//!
//! A leader of the use of networks writes to every definition of its server. Two of them would do each other's work, and whoever
//! stores a status of its own would find another.

use std::sync::{Mutex, MutexGuard, PoisonError};

use manifold_e2e::api_server::ApiServer;

/// Nobody else leads there, or stores statuses, until the second is dropped: it is to be the first that is declared.
pub(crate) fn alone() -> (&'static ApiServer, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    (ApiServer::shared().unwrap(), turn)
}
