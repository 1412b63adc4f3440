//! ADD, the walk: request, who, what, plan, find, record, attach, routes, report, answer.
//!
//! Nothing is touched before the plan is whole and durable. After that every failure ends in the same undo, and both
//! errors are told.

pub mod answer;
mod attach;
pub(crate) mod find;
pub(crate) mod record;
mod report;
mod routes;
pub(crate) mod what;
mod who;

use std::io::Write;
use std::time::Instant;

use manifold_cni::{Attachment, CniArgs, CniError, code};
use manifold_net::{Netns, NetnsError};
use manifold_plan::{Plan, Pod, RuntimeInput};

use crate::chain::Setting;
use crate::config::Limits;
use crate::gate::Gate;
use crate::ledger::{BootId, Entry, Ledger, Opened, Pen, SandboxLock, Stage, Status};
use crate::shim::Shim;
use crate::source::{self, Source};
use crate::undo::{self, Undone, note};
use crate::{crash, outcome, policy, ready, signal, sweep};

use who::Who;

/// Attaches the pod and answers on `stdout`. On an error nothing is left behind, or the ledger says what is.
pub fn add(shim: &Shim, at: &Attachment, stdout: &mut dyn Write) -> Result<(), CniError> {
    signal::heed();
    let whole = shim.add_deadline();
    let _slot = Gate::Add.enter(&shim.config.state_dir, whole.min(shim.began + Gate::PATIENCE))?;
    let ledger = Ledger::open(&shim.config.state_dir)?;
    let _node = ledger.share_node(whole)?;
    let boot = sweep::boot_id()?;
    sweep::after_boot(shim, &ledger, &boot)?;
    let lock = ledger.lock(&at.container, whole)?;
    crash::point("locked");
    let done = locked(shim, at, stdout, &Held { ledger: &ledger, lock: &lock, boot });
    drop(lock);
    sweep::idle(shim, &ledger);
    done
}

/// What an ADD holds while it works.
struct Held<'a> {
    ledger: &'a Ledger,
    lock: &'a SandboxLock,
    boot: BootId,
}

fn locked(shim: &Shim, at: &Attachment, stdout: &mut dyn Write, held: &Held<'_>) -> Result<(), CniError> {
    let failed = |error: CniError| {
        let line = outcome::of_failed_add(None, at.container.as_str(), &error);
        outcome::note(shim, shim.began, line);
        error
    };
    make_room(shim, at, held)?;
    let mut source = source::open(&shim.config, shim.cluster.clone());
    let prepared = prepare(shim, at, held, &mut source).map_err(failed)?;
    crash::point("before-record");
    let Prepared { who, plan, netns, mut entry } = prepared;
    let mut pen = held.ledger.write(&entry)?;
    crash::point("recorded");
    let mut touched = Touched { shim, at, held, who: who.as_ref(), plan: &plan, netns: &netns };
    match touched.attach(&mut entry, &mut pen, source.as_deref_mut(), stdout) {
        Ok(()) => Ok(()),
        Err(error) => Err(touched.undo(entry, pen, error)),
    }
}

/// Everything that is known before anything is touched.
struct Prepared {
    who: Option<Who>,
    plan: Plan,
    netns: Netns,
    entry: Entry,
}

fn prepare(
    shim: &Shim,
    at: &Attachment,
    held: &Held<'_>,
    source: &mut Option<Box<dyn Source>>,
) -> Result<Prepared, CniError> {
    manifold_cni::netns::refuse_own(&at.netns, shim.netns_override.as_deref())?;
    let netns = Netns::open(&at.netns).map_err(bad_netns)?;
    let budget = shim.add_deadline().min(Instant::now() + Limits::API);
    let policy = policy::of(&shim.config)?;
    ready::wait(shim.config.readiness_indicator_file.as_deref(), shim.add_deadline())?;
    let who = who::of(&shim.config, at, source.as_deref_mut(), budget)?;
    let pod = pod(who.as_ref());
    let stand_in = Pod::new("default", "none", None).expect("both are valid names");
    let planned_for = pod.as_ref().unwrap_or(&stand_in);
    let wanted = manifold_plan::want(planned_for, &policy)?;
    let found = what::bring(shim, &wanted, source.as_deref_mut(), budget)?;
    let mut plan = manifold_plan::plan(planned_for, &policy, &found, &runtime(shim, at))?;
    plan.notes.iter().for_each(|line| tracing::info!("{line}"));
    if pod.is_none() {
        own_args(&mut plan, &at.args);
    }
    let entry = record::entry(shim, at, pod.as_ref(), &plan, held.boot.clone())?;
    find::names_free(&netns, &plan.attachments)?;
    attach::go_on(held.lock)?;
    crash::point("planned");
    Ok(Prepared { who, plan, netns, entry })
}

