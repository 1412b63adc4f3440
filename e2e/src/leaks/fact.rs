//! A fact, a set of facts, and the sentences that tell how two sets differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::allowed;

/// What a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A device by its address on its bus, whatever it is called.
    Hardware,
    Link,
    Address,
    Route,
    Nexthop,
    Rule,
    Neighbour,
    Forwarding,
    Group,
    Vlan,
    Qdisc,
    Class,
    Filter,
    Firewall,
    Sysctl,
    Namespace,
    File,
    Lock,
    Process,
    Object,
}

impl fmt::Display for Kind {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Hardware => "hardware",
            Self::Link => "link",
            Self::Address => "address",
            Self::Route => "route",
            Self::Nexthop => "nexthop",
            Self::Rule => "rule",
            Self::Neighbour => "neighbour",
            Self::Forwarding => "fdb entry",
            Self::Group => "mdb entry",
            Self::Vlan => "bridge VLAN",
            Self::Qdisc => "tc qdisc",
            Self::Class => "tc class",
            Self::Filter => "tc filter",
            Self::Firewall => "firewall",
            Self::Sysctl => "sysctl",
            Self::Namespace => "network namespace",
            Self::File => "file",
            Self::Lock => "held lock",
            Self::Process => "process",
            Self::Object => "object",
        })
    }
}

/// What is known of one thing, by field.
pub(super) type Fields = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    place: String,
    kind: Kind,
    name: String,
}

/// Facts being gathered.
#[derive(Debug, Default)]
pub(super) struct Facts {
    all: BTreeMap<Key, Vec<Fields>>,
}

impl Facts {
    /// Drops what the reviewed list allows to differ.
    pub(super) fn add(&mut self, place: &str, kind: Kind, name: String, fields: Fields) {
        if allowed::thing(kind, &name, &fields) {
            return;
        }
        let fields = fields.into_iter().filter(|(field, _)| !allowed::field(kind, field)).collect();
        self.all.entry(Key { place: place.into(), kind, name }).or_default().push(fields);
    }

    pub(super) fn extend(&mut self, other: Self) {
        for (key, fields) in other.all {
            self.all.entry(key).or_default().extend(fields);
        }
    }

    pub(super) fn into_snapshot(mut self) -> Snapshot {
        self.all.values_mut().for_each(|list| list.sort());
        Snapshot { all: self.all }
    }
}

/// JSON, however deep, as fields: `/linkinfo/info_kind` is `bridge`.
pub(super) fn flatten(value: &Value) -> Fields {
    let mut fields = Fields::new();
    descend(value, &mut String::new(), &mut fields);
    fields
}

fn descend(value: &Value, path: &mut String, fields: &mut Fields) {
    let length = path.len();
    let mut step = |name: &str, inner: &Value| {
        path.push('/');
        path.push_str(name);
        descend(inner, path, fields);
        path.truncate(length);
    };
    match value {
        Value::Object(object) => object.iter().for_each(|(name, inner)| step(name, inner)),
        Value::Array(list) if list.iter().any(|item| item.is_object() || item.is_array()) => {
            list.iter().enumerate().for_each(|(index, inner)| step(&index.to_string(), inner));
        }
        // Flags and the like: a set, on one line.
        Value::Array(list) => {
            let mut words: Vec<String> = list.iter().map(plain).filter(|word| !allowed::flag(word)).collect();
            words.sort();
            fields.insert(path.clone(), words.join(","));
        }
        scalar => drop(fields.insert(path.clone(), plain(scalar))),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// Everything that was seen at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    all: BTreeMap<Key, Vec<Fields>>,
}

impl Snapshot {
    /// How the second differs from this one; each sentence is one leak, or one loss.
    pub fn diff(&self, after: &Self) -> Vec<String> {
        let keys: BTreeSet<&Key> = self.all.keys().chain(after.all.keys()).collect();
        let told_by_link = |key: &Key| self.is_told_by_a_link(after, key);
        keys.into_iter().filter(|key| !told_by_link(key)).flat_map(|key| self.compare(after, key)).collect()
    }

    fn compare(&self, after: &Self, key: &Key) -> Vec<String> {
        let none = Vec::new();
        let (then, now) = (self.all.get(key).unwrap_or(&none), after.all.get(key).unwrap_or(&none));
        let (gone, fresh) = (without(then, now), without(now, then));
        if let ([old], [new]) = (gone.as_slice(), fresh.as_slice()) {
            return vec![format!("{key} changed: {}", change(old, new))];
        }
        let vanished = gone.iter().map(|fields| format!("{key} vanished{}", told(fields)));
        let appeared = fresh.iter().map(|fields| format!("{key} appeared{}", told(fields)));
        vanished.chain(appeared).collect()
    }

    /// A link that came or went takes a hundred sysctls with it: that is told once.
    fn is_told_by_a_link(&self, after: &Self, key: &Key) -> bool {
        let Some(link) = (key.kind == Kind::Sysctl).then(|| link_of(&key.name)).flatten() else {
            return false;
        };
        let link = Key { place: key.place.clone(), kind: Kind::Link, name: link.to_string() };
        self.all.contains_key(&link) != after.all.contains_key(&link)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}: {} `{}`", self.place, self.kind, self.name)
    }
}

