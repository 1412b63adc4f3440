//! What a definition's status and finalizer should be. Pure: the definition, its users, and the plan's own check come in.

#[cfg(test)]
mod tests;

use manifold_cni::NetworkList;
use manifold_crds::nad_status::{Condition, IN_USE_FINALIZER, NAMED_PODS, NadStatus, Unpublished};
use manifold_plan::check_config::Checked;
use manifold_plan::{Policy, Refusal};

use crate::events::{self, Severity};
use crate::objects::Definition;
use crate::usage::observed::Observed;

/// Longer texts are cut: a status is read by people.
const LONGEST: usize = 1024;

/// Why a condition is as it is. A closed set: people and programs compare these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The configuration is one that pods can be attached by.
    ConfigurationValid,
    /// There is no configuration here: each node has one of that name, and checks it.
    ConfigurationOnNodes,
    ConfigurationInvalid,
    /// The object itself has another shape than a definition.
    Unreadable,
    UsedByPods,
    /// It is being deleted, and stays for the pods that use it.
    KeptForPods,
    NoPods,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigurationValid => "ConfigurationValid",
            Self::ConfigurationOnNodes => "ConfigurationOnNodes",
            Self::ConfigurationInvalid => "ConfigurationInvalid",
            Self::Unreadable => "Unreadable",
            Self::UsedByPods => "UsedByPods",
            Self::KeptForPods => "KeptForPods",
            Self::NoPods => "NoPods",
        }
    }
}

/// The pods that use a definition.
#[derive(Clone, Debug, Default)]
pub(super) struct UsersOf {
    pub(super) count: u64,
    /// Whether the pods are watched right now. A count from before the watch broke lets nothing go.
    pub(super) is_current: bool,
    /// The first by name.
    pub(super) names: Vec<String>,
    /// Those of other namespaces; looked up only while the definition is being deleted.
    pub(super) foreign: (u64, Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finalizer {
    Keep,
    Add,
    Remove,
}

/// What to do about one definition. Nothing, where all of it is as it should be.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    pub(super) finalizer: Finalizer,
    pub(super) status: Option<NadStatus>,
    /// To be told once it is written.
    pub(super) news: Vec<News>,
}

impl Decision {
    pub(super) fn is_nothing(&self) -> bool {
        self.finalizer == Finalizer::Keep && self.status.is_none()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) severity: Severity,
    pub(super) reason: events::Reason,
    pub(super) sentence: String,
}

/// `now` is the time of transitions, RFC 3339.
pub(super) fn decide(
    observed: &Observed,
    users: &UsersOf,
    republish: &[Unpublished],
    policy: &Policy,
    now: &str,
) -> Decision {
    let definition = &observed.definition;
    let valid = match &observed.unreadable {
        Some(why) => Verdict::new("False", Reason::Unreadable, format!("the object cannot be read: {why}")),
        None => judge(definition, manifold_plan::check_config::check(&definition.nad, policy)),
    };
    let old = &definition.status;
    let generation = definition.generation;
    let condition =
        |kind: &str, verdict: Verdict| verdict.condition(kind, old.condition(kind), generation, now);
    let wanted = NadStatus {
        observed_generation: generation,
        kind: Some(kind(observed)),
        pods: users.count,
        pod_names: users.names.clone(),
        conditions: vec![condition("Valid", valid), condition("InUse", in_use(definition, users))],
        republish: republish.to_vec(),
    };
    Decision {
        finalizer: finalizer(definition, users),
        news: news(definition, users, &wanted),
        status: (!says(old, &wanted)).then_some(wanted),
    }
}

fn finalizer(definition: &Definition, users: &UsersOf) -> Finalizer {
    match (definition.has_finalizer(IN_USE_FINALIZER), users.count > 0) {
        // The API server takes no new finalizer once an object is being deleted; such pods have lost the race (F-CTL-5).
        (false, true) if !definition.nad.is_terminating() => Finalizer::Add,
        (true, false) if users.is_current => Finalizer::Remove,
        _ => Finalizer::Keep,
    }
}

struct Verdict {
    status: &'static str,
    reason: Reason,
    message: String,
}

impl Verdict {
    fn new(status: &'static str, reason: Reason, message: String) -> Self {
        Self { status, reason, message }
    }