/// A runtime that is no Kubernetes one gets no made-up pod in its delegates' arguments.
fn own_args(plan: &mut Plan, args: &CniArgs) {
    for planned in &mut plan.attachments {
        planned.args = args.clone();
        planned.later_args = args.clone();
    }
}

fn pod(who: Option<&Who>) -> Option<Pod> {
    let who = who?;
    Some(Pod {
        namespace: who.pod.namespace.clone(),
        name: who.pod.name.clone(),
        uid: who.pod.uid.clone(),
        networks: who.annotations.networks().map(str::to_owned),
        default_network: who.annotations.default_network().map(str::to_owned),
    })
}

fn runtime(shim: &Shim, at: &Attachment) -> RuntimeInput {
    RuntimeInput {
        version: shim.config.cni_version,
        container: at.container.clone(),
        ifname: at.ifname.clone(),
        args: at.args.clone(),
        runtime_config: shim
            .config
            .runtime_config
            .iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        allocation: None,
    }
}

fn bad_netns(e: NetnsError) -> CniError {
    let again = matches!(e, NetnsError::Open { .. } | NetnsError::Enter { .. });
    CniError::new(if again { code::TRY_AGAIN } else { code::INVALID_ENVIRONMENT }, format!("CNI_NETNS: {e}"))
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
    match undo::undo(shim, held.ledger, held.lock, &mut entry, &mut pen, shim.add_deadline()) {
        Undone::Clean => Ok(()),
        Undone::Left(error) => {
            let msg = "an earlier ADD of this sandbox was broken off and cannot be undone yet";
            Err(CniError::new(code::TRY_AGAIN, msg).details(error.to_string()))
        }
    }
}

/// From the first plugin on: whatever fails now is undone.
struct Touched<'a> {
    shim: &'a Shim,
    at: &'a Attachment,
    held: &'a Held<'a>,
    who: Option<&'a Who>,
    plan: &'a Plan,
    netns: &'a Netns,
}

impl Touched<'_> {
    fn attach(
        &mut self,
        entry: &mut Entry,
        pen: &mut Pen,
        source: Option<&mut (dyn Source + '_)>,
        stdout: &mut dyn Write,
    ) -> Result<(), CniError> {
        let container = self.at.container.clone();
        let setting = Setting {
            container: &container,
            folders: &self.shim.folders,
            deadline: self.shim.add_deadline(),
            each: self.shim.config.limits.delegate,
            held: undo::held(self.held.lock),
        };
        attach::all(entry, pen, self.held.lock, &setting, &self.at.netns)?;
        routes::settle(self.plan, entry, self.netns)?;
        crash::point("routed");
        let answer = self.answer(entry)?;
        self.report(entry, pen, source)?;
        attach::go_on(self.held.lock)?;
        entry.stage = Stage::Complete;
        note(pen.save(entry));
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
                    entry.status = Status::Unpublished { why: "not answered yet".into() };
                    note(pen.save(entry));
                    report::publish(source, who, &text, self.shim.add_deadline())
                }
            };
        }
        crash::point("published");
        Ok(())
    }

    fn undo(&self, mut entry: Entry, mut pen: Pen, error: CniError) -> CniError {
        outcome::note(
            self.shim,
            self.shim.began,
            outcome::of_failed_add(Some(&entry), self.at.container.as_str(), &error),
        );
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
            error.details = format!("{}{gap}everything attached before it was undone", error.details)
        }
        Undone::Left(left) => {
            error.details = format!("{}{gap}the undo is not complete, DEL will go on: {left}", error.details);
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
