//! Whether a definition is one that pods can use: the checks that the plan makes, without a pod.
//!
//! The admission webhook refuses by this, `lint` reports by it and the `Valid` condition repeats it, so that a slip shows
//! when the definition is written and not when a pod starts (P-USE-2). [`examine`] tells everything there is to tell,
//! each with its place in the text; [`check`] is the same with the first error as a refusal.

use manifold_cni::{NetworkList, NetworkName, PluginConf, Version};
use manifold_crds::{Nad, keys, nad_status};

use crate::policy::Ours;
use crate::{Policy, Refusal, annotation};

mod chain;
mod finding;
mod kinds;
mod place;
mod read;
mod request;
mod slip;
#[cfg(test)]
mod tests;
mod top;

pub(crate) use chain::ipam_type;
pub use finding::{Finding, Severity};
pub use kinds::bundled_types;
pub(crate) use kinds::{Kind, kind};
pub(crate) use read::read;

use finding::Draft;
use place::Spots;

/// What a definition came out as.
#[derive(Clone, Debug)]
pub struct Checked {
    /// `None` where it refers to a configuration on the nodes, which nobody but the node can see.
    pub list: Option<NetworkList>,
    /// Worth telling, no reason to refuse.
    pub notes: Vec<String>,
}

/// Everything that was found, errors first and then in the order of the text.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// `None` where it refers to a configuration on the nodes, or cannot be read at all.
    pub list: Option<NetworkList>,
    /// In the order of the text.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Those that keep pods from being attached.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.severity == Severity::Error)
    }

    /// The others.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.severity == Severity::Warning)
    }

    /// Whether there is no error.
    pub fn is_valid(&self) -> bool {
        self.errors().next().is_none()
    }
}

/// Checks a definition as it stands.
///
/// # Errors
/// If it is not valid; the first finding.
pub fn check(nad: &Nad, policy: &Policy) -> Result<Checked, Refusal> {
    let report = examine(nad, policy);
    if let Some(error) = report.errors().next() {
        return Err(error.refusal().about(&nad.reference));
    }
    Ok(Checked { notes: report.findings.iter().map(ToString::to_string).collect(), list: report.list })
}

/// Everything about a definition that can be told without a node.
pub fn examine(nad: &Nad, policy: &Policy) -> Report {
    let mut findings = annotations(nad);
    let mut list = None;
    if let Some(config) = &nad.config {
        let (read, found) = examine_config(config, policy);
        list = read;
        findings.extend(found);
    }
    findings.sort_by_key(|f| (f.severity, f.line, f.column));
    Report { list, findings }
}

fn annotations(nad: &Nad) -> Vec<Finding> {
    let misspelt =
        nad.annotations.keys().filter_map(|key| annotation::misspelt(key, annotation::OF_DEFINITIONS));
    let mut findings: Vec<Finding> = misspelt
        .map(|slip| {
            let what = "it is unknown and has no effect";
            Finding::annotation(&slip.key, slip.severity, what, &slip.refusal.fix)
        })
        .collect();
    if let Err(e) = nad.resource_name() {
        findings.push(Finding::annotation(
            keys::RESOURCE_NAME,
            Severity::Error,
            e.to_string(),
            "name a resource as the device plugin does, like `vendor.example/name`",
        ));
    }
    if let Some(named) = nad.annotations.get(nad_status::CONFIGURATION) {
        let (severity, sentence, fix) = match (named.parse::<NetworkName>(), &nad.config) {
            (Err(e), _) => {
                (Severity::Error, e.to_string(), "give the `name` of a configuration on the nodes")
            }
            (Ok(_), Some(_)) => (
                Severity::Warning,
                "it has no effect, because the definition has a `config` of its own".to_owned(),
                "remove one of the two",
            ),
            (Ok(_), None) => return findings,
        };
        findings.push(Finding::annotation(nad_status::CONFIGURATION, severity, sentence, fix));
    }
    findings
}

/// The text of `spec.config` alone.
fn examine_config(config: &str, policy: &Policy) -> (Option<NetworkList>, Vec<Finding>) {
    let list = match read(config.as_bytes(), policy.limits.config_bytes) {
        Ok(list) => list,
        Err(finding) => return (None, vec![*finding]),
    };
    let spots = Spots::of(config);
    let mut drafts = top::keys(config);
    for (n, plugin) in list.plugins.iter().enumerate() {
        let here = if spots.knows("/plugins") { format!("/plugins/{n}") } else { String::new() };
        drafts.extend(of_plugin(plugin, &list, &policy.ours).into_iter().map(|d| d.under(&here)));
        drafts.extend(kinds::stranger(plugin).into_iter().map(|d| d.under(&here)));
    }
    drafts.extend(chain::of_list(&list, &policy.ours).into_iter().map(|(n, draft)| {
        match spots.knows("/plugins") {
            true => draft.under(&format!("/plugins/{n}")),
            false => draft,
        }
    }));
    (Some(list), drafts.into_iter().map(|draft| draft.place(&spots)).collect())
}

/// The keys of bundled plugins, by the rules that the plugins themselves read by, and whether the chain can work. Other
/// types are somebody else's to judge. What is odd but works comes back as notes.
///
/// # Errors
/// If the definition is not valid.
pub fn plugins(list: &NetworkList, ours: &Ours) -> Result<Vec<String>, Refusal> {
    let mut drafts: Vec<Draft> = list.plugins.iter().flat_map(|p| of_plugin(p, list, ours)).collect();
    drafts.extend(chain::of_list(list, ours).into_iter().map(|(_, draft)| draft));
    let findings: Vec<Finding> = drafts.into_iter().map(Draft::unplaced).collect();
    match findings.iter().find(|f| f.severity == Severity::Error) {
        Some(error) => Err(error.refusal()),
        None => Ok(findings.iter().map(ToString::to_string).collect()),
    }
}

/// [`plugins`] of a list that a definition led to: what is wrong with the text itself is told with its place in it.
pub(crate) fn plugins_of(
    list: &NetworkList,
    nad: Option<&Nad>,
    policy: &Policy,
) -> Result<Vec<String>, Refusal> {
    plugins(list, &policy.ours).map_err(|refusal| {
        let in_text = nad.and_then(|nad| examine(nad, policy).errors().next().map(Finding::refusal));
        in_text.unwrap_or(refusal)
    })
}

fn of_plugin(plugin: &PluginConf, list: &NetworkList, ours: &Ours) -> Vec<Draft> {
    // An IPAM plugin in this place is the chain's to tell.
    if !ours.has(&plugin.kind) || kinds::is_ipam(plugin.kind.as_str()) {
        return Vec::new();
    }
    // As the plugin will get it: the list's version decides some rules.
    let mut raw = plugin.raw.clone();
    raw.set("cniVersion", &list.version.unwrap_or(Version::NEWEST).as_str());
    let kind = plugin.kind.as_str();
    let told = |sentence: &str| format!("plugin `{kind}`: {sentence}");
    let mut drafts = match manifold_plugin_conf::check(kind, &raw) {
        Ok(notes) => {
            notes.into_iter().map(|n| Draft::warning(&n.pointer, told(&n.sentence))).collect::<Vec<_>>()
        }
        Err(p) => vec![Draft::error(&p.pointer, told(&p.sentence)).or_misspelt(&plugin.raw)],
    };
    drafts.extend(request::capabilities(plugin));
    drafts
}
