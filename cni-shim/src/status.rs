//! STATUS: whether an ADD can be served, from files and the default network's own STATUS. It opens no connection, so an
//! API server that is down never turns a node NotReady.

use manifold_cni::{CniError, code};

use crate::chain::{Chain, Setting};
use crate::default_network::{self, Asker};
use crate::ready;
use crate::shim::Shim;
use manifold_ledger::Ledger;

pub fn status(shim: &Shim) -> Result<(), CniError> {
    let version = shim.config.cni_version;
    if !version.has_status() {
        let msg = format!("config version `{version}` does not support the STATUS command; it needs 1.1.0");
        return Err(CniError::new(code::INCOMPATIBLE_VERSION, msg));
    }
    ready::now(shim.config.readiness_indicator_file.as_deref())?;
    Ledger::open(&shim.config.state_dir).map_err(|e| not_ready(e.into()))?;
    let asker = Asker::nobody();
    // What only the API server knows is not asked for here.
    let Some(default) = default_network::on_disk(shim, &asker).map_err(not_ready)? else { return Ok(()) };
    let setting = Setting {
        container: &asker.container,
        folders: &shim.folders,
        deadline: shim.add_deadline(),
        each: shim.config.limits.delegate,
        held: None,
        ledger: None,
    };
    Chain::of(&default, &setting).and_then(|chain| chain.status()).map_err(not_ready)
}

/// The default network's own word (50, 51) is passed on; everything else means that an ADD would fail.
fn not_ready(error: CniError) -> CniError {
    match error.code {
        code::NOT_AVAILABLE | code::LIMITED_CONNECTIVITY => error,
        _ => CniError { code: code::NOT_AVAILABLE, ..error },
    }
}
