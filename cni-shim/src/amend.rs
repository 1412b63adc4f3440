//! DEL of an ADD that never ended, where the IPAM plugin cannot work with what is recorded: a path of a kubeconfig that is not
//! there refuses the ADD and every DEL for the same cause, also after the definition was corrected.
//!
//! DEL replays the recorded bytes and makes no request. This module keeps that: the recorded bytes are tried first, and the
//! definition is never read. What works now is taken from the ledger itself, from a pod that was attached to the same network on this node since. The
//! bounds: only after two DELs failed, and only where ADD never answered, so that no address was ever told to anybody; only the call of an executed IPAM
//! plugin, by the same executable, for this sandbox and interface; the interface plugin's own part stays with the recorded
//! bytes, as another pod's could name another device.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use manifold_cni::derive::Derived;
use manifold_cni::{CniArgs, CniError, Delegate as _, Executed, Invocation, PluginType, Verb};
use manifold_ledger::{Entry, Exact, Found, Ledger, Recorded, RecordedPlugin, Stage, State};

use crate::chain::{Chain, Setting, conf, raw};

/// How many DELs have to fail with the recorded bytes first: an IPAM plugin that is only slow or restarts works again by then.
const FAILURES_BEFORE: u32 = 2;
/// Keys that belong to one pod: an attachment's device, and what its annotation asked for.
const OF_ONE_POD: [&str; 3] = ["deviceID", "pciBusID", "args"];

/// Tries the DEL again with what works now. `None`: this is no such case, or the ledger knows nothing that works.
pub(crate) fn del(
    ledger: &Ledger,
    entry: &Entry,
    recorded: &Recorded,
    setting: &Setting<'_>,
    netns: Option<&Path>,
) -> Option<Result<(), CniError>> {
    let failed_before = entry.failures.is_some_and(|failures| failures.count >= FAILURES_BEFORE);
    if !failed_before || recorded.result.is_some() || !recorded.plugins.iter().any(runs_ipam) {
        return None;
    }
    let works = working(ledger, entry, recorded)?;
    let released = recorded.plugins.iter().zip(&works.plugins).filter(|(plugin, _)| runs_ipam(plugin));
    let released =
        released.map(|(plugin, working)| release(plugin, working, recorded, &works, setting, netns));
    let done = released.collect::<Result<(), CniError>>().and_then(|()| {
        let rest = without_ipam(recorded)?;
        Chain::of(&rest, setting)?.del(netns)
    });
    if done.is_ok() {
        tracing::info!(
            container = %setting.container,
            "network `{}`: released with the configuration by which a later pod was attached", recorded.display
        );
    }
    Some(done)
}

/// A bundled interface plugin that executes its IPAM plugin.
fn runs_ipam(plugin: &RecordedPlugin) -> bool {
    plugin.found == Found::Bundled && plugin.executables.len() == 1
}

/// The newest attachment of this node, later than the entry's, to the same network by the same plugins, with another
/// configuration.
fn working(ledger: &Ledger, entry: &Entry, recorded: &Recorded) -> Option<Recorded> {
    let mut best: Option<(u64, Recorded)> = None;
    let is_later = |other: &Entry| other.stage == Stage::Complete && other.created >= entry.created;
    for id in ledger.entries().ok()?.iter().filter(|id| **id != entry.container) {
        let Some(other) = ledger.read(id).ok().flatten().filter(is_later) else { continue };
        let newer = best.as_ref().is_none_or(|(created, _)| other.created >= *created);
        if let (true, Some(found)) = (newer, other.attachments.into_iter().find(|a| is_alike(a, recorded))) {
            best = Some((other.created, found));
        }
    }
    best.map(|(_, found)| found)
}

fn is_alike(other: &Recorded, recorded: &Recorded) -> bool {
    let same_plugins = other.plugins.len() == recorded.plugins.len()
        && other.plugins.iter().zip(&recorded.plugins).all(|(a, b)| {
            let paths = |plugin: &RecordedPlugin| -> Vec<_> {
                plugin.executables.iter().map(|executable| executable.path.clone()).collect()
            };
            (&a.kind, &a.found, paths(a)) == (&b.kind, &b.found, paths(b))
        });
    let same_network = (&other.display, &other.network) == (&recorded.display, &recorded.network);
    let differs = other.plugins.iter().zip(&recorded.plugins).any(|(a, b)| a.config != b.config);
    same_plugins && same_network && differs && other.state == State::Attached && other.result.is_some()
}

/// DEL of the IPAM plugin alone.
fn release(
    plugin: &RecordedPlugin,
    working: &RecordedPlugin,
    recorded: &Recorded,
    works: &Recorded,
    setting: &Setting<'_>,
    netns: Option<&Path>,
) -> Result<(), CniError> {
    let _shared = setting.share(&recorded.network, Verb::Del)?;
    let (mut working, own) = (conf(working)?, conf(plugin)?.raw);
    for key in OF_ONE_POD {
        working.raw.retain(|name| name != key);
        if let Some(value) = own.get(key) {
            working.raw.set_raw(key, value.to_owned());
        }
    }
    let runtime = recorded.runtime.iter().map(|(key, value)| Ok((key.clone(), raw(value)?)));
    let runtime: BTreeMap<_, _> = runtime.collect::<Result<_, CniError>>()?;
    let derived = Derived {
        name: &recorded.network,
        version: works.version,
        runtime: Some(&runtime),
        prev_result: None,
        valid_attachments: None,
    };
    let Some(executable) = plugin.executables.first() else { return Ok(()) };
    let name = executable.path.file_name().unwrap_or_default().to_string_lossy();
    let kind = name
        .parse::<PluginType>()
        .map_err(|e| CniError::failed(format!("IPAM plugin `{name}` of the ledger: {e}")))?;
    let ipam = Executed::new(kind, executable.path.clone()).keep_open(setting.held.clone());
    ipam.call(&Invocation {
        verb: Verb::Del,
        container: Some(setting.container),
        netns: netns.map(Path::to_owned),
        ifname: Some(&recorded.ifname),
        args: CniArgs::parse(&recorded.args_del),
        path: setting.folders,
        config: derived.bytes(&working),
        deadline: setting.deadline.min(Instant::now() + setting.each),
    })
    .map(drop)
}

/// The attachment as recorded, its addresses apart.
fn without_ipam(recorded: &Recorded) -> Result<Recorded, CniError> {
    let mut rest = recorded.clone();
    for plugin in rest.plugins.iter_mut().filter(|plugin| runs_ipam(plugin)) {
        let mut keys = conf(plugin)?.raw;
        keys.retain(|key| key != "ipam");
        plugin.config = Exact(keys.to_vec());
    }
    Ok(rest)
}
