//! CHECK: every attachment of the sandbox, not only the default one.

use manifold_cni::{Attachment, CniError, code};

use crate::chain::{Chain, Setting};
use crate::shim::Shim;
use crate::undo;
use manifold_ledger::netns_id::Now;
use manifold_ledger::{Entry, Ledger, Stage};

pub fn check(shim: &Shim, at: &Attachment) -> Result<(), CniError> {
    let version = shim.config.cni_version;
    if !version.has_check() {
        let msg =
            format!("config version `{version}` does not support the CHECK command; it needs 0.4.0 or later");
        return Err(CniError::new(code::INCOMPATIBLE_VERSION, msg));
    }
    if shim.config.parsed_prev_result()?.is_none() {
        return Err(CniError::config("CHECK needs the `prevResult` that ADD gave; the runtime sent none"));
    }
    let unknown = || {
        let msg =
            format!("sandbox `{}` is not attached: the ledger has no finished entry for it", at.container);
        CniError::check(msg)
    };
    let ledger = Ledger::open_existing(&shim.config.state_dir)?.ok_or_else(unknown)?;
    let lock = ledger.lock(&at.container, shim.began + Shim::LOCK_WAIT)?;
    let entry = ledger.read(&at.container)?.filter(|e| e.stage == Stage::Complete).ok_or_else(unknown)?;
    same_netns(&entry, at)?;
    let setting = Setting {
        container: &entry.container,
        folders: &shim.folders,
        deadline: shim.add_deadline(),
        each: shim.config.limits.delegate,
        held: undo::held(&lock),
    };
    let one = |a| Chain::of(a, &setting).and_then(|chain| chain.check(&at.netns)).err();
    undo::all_of(entry.attachments.iter().filter_map(one)).map_or(Ok(()), Err)
}

fn same_netns(entry: &Entry, at: &Attachment) -> Result<(), CniError> {
    let recorded = entry.netns.as_ref().and_then(|n| n.id);
    if recorded.is_none_or(|id| id.check(&at.netns) != Now::Gone) {
        return Ok(());
    }
    let msg = format!(
        "`{}` is not the network namespace in which sandbox `{}` was attached",
        at.netns.display(),
        at.container
    );
    Err(CniError::check(msg).details("fix: delete the pod; the runtime will make its sandbox anew"))
}
