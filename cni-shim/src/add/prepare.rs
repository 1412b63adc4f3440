//! Everything that comes before anything is touched: who, what, plan, find, and the entry as it will be recorded.

use manifold_cni::{Attachment, CniArgs, CniError, code};
use manifold_net::{Netns, NetnsError};
use manifold_plan::{Allocation, Plan, Pod, Policy, RuntimeInput};

use super::asking::Asking;
use super::who::{self, Who};
use super::{Held, attach, devices, find, record, what};
use crate::shim::Shim;
use crate::source::Source;
use crate::{crash, places, policy, ready};
use manifold_ledger::Entry;
use manifold_ledger::gate::{Gate, Pass};

/// Everything that is known before anything is touched.
pub(super) struct Prepared {
    pub(super) who: Option<Who>,
    pub(super) plan: Plan,
    pub(super) netns: Netns,
    pub(super) entry: Entry,
    /// Held until the pod is attached, or what was attached is undone.
    pub(super) place: Pass,
}

pub(super) fn prepare(
    shim: &Shim,
    at: &Attachment,
    held: &Held<'_>,
    source: &mut Option<Box<dyn Source>>,
) -> Result<Prepared, CniError> {
    manifold_cni::netns::refuse_own(&at.netns, shim.netns_override.as_deref())?;
    let netns = Netns::open(&at.netns).map_err(bad_netns)?;
    let policy = policy::of(&shim.config)?;
    let ready_file = shim.config.readiness_indicator_file.as_deref();
    ready::wait(ready_file, shim.add_deadline(), || attach::go_on(held.lock))?;
    let (who, pod, plan) = ask(shim, at, &policy, Asking::new(shim, held, source.as_deref_mut()))?;
    // From here on plugins are executed. Neither the default network nor the API server is waited for with a place.
    let networks: Vec<_> = plan.attachments.iter().map(|p| (p.display.as_str(), p.default)).collect();
    let place = places::enter(shim, Gate::Add, &networks, shim.add_deadline(), &|| attach::go_on(held.lock))?;
    let entry = record::entry(shim, at, pod.as_ref(), &plan, held.boot.clone())?;
    find::names_free(&netns, &plan.attachments)?;
    attach::go_on(held.lock)?;
    crash::point("planned");
    Ok(Prepared { who, plan, netns, entry, place })
}

/// All questions, and what comes of them.
fn ask(
    shim: &Shim,
    at: &Attachment,
    policy: &Policy,
    mut asking: Asking<'_>,
) -> Result<(Option<Who>, Option<Pod>, Plan), CniError> {
    let who = who::of(&shim.config, at, &mut asking)?;
    let pod = pod(who.as_ref());
    let stand_in = Pod::new("default", "none", None).expect("both are valid names");
    let planned_for = pod.as_ref().unwrap_or(&stand_in);
    let wanted = manifold_plan::want(planned_for, policy)?;
    let found = what::bring(shim, &wanted, &mut asking)?;
    let allocation = devices::of_pod(shim, who.as_ref(), &wanted, &found)?;
    let mut plan = manifold_plan::plan(planned_for, policy, &found, &runtime(shim, at, allocation))?;
    tell(&plan);
    if pod.is_none() {
        own_args(&mut plan, &at.args);
    }
    Ok((who, pod, plan))
}

/// Lines that one ADD may write about its annotations and definitions: their authors can make thousands odd.
const LINES_OF_ONE_ADD: usize = 16;

fn tell(plan: &Plan) {
    plan.notes.iter().take(LINES_OF_ONE_ADD).for_each(|line| tracing::info!("{line}"));
    plan.odd.iter().take(LINES_OF_ONE_ADD).for_each(|odd| tracing::warn!("{odd}"));
    if let Some(more @ 1..) = plan.odd.len().checked_sub(LINES_OF_ONE_ADD) {
        tracing::warn!("{more} more warnings about this pod's networks are not logged");
    }
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

fn runtime(shim: &Shim, at: &Attachment, allocation: Option<Allocation>) -> RuntimeInput {
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
        allocation,
    }
}

fn bad_netns(e: NetnsError) -> CniError {
    let again = matches!(e, NetnsError::Open { .. } | NetnsError::Enter { .. });
    CniError::new(if again { code::TRY_AGAIN } else { code::INVALID_ENVIRONMENT }, format!("CNI_NETNS: {e}"))
}
