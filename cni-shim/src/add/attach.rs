//! Each network in turn. The first that fails stops the walk; the caller undoes all of it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use manifold_cni::{CniError, code};
use manifold_plan::Plan;

use super::device_info;
use crate::chain::{Chain, Setting};
use crate::crash;
use crate::signal;
use manifold_ledger::{Entry, Exact, Found, Pen, SandboxLock, State};

/// The devices of the plan, and where their plugins describe them.
pub(super) struct Devices<'a> {
    pub(super) plan: &'a Plan,
    pub(super) described_in: PathBuf,
}

impl Devices<'_> {
    fn hand_over(&self, entry: &Entry, n: usize) -> Result<(), CniError> {
        let file = entry.attachments.get(n).and_then(|recorded| recorded.device_info_file.as_deref());
        let device = self.plan.attachments.get(n).and_then(|planned| planned.device.as_ref());
        device_info::hand_over(file, device, &self.described_in)
    }
}

/// Attaches everything that the entry plans, in its order, never two at once.
pub(crate) fn all(
    entry: &mut Entry,
    pen: &mut Pen,
    lock: &SandboxLock,
    setting: &Setting<'_>,
    devices: &Devices<'_>,
    netns: &Path,
) -> Result<(), CniError> {
    // Executed plugins may need the results of their ADD on DEL; ours do not, and a result is saved at the end anyway.
    let save_each = entry.attachments.iter().any(|a| a.plugins.iter().any(|p| p.found != Found::Bundled));
    for n in 0..entry.attachments.len() {
        crash::numbered("attaching", n);
        mark(entry, n, State::Attaching);
        devices.hand_over(entry, n)?;
        let began = Instant::now();
        let added = one(entry, n, lock, setting, netns)?;
        if let Some(attachment) = entry.attachments.get_mut(n) {
            attachment.result = Some(Exact(added));
            attachment.took = Some(began.elapsed());
        }
        mark(entry, n, State::Attached);
        if save_each {
            pen.save(entry)?;
        }
        crash::numbered("attached", n);
    }
    go_on(lock)
}

fn mark(entry: &mut Entry, n: usize, state: State) {
    if let Some(attachment) = entry.attachments.get_mut(n) {
        attachment.state = state;
    }
}

fn one(
    entry: &Entry,
    n: usize,
    lock: &SandboxLock,
    setting: &Setting<'_>,
    netns: &Path,
) -> Result<Vec<u8>, CniError> {
    let recorded = entry.attachments.get(n).ok_or_else(|| {
        let count = entry.attachments.len();
        CniError::failed(format!(
            "attachment {n} of {count} is not in the ledger entry; report this as a bug"
        ))
    })?;
    let done = Chain::of(recorded, setting).and_then(|chain| chain.add(netns, || go_on(lock)));
    done.map(|added| added.raw).map_err(|mut error| {
        // 3 would tell the runtime that no DEL is needed (invariant 5).
        if error.code == code::UNKNOWN_CONTAINER {
            error.code = code::FAILED;
        }
        let pod =
            entry.pod.as_ref().map(|p| format!(" of pod {}/{}", p.namespace, p.name)).unwrap_or_default();
        let gap = if error.details.is_empty() { "" } else { "; " };
        error.details = format!(
            "network `{}`, interface {}{pod}{gap}{}",
            recorded.display, recorded.ifname, error.details
        );
        error
    })
}

/// Looked at before every plugin and before the answer: a DEL that waits for us, or a runtime that has given up.
pub(crate) fn go_on(lock: &SandboxLock) -> Result<(), CniError> {
    if lock.is_cancelled() {
        return Err(CniError::new(
            code::TRY_AGAIN,
            "the runtime asked for DEL while ADD was running; ADD stops",
        ));
    }
    if signal::terminated() {
        return Err(CniError::new(code::TRY_AGAIN, "the runtime ended ADD with SIGTERM"));
    }
    Ok(())
}
