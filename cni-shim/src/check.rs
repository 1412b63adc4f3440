//! CHECK: the default network of the sandbox, or every attachment, or nothing, as `check` says.

use manifold_cni::{Attachment, CniError, code};

use crate::chain::{Chain, Setting};
use crate::claim::{self, Running};
use crate::config::CheckScope;
use crate::shim::Shim;
use crate::undo;
use manifold_ledger::netns_id::Now;
use manifold_ledger::{Entry, Ledger, SandboxLock, Stage};

pub fn check(shim: &Shim, at: &Attachment) -> Result<(), CniError> {
    let version = shim.config.cni_version;
    if !version.has_check() {
        let msg =
            format!("config version `{version}` does not support the CHECK command; it needs 0.4.0 or later");
        return Err(CniError::new(code::INCOMPATIBLE_VERSION, msg));
    }
    if shim.config.check == CheckScope::Off {
        return Ok(());
    }
    let has_result = shim.config.parsed_prev_result()?.is_some();
    let Some((lock, entry)) = recorded(shim, at)? else { return unrecorded(shim, at, has_result) };
    if !has_result {
        return Err(CniError::config("CHECK needs the `prevResult` that ADD gave; the runtime sent none"));
    }
    same_netns(&entry, at)?;
    let setting = Setting {
        container: &entry.container,
        folders: &shim.folders,
        deadline: shim.add_deadline(),
        each: shim.config.limits.delegate,
        held: undo::held(&lock),
        ledger: None,
    };
    let checked = entry.attachments.iter().filter(|a| a.default || shim.config.check == CheckScope::All);
    let one = |a| Chain::of(a, &setting).and_then(|chain| chain.check(&at.netns)).err();
    undo::all_of(checked.filter_map(one)).map_or(Ok(()), Err)
}

/// The finished entry of the sandbox, under its lock.
fn recorded(shim: &Shim, at: &Attachment) -> Result<Option<(SandboxLock, Entry)>, CniError> {
    let Some(ledger) = Ledger::open_existing(&shim.config.state_dir)? else { return Ok(None) };
    let until = shim.began + Shim::LOCK_WAIT;
    let lock = claim::lock(shim, &ledger, &at.container, Running::LetEnd, until)?;
    let Some(entry) = ledger.read(&at.container)? else { return Ok(None) };
    if entry.stage != Stage::Complete {
        return Err(CniError::check(format!(
            "sandbox `{}` is not attached: the ledger has no finished entry for it",
            at.container
        )));
    }
    Ok(Some((lock, entry)))
}

/// The runtime has no result of ours and the ledger has no entry: the sandbox is older than our install. CRI-O checks such
/// sandboxes too when it restarts, and there is nothing that an error would be about.
fn unrecorded(shim: &Shim, at: &Attachment, has_result: bool) -> Result<(), CniError> {
    if !has_result && shim.config.check == CheckScope::Default {
        tracing::info!(container = %at.container, "CHECK of a sandbox that was attached before the install checks nothing");
        return Ok(());
    }
    if !has_result {
        return Err(CniError::config("CHECK needs the `prevResult` that ADD gave; the runtime sent none"));
    }
    let msg = format!("sandbox `{}` is not attached: the ledger has no finished entry for it", at.container);
    Err(CniError::check(msg))
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
    Err(CniError::check(msg).details("fix: delete the pod; the runtime will create a new sandbox"))
}
