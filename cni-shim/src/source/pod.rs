//! Which pod a call is about, and the few things that are read from it.

use std::collections::BTreeMap;
use std::fmt;

use manifold_cni::name::{BadName, printable};
use manifold_crds::keys::{CONFIG_SOURCE, DEFAULT_NETWORK, NETWORKS};
use manifold_crds::{Namespace, PodName, PodUid};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::error::{Kind, SourceError};

/// The only annotations that are ever read; a pod may carry 256 KiB of others (S-13).
const KEYS: [&str; 3] = [NETWORKS, DEFAULT_NETWORK, CONFIG_SOURCE];

/// The pod that the runtime names in `CNI_ARGS`. The names are checked, so they may stand in a URL or a file name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodRef {
    pub namespace: Namespace,
    pub name: PodName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<PodUid>,
}

impl PodRef {
    /// An empty UID is none.
    pub fn new(namespace: &str, name: &str, uid: Option<&str>) -> Result<Self, BadName> {
        let uid = uid.filter(|u| !u.is_empty()).map(str::parse).transpose()?;
        Ok(Self { namespace: namespace.parse()?, name: name.parse()?, uid })
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
        let Some(wanted) = &who.uid else { return Ok(()) };
        if self.uid.is_empty() || self.uid == wanted.as_str() || self.annotations.is_static() {
            return Ok(());
        }
        let what = format!(
            "pod `{who}` now has the UID `{}`, but the sandbox is for the UID `{wanted}`; \
             the runtime will remove this sandbox and create one for the new pod",
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

#[cfg(test)]
#[path = "pod_tests.rs"]
mod tests;