    fn condition(self, kind: &str, old: Option<&Condition>, generation: Option<i64>, now: &str) -> Condition {
        let since = old.filter(|old| old.status == self.status).map(|old| old.last_transition_time.clone());
        Condition {
            kind: kind.to_owned(),
            status: self.status.to_owned(),
            reason: self.reason.as_str().to_owned(),
            message: cut(self.message),
            last_transition_time: since.unwrap_or_else(|| now.to_owned()),
            observed_generation: generation,
        }
    }
}

fn judge(definition: &Definition, checked: Result<Checked, Refusal>) -> Verdict {
    match checked {
        Err(refusal) => Verdict::new("False", Reason::ConfigurationInvalid, refusal.to_string()),
        Ok(Checked { list: None, .. }) => Verdict::new(
            "True",
            Reason::ConfigurationOnNodes,
            format!(
                "`{}` has no `config`: each node looks the network up in its own folder",
                definition.reference()
            ),
        ),
        Ok(Checked { notes, .. }) => Verdict::new("True", Reason::ConfigurationValid, notes.join("; ")),
    }
}

fn in_use(definition: &Definition, users: &UsersOf) -> Verdict {
    let verb =
        if users.count == 1 { "1 pod uses it".to_owned() } else { format!("{} pods use it", users.count) };
    if users.count == 0 {
        return Verdict::new("False", Reason::NoPods, "no pod uses it".to_owned());
    }
    if !definition.nad.is_terminating() {
        return Verdict::new("True", Reason::UsedByPods, verb);
    }
    let (foreign, names) = &users.foreign;
    let from_elsewhere = match foreign {
        0 => String::new(),
        _ => format!("; {foreign} of them from other namespaces: {}", listed(*foreign, names)),
    };
    let sentence = format!(
        "it is being deleted and stays until its pods are gone: {verb} ({}){from_elsewhere}; delete these pods",
        listed(users.count, &users.names)
    );
    Verdict::new("True", Reason::KeptForPods, sentence)
}

/// Names, and how many more there are.
fn listed(count: u64, names: &[String]) -> String {
    let named: Vec<String> = names.iter().take(NAMED_PODS).map(|name| format!("`{name}`")).collect();
    match count.saturating_sub(named.len() as u64) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// The plugin types, also of a configuration with a fault in it. Empty where there is no telling: a text that is left out
/// would stay where somebody else once wrote it.
fn kind(observed: &Observed) -> String {
    if observed.unreadable.is_some() {
        return String::new();
    }
    let Some(config) = &observed.definition.nad.config else { return "node".to_owned() };
    let Ok(list) = NetworkList::parse(config.as_bytes()) else { return String::new() };
    let kinds: Vec<&str> = list.plugins.iter().map(|plugin| plugin.kind.as_str()).collect();
    cut(kinds.join("+"))
}

/// Whether the status that is there says this. Conditions of others are none of our business.
fn says(old: &NadStatus, wanted: &NadStatus) -> bool {
    wanted.conditions.iter().all(|condition| old.condition(&condition.kind) == Some(condition))
        && NadStatus { conditions: Vec::new(), ..old.clone() }
            == NadStatus { conditions: Vec::new(), ..wanted.clone() }
}

/// What people should hear of: a configuration that became invalid or valid, a deletion that waits or goes on.
fn news(definition: &Definition, users: &UsersOf, wanted: &NadStatus) -> Vec<News> {
    let old = &definition.status;
    let was = |kind: &str| old.condition(kind).map(|c| (c.status.as_str(), c.reason.as_str()));
    let mut news = Vec::new();
    let mut tell = |severity, reason, sentence: &str| {
        news.push(News { severity, reason, sentence: sentence.to_owned() });
    };
    if let Some(valid) = wanted.condition("Valid") {
        match (was("Valid").map(|(status, _)| status), valid.status.as_str()) {
            (None | Some("True"), "False") => {
                tell(Severity::Warning, events::Reason::NetworkInvalid, &valid.message);
            }
            (Some("False"), "True") => {
                tell(
                    Severity::Normal,
                    events::Reason::NetworkValid,
                    "pods can be attached to the network now",
                );
            }
            _ => {}
        }
    }
    let is_kept = Reason::KeptForPods.as_str();
    if let Some(in_use) = wanted.condition("InUse").filter(|c| c.reason == is_kept)
        && was("InUse").is_none_or(|(_, reason)| reason != is_kept)
    {
        tell(Severity::Warning, events::Reason::NetworkKept, &in_use.message);
    }
    let is_released = definition.nad.is_terminating() && finalizer(definition, users) == Finalizer::Remove;
    if is_released {
        let sentence = "the last pod that used the network is gone, so its deletion continues";
        tell(Severity::Normal, events::Reason::NetworkReleased, sentence);
    }
    news
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
