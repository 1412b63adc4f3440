//! ADD, the walk: request, who, what, plan, find, record, addresses, attach, routes, report, answer.
//!
//! Nothing is touched before the plan is whole and durable. After that every failure ends in the same undo, and both
//! errors are told.

mod addresses;
pub mod answer;
pub(crate) mod asking;
mod attach;
mod device_info;
mod devices;
pub(crate) mod find;
mod prepare;
pub(crate) mod record;
mod report;
mod routes;
mod touched;
pub(crate) mod what;
mod who;

use std::io::Write;

use manifold_cni::{Attachment, CniError, ContainerId, code};

use crate::at_once::caught;
use crate::claim::{self, Running};
use crate::shim::Shim;
use crate::undo::{self, Undone};
use crate::{crash, outcome, places, signal, source, sweep};
use manifold_ledger::gate::Gate;
use manifold_ledger::store::MOST_ID_BYTES;
use manifold_ledger::{BootId, Ledger, Opened, SandboxLock, Stage};

use prepare::{Prepared, prepare};
use touched::Touched;

/// Attaches the pod and answers on `stdout`. On an error nothing is left behind, or the ledger says what is.
pub fn add(shim: &Shim, at: &Attachment, stdout: &mut dyn Write) -> Result<(), CniError> {
    refuse_long_id(&at.container)?;
    signal::heed();
    let whole = shim.add_deadline();
    let ledger = Ledger::open(&shim.config.state_dir)?;
    let node = ledger.share_node(whole)?;
    let boot = sweep::boot_id()?;
    sweep::after_boot(shim, &ledger, &boot)?;
    let lock = claim::lock(shim, &ledger, &at.container, Running::LetEnd, whole)?;
    crash::point("locked");
    let done = locked(shim, at, stdout, &Held { ledger: &ledger, lock: &lock, boot });
    drop((lock, node));
    sweep::idle(shim, &ledger);
    done
}

/// Files of ours are called by the id, some with more behind it (F-DSK-9).
fn refuse_long_id(container: &ContainerId) -> Result<(), CniError> {
    let length = container.as_str().len();
    if length <= MOST_ID_BYTES {
        return Ok(());
    }
    let msg = format!(
        "CNI_CONTAINERID has {length} bytes, and what Manifold keeps of a sandbox has room for {MOST_ID_BYTES}"
    );
    Err(CniError::new(code::INVALID_ENVIRONMENT, msg)
        .details("nothing was touched; fix: configure the runtime to use shorter sandbox ids"))
}

/// What an ADD holds while it works.
struct Held<'a> {
    ledger: &'a Ledger,
    lock: &'a SandboxLock,
    boot: BootId,
}

fn locked(shim: &Shim, at: &Attachment, stdout: &mut dyn Write, held: &Held<'_>) -> Result<(), CniError> {
    let failed = |error: CniError| {
        let line = outcome::of_failed_add(None, at, &error);
        outcome::note(shim, shim.began, line);
        error
    };
    make_room(shim, at, held)?;
    let mut source = source::open(&shim.config, shim.cluster.clone());
    let prepared = prepare(shim, at, held, &mut source).map_err(failed)?;
    crash::point("before-record");
    let Prepared { who, plan, netns, mut entry, place: _place } = prepared;
    let mut pen = held.ledger.write(&entry)?;
    crash::point("recorded");
    let touched = Touched { shim, at, held, who: who.as_ref(), plan: &plan, netns: &netns };
    // A panic is undone like every other failure.
    match caught(|| touched.attach(&mut entry, &mut pen, source.as_deref_mut(), stdout)) {
        Ok(()) => Ok(()),
        Err(error) => Err(touched.undo(entry, pen, error)),
    }
}

/// An earlier ADD of the same sandbox: a finished one is left alone, an unfinished one is undone first (F-POD-6).
fn make_room(shim: &Shim, at: &Attachment, held: &Held<'_>) -> Result<(), CniError> {
    let Some(Opened { mut entry, mut pen, .. }) = held.ledger.open_entry(&at.container)? else {
        return Ok(());
    };
    if entry.stage == Stage::Complete {
        let msg =
            format!("sandbox `{}` is attached already; it needs a DEL before another ADD", at.container);
        return Err(CniError::new(code::ALREADY_ATTACHED, msg));
    }
    let go_on = || attach::go_on(held.lock);
    let _place = places::enter(shim, Gate::Add, &places::of(&entry), shim.add_deadline(), &go_on)?;
    match undo::undo(shim, held.ledger, held.lock, &mut entry, &mut pen, shim.add_deadline()) {
        Undone::Clean => Ok(()),
        Undone::Left(error) => {
            let msg = "an earlier ADD of this sandbox was broken off and cannot be undone yet";
            Err(CniError::new(code::TRY_AGAIN, msg).details(error.to_string()))
        }
    }
}