/// `net/ipv4/conf/eth0/forwarding` belongs to `eth0`.
fn link_of(sysctl: &str) -> Option<&str> {
    let mut steps = sysctl.split('/').skip_while(|step| *step != "conf" && *step != "neigh");
    steps.nth(1)
}

/// The first list without the second, each taken away once.
fn without(list: &[Fields], other: &[Fields]) -> Vec<Fields> {
    let mut left = other.to_vec();
    let mut rest = Vec::new();
    for fields in list {
        match left.iter().position(|candidate| candidate == fields) {
            Some(found) => drop(left.swap_remove(found)),
            None => rest.push(fields.clone()),
        }
    }
    rest
}

fn change(old: &Fields, new: &Fields) -> String {
    let fields: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let said = |fields: &Fields, name: &String| {
        fields.get(name).map_or("unset".into(), |value| format!("`{value}`"))
    };
    let differing = fields.into_iter().filter(|name| old.get(*name) != new.get(*name));
    let told: Vec<String> = differing
        .map(|name| {
            format!("{} was {}, is {}", name.trim_start_matches('/'), said(old, name), said(new, name))
        })
        .collect();
    told.join("; ")
}

fn told(fields: &Fields) -> String {
    let words: Vec<String> =
        fields.iter().map(|(name, value)| format!("{} {value}", name.trim_start_matches('/'))).collect();
    let told = words.join(", ");
    if told.is_empty() { told } else { format!(": {}", told.chars().take(300).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn snapshot(facts: &[(Kind, &str, Value)]) -> Snapshot {
        let mut gathered = Facts::default();
        for (kind, name, value) in facts {
            gathered.add("host", *kind, (*name).to_string(), flatten(value));
        }
        gathered.into_snapshot()
    }

    #[test]
    fn the_same_facts_are_no_leak_in_whatever_order() {
        let (one, two) = ((Kind::Route, "a", json!({"x": 1})), (Kind::Route, "a", json!({"x": 2})));
        let (before, after) = (snapshot(&[one.clone(), two.clone()]), snapshot(&[two, one]));
        assert_eq!(before.diff(&after), Vec::<String>::new());
    }

    #[test]
    fn each_difference_is_one_sentence() {
        let before =
            snapshot(&[(Kind::Link, "v0", json!({"mtu": 1500})), (Kind::Rule, "9", json!({"table": "x"}))]);
        let after = snapshot(&[(Kind::Link, "v0", json!({"mtu": 9000})), (Kind::Route, "r", json!({}))]);
        let expected = [
            "host: link `v0` changed: mtu was `1500`, is `9000`",
            "host: route `r` appeared",
            "host: rule `9` vanished: table x",
        ];
        assert_eq!(before.diff(&after), expected);
    }

    #[test]
    fn a_second_of_the_same_is_a_leak() {
        let one = (Kind::Firewall, "rule", json!({"expr": "accept"}));
        let leaks = snapshot(std::slice::from_ref(&one)).diff(&snapshot(&[one.clone(), one]));
        assert_eq!(leaks, ["host: firewall `rule` appeared: expr accept"]);
    }

    #[test]
    fn sysctls_of_a_link_that_came_are_told_by_the_link() {
        let sysctl = (Kind::Sysctl, "net/ipv4/conf/v0/forwarding", json!({"value": "1"}));
        let leaks = snapshot(&[]).diff(&snapshot(&[(Kind::Link, "v0", json!({})), sysctl.clone()]));
        assert_eq!(leaks, ["host: link `v0` appeared"]);
        assert_eq!(snapshot(&[]).diff(&snapshot(&[sysctl])).len(), 1);
    }
}
