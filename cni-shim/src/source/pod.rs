//! Which pod a call is about, and the few things that are read from it.

use std::collections::BTreeMap;
use std::fmt;

use manifold_cni::name::{BadName, printable};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::error::{Kind, SourceError};

/// The only annotations that are ever read; a pod may carry 256 KiB of others (S-13).
pub const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
pub const NETWORK_STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
pub const DEFAULT_NETWORK: &str = "v1.multus-cni.io/default-network";
/// Where the kubelet had the pod from: `api`, else a static pod, whose UID is not its mirror's.
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";

const KEYS: [&str; 4] = [NETWORKS, NETWORK_STATUS, DEFAULT_NETWORK, CONFIG_SOURCE];

/// The pod that the runtime names in `CNI_ARGS`. Both names are checked, so they may stand in a URL or a file name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PodRef {
    namespace: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
}

impl PodRef {
    pub fn new(namespace: &str, name: &str, uid: Option<&str>) -> Result<Self, BadName> {
        let bad = |what, raw: &str, why| BadName { what, raw: raw.to_owned(), why };
        if let Some(why) = label(namespace) {
            return Err(bad("pod namespace", namespace, why));
        }
        if let Some(why) = subdomain(name) {
            return Err(bad("pod name", name, why));
        }
        let uid = uid.filter(|u| !u.is_empty());
        if uid.is_some_and(|u| u.len() > 128 || !u.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')) {
            return Err(bad(
                "pod UID",
                uid.unwrap_or_default(),
                "only letters, digits and `-` are in a UID, at most 128",
            ));
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.map(str::to_owned) })
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    /// The same pod, with the UID that the API server told.
    #[must_use]
    pub fn with_uid(mut self, uid: &str) -> Self {
        self.uid = Some(uid.to_owned()).filter(|u| !u.is_empty());
        self
    }
}

impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A pod, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    /// Empty when a manifest gives none.
    pub uid: String,
    pub annotations: Annotations,
}

impl Pod {
    /// Whether this is the pod that the runtime means, and not another that was given its name since (F-POD-3). A call
    /// without UID is not compared, nor is a static pod: the API server knows it by its mirror's UID (MLT-POD-3).
    pub fn same_as(&self, who: &PodRef) -> Result<(), SourceError> {
        let Some(wanted) = who.uid() else { return Ok(()) };
        if self.uid.is_empty() || self.uid == wanted || self.annotations.is_static() {
            return Ok(());
        }
        let what = format!(
            "pod `{who}` has the UID `{}` by now, and the sandbox is for the UID `{wanted}`; \
             the runtime will remove this sandbox and make one for the new pod",
            printable(&self.uid)
        );
        Err(SourceError::new(Kind::Replaced, what))
    }
}

/// Those annotations of a pod that are read here; all others are dropped while parsing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations(BTreeMap<&'static str, String>);

impl Annotations {
    pub fn networks(&self) -> Option<&str> {
        self.get(NETWORKS)
    }

    pub fn default_network(&self) -> Option<&str> {
        self.get(DEFAULT_NETWORK)
    }

    pub fn network_status(&self) -> Option<&str> {
        self.get(NETWORK_STATUS)
    }

    pub fn is_static(&self) -> bool {
        self.get(CONFIG_SOURCE).is_some_and(|from| from != "api")
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Annotations {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let known = |(k, v): (&str, &str)| Some((known(k)?, v.to_owned()));
        Self(pairs.into_iter().filter_map(known).collect())
    }
}

fn known(key: &str) -> Option<&'static str> {
    KEYS.into_iter().find(|k| *k == key)
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Pick;
        impl<'de> Visitor<'de> for Pick {
            type Value = Annotations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_unit<E>(self) -> Result<Annotations, E> {
                Ok(Annotations::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
                let mut picked = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    match known(&key) {
                        Some(key) => {
                            picked.insert(key, map.next_value()?);
                        }
                        None => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(Annotations(picked))
            }
        }
        d.deserialize_any(Pick)
    }
}

/// Why a text is no DNS-1123 label (a namespace).
pub(crate) fn label(raw: &str) -> Option<&'static str> {
    let edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = raw.as_bytes();
    match raw {
        "" => Some("it is empty"),
        _ if raw.len() > 63 => Some("it is longer than 63 characters"),
        _ if !edge(bytes.first().copied()) || !edge(bytes.last().copied()) => {
            Some("it must begin and end with a lower-case letter or a digit")
        }
        _ if !bytes.iter().all(|c| edge(Some(*c)) || *c == b'-') => {
            Some("only lower-case letters, digits and `-` are allowed")
        }
        _ => None,
    }
}

/// Why a text is no DNS-1123 subdomain (the name of a pod).
pub(crate) fn subdomain(raw: &str) -> Option<&'static str> {
    if raw.len() > 253 {
        return Some("it is longer than 253 characters");
    }
    // Only the whole is limited: a piece between dots may be longer than a label.
    let edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let piece = |p: &str| {
        edge(p.bytes().next()) && edge(p.bytes().last()) && p.bytes().all(|c| edge(Some(c)) || c == b'-')
    };
    match raw {
        "" => Some("it is empty"),
        _ if !raw.split('.').all(piece) => Some(
            "only lower-case letters, digits, `-` and `.` are allowed, and each part begins and ends with a letter or a digit",
        ),
        _ => None,
    }
}

#[cfg(test)]
#[path = "pod_tests.rs"]
mod tests;
