//! From the first plugin to the answer. Whatever fails now is undone, and both errors are told.

use std::io::Write;
use std::time::Instant;

use manifold_cni::{Attachment, CniError, code};
use manifold_net::Netns;
use manifold_plan::Plan;

use super::who::Who;
use super::{Held, addresses, answer, attach, report, routes};
use crate::chain::Setting;
use crate::shim::Shim;
use crate::source::Source;
use crate::undo::{self, Undone};
use crate::{crash, outcome};
use manifold_ledger::{Entry, Pen, Stage, Status, Unpublished, Uptime};

/// A sandbox that the ledger knows of.
pub(super) struct Touched<'a> {
    pub(super) shim: &'a Shim,
    pub(super) at: &'a Attachment,
    pub(super) held: &'a Held<'a>,
    pub(super) who: Option<&'a Who>,
    pub(super) plan: &'a Plan,
    pub(super) netns: &'a Netns,
}

impl Touched<'_> {
    pub(super) fn attach(
        &self,
        entry: &mut Entry,
        pen: &mut Pen,
        mut source: Option<&mut (dyn Source + 'static)>,
        stdout: &mut dyn Write,
    ) -> Result<(), CniError> {
        addresses::lease(self.shim, entry, self.plan, source.as_deref_mut())?;
        let container = self.at.container.clone();
        let setting = Setting {
            container: &container,
            folders: &self.shim.folders,
            deadline: self.shim.add_deadline(),
            each: self.shim.config.limits.delegate,
            held: undo::held(self.held.lock),
            ledger: Some(self.held.ledger),
        };
        let devices =
            attach::Devices { plan: self.plan, described_in: self.shim.config.device_info_dir.join("dp") };
        attach::all(entry, pen, self.held.lock, &setting, &devices, &self.at.netns)?;
        routes::settle(self.plan, entry, self.netns)?;
        crash::point("routed");
        let answer = self.answer(entry)?;
        self.report(entry, pen, source)?;
        attach::go_on(self.held.lock)?;
        // An answer that the ledger does not hold could neither be checked nor published later (F-DSK-2).
        entry.stage = Stage::Complete;
        entry.answered = Some(Uptime::now());
        pen.save(entry)?;
        crash::point("saved");
        answer::deliver(stdout, &answer)?;
        outcome::note(self.shim, self.shim.began, outcome::of_add(entry, published(&entry.status)));
        Ok(())
    }

    fn answer(&self, entry: &Entry) -> Result<Vec<u8>, CniError> {
        let default = entry.attachments.iter().find(|a| a.default);
        let (raw, version) = default
            .and_then(|a| Some((a.result.as_ref()?.as_slice(), a.version)))
            .unwrap_or((b"{}", self.shim.config.cni_version));
        answer::bytes(raw, version, self.shim.config.cni_version)
    }

    /// The results are on disk before the status leaves the node, so a death in between loses nothing.
    fn report(
        &self,
        entry: &mut Entry,
        pen: &mut Pen,
        source: Option<&mut (dyn Source + '_)>,
    ) -> Result<(), CniError> {
        let text = report::text(self.plan, entry, self.shim.config.compat.status_per_interface)?;
        entry.status_text = Some(text.clone());
        if let (Some(source), Some(who)) = (source, self.who) {
            entry.status = match report::left_to_others(who, entry, self.shim.config.manifests.is_none()) {
                Some(why) => Status::Unpublished { why },
                None => {
                    entry.status =
                        Status::Unpublished { why: Unpublished::Failed("not answered yet".into()) };
                    pen.save(entry)?;
                    report::publish(source, who, &text, self.shim.add_deadline())
                }
            };
        }
        crash::point("published");
        Ok(())
    }

    pub(super) fn undo(&self, mut entry: Entry, mut pen: Pen, error: CniError) -> CniError {
        outcome::note(self.shim, self.shim.began, outcome::of_failed_add(Some(&entry), self.at, &error));
        // The undo has its own time: it must not fail because ADD used all of it.
        let deadline = Instant::now() + self.shim.config.limits.delegate;
        let done = undo::undo(self.shim, self.held.ledger, self.held.lock, &mut entry, &mut pen, deadline);
        both(error, done)
    }
}

/// The failure, and how the undo went. Code 11 promises that nothing is left, so it needs a clean undo.
fn both(mut error: CniError, done: Undone) -> CniError {
    let gap = if error.details.is_empty() { "" } else { "; " };
    match done {
        Undone::Clean => {
            error.details = format!("{}{gap}everything attached before it was undone", error.details);
        }
        Undone::Left(left) => {
            error.details =
                format!("{}{gap}the undo is not complete; DEL will continue: {left}", error.details);
            if error.code == code::TRY_AGAIN {
                error.code = code::FAILED;
            }
        }
    }
    error
}

fn published(status: &Status) -> &'static str {
    match status {
        Status::None | Status::Published => "success",
        Status::Unpublished { .. } => "unpublished",
        Status::Superseded => "superseded",
    }
}
