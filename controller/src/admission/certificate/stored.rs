//! What the Secret holds: the certificate that is served, its successor, and whom the API server has to trust.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

/// The one key of the Secret's data. One document, so that it is never half of one issue and half of the next.
const DOCUMENT: &str = "certificates.json";

/// A private key as PEM. It has no `Debug` of its contents (S-2).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::admission) struct Key(pub(super) String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// A certificate with its key, and the authority that signed it, as PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::admission) struct Issued {
    pub(in crate::admission) authority: String,
    pub(in crate::admission) certificate: String,
    pub(in crate::admission) key: Key,
    #[serde(with = "rfc3339")]
    pub(in crate::admission) issued: Timestamp,
    #[serde(with = "rfc3339")]
    pub(in crate::admission) expires: Timestamp,
}

/// A certificate that is not served yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::admission) struct Successor {
    pub(in crate::admission) issued: Issued,
    /// When the API server was first seen to have been told of its authority.
    #[serde(with = "rfc3339_option", default, skip_serializing_if = "Option::is_none")]
    pub(in crate::admission) told: Option<Timestamp>,
}

/// An authority whose certificate is not served any more, and could still be on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::admission) struct Former {
    pub(in crate::admission) authority: String,
    #[serde(with = "rfc3339")]
    pub(in crate::admission) expires: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::admission) struct Stored {
    /// The names that all certificates are for.
    pub(in crate::admission) names: Vec<String>,
    pub(in crate::admission) current: Issued,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::admission) successor: Option<Successor>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::admission) former: Vec<Former>,
}

impl Stored {
    /// Whom the API server has to trust: what is served, what will be, what was.
    pub(in crate::admission) fn bundle(&self) -> String {
        let successor = self.successor.iter().map(|s| &s.issued.authority);
        let former = self.former.iter().map(|f| &f.authority);
        [&self.current.authority].into_iter().chain(successor).chain(former).map(String::as_str).collect()
    }

    pub(in crate::admission) fn read(secret: &Secret) -> anyhow::Result<Self> {
        let document = secret.data.as_ref().and_then(|data| data.get(DOCUMENT));
        let document = document.with_context(|| format!("it has no `{DOCUMENT}`"))?;
        serde_json::from_slice(&document.0).with_context(|| format!("its `{DOCUMENT}` cannot be read"))
    }

    /// The Secret to write. `version` is that of the one it replaces.
    pub(in crate::admission) fn secret(&self, name: &str, version: Option<String>) -> Secret {
        let document = serde_json::to_vec(self).expect("texts and times are JSON");
        let labels = [("app.kubernetes.io/part-of", "manifold"), ("app.kubernetes.io/component", "webhook")];
        Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                resource_version: version,
                labels: Some(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            data: Some(BTreeMap::from([(DOCUMENT.to_owned(), ByteString(document))])),
            ..Secret::default()
        }
    }
}

mod rfc3339 {
    use super::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Timestamp, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

mod rfc3339_option {
    use super::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(time: &Option<Timestamp>, s: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => s.collect_str(time),
            None => s.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(d)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::certificate::issue::issue;

    #[test]
    fn what_is_written_reads_back_and_shows_no_key() {
        let now = Timestamp::now();
        let names = vec!["a.b.svc".to_owned()];
        let issued = issue(&names, now, now + jiff::SignedDuration::from_hours(1)).unwrap();
        let stored = Stored {
            names,
            current: issued.clone(),
            successor: Some(Successor { issued: issued.clone(), told: Some(now) }),
            former: vec![Former { authority: issued.authority.clone(), expires: now }],
        };
        let secret = stored.secret("x", None);
        assert_eq!(Stored::read(&secret).unwrap(), stored);
        assert_eq!(stored.bundle().matches("BEGIN CERTIFICATE").count(), 3);
        assert!(!format!("{stored:?}").contains("PRIVATE KEY"));
    }

    #[test]
    fn another_secret_is_told_apart() {
        assert!(Stored::read(&Secret::default()).unwrap_err().to_string().contains("certificates.json"));
    }
}
