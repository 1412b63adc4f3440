use manifold_crds::{Nad, NadRef};

use super::*;
use crate::config::Config;

const NOW: &str = "2026-11-21T12:00:00Z";
const THEN: &str = "2026-11-20T00:00:00Z";
const MACVLAN: &str = r#"{"cniVersion": "1.0.0", "name": "a", "type": "macvlan", "master": "eth1", "ipam": {"type": "static", "addresses": [{"address": "10.0.0.1/24"}]}}"#;

fn observed(config: Option<&str>) -> Observed {
    let definition = Definition {
        nad: Nad::new(NadRef::new("shop", "a").unwrap(), config),
        uid: "u".into(),
        generation: Some(3),
        resource_version: "7".into(),
        status: NadStatus::default(),
    };
    Observed { definition, unreadable: None }
}

fn users(names: &[&str]) -> UsersOf {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let foreign: Vec<String> = names.iter().filter(|n| !n.starts_with("shop/")).cloned().collect();
    UsersOf { count: names.len() as u64, is_current: true, names, foreign: (foreign.len() as u64, foreign) }
}

fn decision(observed: &Observed, users: &UsersOf) -> Decision {
    decide(observed, users, &[], &Config::default().policy().unwrap(), NOW)
}

fn status(observed: &Observed, users: &UsersOf) -> NadStatus {
    decision(observed, users).status.expect("there is something to write")
}

#[track_caller]
fn check(observed: &Observed, users: &UsersOf, kind: &str, expected: (&str, &str), words: &[&str]) {
    let status = status(observed, users);
    let condition = status.condition(kind).unwrap();
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), expected, "{condition:?}");
    for word in words {
        assert!(condition.message.contains(word), "{word}: {}", condition.message);
    }
    assert_eq!(condition.observed_generation, Some(3));
}

#[test]
fn validity_is_what_the_plan_says() {
    let none = users(&[]);
    check(&observed(Some(MACVLAN)), &none, "Valid", ("True", "ConfigurationValid"), &[]);
    check(&observed(None), &none, "Valid", ("True", "ConfigurationOnNodes"), &["`shop/a`"]);
    check(&observed(Some("{")), &none, "Valid", ("False", "ConfigurationInvalid"), &["`shop/a`"]);
    let wrong = MACVLAN.replace("10.0.0.1/24", "10.0.0.1/99");
    check(&observed(Some(&wrong)), &none, "Valid", ("False", "ConfigurationInvalid"), &["10.0.0.1/99"]);
    let unreadable = Observed { unreadable: Some("`config` is a number".into()), ..observed(None) };
    check(&unreadable, &none, "Valid", ("False", "Unreadable"), &["`config` is a number"]);
}

// Proves: P-USE-5
#[test]
fn users_are_counted_and_the_first_are_named() {
    check(&observed(None), &users(&[]), "InUse", ("False", "NoPods"), &[]);
    check(&observed(None), &users(&["shop/p"]), "InUse", ("True", "UsedByPods"), &["1 pod uses it"]);
    let status = status(&observed(None), &users(&["shop/p", "shop/q"]));
    assert_eq!((status.pods, status.pod_names), (2, vec!["shop/p".to_owned(), "shop/q".to_owned()]));
}

// Proves: F-CTL-6
#[test]
fn a_definition_that_is_being_deleted_names_who_keeps_it_and_who_is_from_elsewhere() {
    let mut terminating = observed(None);
    terminating.definition.nad.terminating_since = Some(THEN.into());
    let mut kept = users(&["home/x", "shop/p"]);
    let words = ["`home/x`, `shop/p`", "1 of them from other namespaces: `home/x`", "delete these pods"];
    check(&terminating, &kept, "InUse", ("True", "KeptForPods"), &words);
    kept.count = 40;
    check(&terminating, &kept, "InUse", ("True", "KeptForPods"), &["and 38 more"]);
    let own = users(&["shop/p"]);
    let message = status(&terminating, &own).condition("InUse").unwrap().message.clone();
    assert!(!message.contains("other namespaces"), "{message}");
}

#[test]
fn the_type_column_joins_the_plugins() {
    let kind = |config: Option<&str>| status(&observed(config), &users(&[])).kind;
    assert_eq!(kind(None).as_deref(), Some("node"));
    assert_eq!(kind(Some(MACVLAN)).as_deref(), Some("macvlan"));
    let chain =
        r#"{"cniVersion": "1.0.0", "name": "a", "plugins": [{"type": "bridge"}, {"type": "tuning"}]}"#;
    assert_eq!(kind(Some(chain)).as_deref(), Some("bridge+tuning"));
    // With a fault in it, it still is a macvlan.
    let wrong = MACVLAN.replace("/24", "/99");
    assert_eq!(kind(Some(&wrong)).as_deref(), Some("macvlan"));
    assert_eq!(kind(Some("{")).as_deref(), Some(""));
}

#[test]
fn the_finalizer_is_there_while_pods_use_it() {
    let with = |finalizers: &[&str], terminating: bool, names: &[&str]| {
        let mut observed = observed(None);
        observed.definition.nad.finalizers = finalizers.iter().map(|f| (*f).to_owned()).collect();
        observed.definition.nad.terminating_since = terminating.then(|| THEN.to_owned());
        decision(&observed, &users(names)).finalizer
    };
    assert_eq!(with(&[], false, &[]), Finalizer::Keep);
    assert_eq!(with(&["else"], false, &["shop/p"]), Finalizer::Add);
    assert_eq!(with(&[IN_USE_FINALIZER], false, &["shop/p"]), Finalizer::Keep);
    assert_eq!(with(&[IN_USE_FINALIZER], false, &[]), Finalizer::Remove);
    assert_eq!(with(&[IN_USE_FINALIZER], true, &["shop/p"]), Finalizer::Keep);
    assert_eq!(with(&[IN_USE_FINALIZER], true, &[]), Finalizer::Remove);
    // What was counted before the watch broke lets nothing go.
    let mut observed = observed(None);
    observed.definition.nad.finalizers = vec![IN_USE_FINALIZER.into()];
    let stale = UsersOf { is_current: false, ..users(&[]) };
    assert_eq!(decision(&observed, &stale).finalizer, Finalizer::Keep);
    // It would not be taken any more.
    assert_eq!(with(&["else"], true, &["shop/p"]), Finalizer::Keep);
}

// Proves: F-CTL-3
#[test]
fn what_is_written_once_is_not_written_again() {
    for (config, names) in [(Some(MACVLAN), &["shop/p"][..]), (None, &[]), (Some("{"), &[])] {
        let mut observed = observed(config);
        let first = decision(&observed, &users(names));
        observed.definition.status = first.status.unwrap();
        // Somebody else's condition stays out of it.
        let foreign =
            Condition { kind: "PoliciesInPlace".into(), ..observed.definition.status.conditions[0].clone() };
        observed.definition.status.conditions.insert(0, foreign);
        if first.finalizer == Finalizer::Add {
            observed.definition.nad.finalizers.push(IN_USE_FINALIZER.into());
        }
        let second = decide(&observed, &users(names), &[], &Config::default().policy().unwrap(), "later");
        assert!(second.is_nothing() && second.news.is_empty(), "{second:?}");
    }
}

#[test]
fn a_transition_has_its_own_time_and_nothing_else_has() {
    let mut observed = observed(Some(MACVLAN));
    observed.definition.status = status(&observed, &users(&[]));
    observed.definition.status.conditions.iter_mut().for_each(|c| c.last_transition_time = THEN.into());
    let time = |status: &NadStatus, kind| status.condition(kind).unwrap().last_transition_time.clone();
    let used = status(&observed, &users(&["shop/p"]));
    assert_eq!((time(&used, "Valid").as_str(), time(&used, "InUse").as_str()), (THEN, NOW));
    observed.definition.status = used;
    let more = status(&observed, &users(&["shop/p", "shop/q"]));
    assert_eq!(time(&more, "InUse"), NOW, "the time at which it came into use");
}

#[test]
fn news_are_told_when_they_happen_and_only_then() {
    let reasons = |d: &Decision| d.news.iter().map(|n| n.reason).collect::<Vec<_>>();
    let mut bad = observed(Some("{"));
    let first = decision(&bad, &users(&[]));
    assert_eq!(reasons(&first), [events::Reason::NetworkInvalid]);
    bad.definition.status = first.status.unwrap();
    assert_eq!(reasons(&decision(&bad, &users(&["shop/p"]))), []);
    bad.definition.nad.config = Some(MACVLAN.into());
    assert_eq!(reasons(&decision(&bad, &users(&[]))), [events::Reason::NetworkValid]);

    let mut going = observed(None);
    going.definition.nad.finalizers = vec![IN_USE_FINALIZER.into()];
    going.definition.nad.terminating_since = Some(THEN.into());
    let kept = decision(&going, &users(&["shop/p"]));
    assert_eq!(reasons(&kept), [events::Reason::NetworkKept]);
    going.definition.status = kept.status.unwrap();
    assert_eq!(reasons(&decision(&going, &users(&["shop/p", "shop/q"]))), []);
    assert_eq!(reasons(&decision(&going, &users(&[]))), [events::Reason::NetworkReleased]);
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let long = cut("é".repeat(2000));
    assert!(long.len() <= LONGEST + '…'.len_utf8() && long.ends_with('…'));
}
