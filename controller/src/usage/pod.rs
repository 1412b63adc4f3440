//! A pod as the index of use sees it: a few words of its metadata. Everything else of the object is dropped unread.

use std::borrow::Cow;
use std::fmt;

use manifold_crds::{Namespace, PodName};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::objects::{Malformed, unreadable};

/// The UID that the API server gave a pod, as the number that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Uid(u128);

impl Uid {
    #[cfg(test)]
    pub(crate) fn new(number: u128) -> Self {
        Self(number)
    }

    /// Five groups of small hexadecimal digits and nothing else, so that it prints as it was read.
    pub(crate) fn parse(raw: &str) -> Option<Self> {
        let digits: String = raw.split('-').collect();
        let number = u128::from_str_radix(&digits, 16).ok().map(Self)?;
        (number.to_string() == raw).then_some(number)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            number >> 96,
            (number >> 80) & 0xffff,
            (number >> 64) & 0xffff,
            (number >> 48) & 0xffff,
            number & 0xffff_ffff_ffff
        )
    }
}

/// What a pod says about its networks.
#[derive(Clone, Debug)]
pub(super) struct PodFacts {
    pub(super) uid: Uid,
    pub(super) namespace: Namespace,
    pub(super) name: PodName,
    /// `metadata.resourceVersion`, which grows with every change. 0: it is no number, so it orders nothing.
    pub(super) version: u64,
    pub(super) networks: Option<String>,
    pub(super) default_network: Option<String>,
    pub(super) has_status: bool,
    pub(super) is_terminating: bool,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    resource_version: Cow<'a, str>,
    #[serde(borrow, default)]
    deletion_timestamp: Option<Cow<'a, str>>,
    #[serde(default)]
    annotations: Option<Annotations>,
}

#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(rename = "k8s.v1.cni.cncf.io/networks")]
    networks: Option<String>,
    #[serde(rename = "v1.multus-cni.io/default-network")]
    default_network: Option<String>,
    #[serde(rename = "k8s.v1.cni.cncf.io/network-status")]
    status: Option<String>,
}

impl PodFacts {
    pub(super) fn read(raw: &RawValue) -> Result<Self, Malformed> {
        let Object { metadata } = serde_json::from_str(raw.get()).map_err(|e| unreadable(raw, &e))?;
        let malformed =
            |why: String| Malformed { reference: format!("{}/{}", metadata.namespace, metadata.name), why };
        let namespace = metadata.namespace.parse().map_err(|e| malformed(format!("{e}")))?;
        let name = metadata.name.parse().map_err(|e| malformed(format!("{e}")))?;
        let uid = Uid::parse(&metadata.uid).ok_or_else(|| malformed("its UID is not a UUID".to_owned()))?;
        let annotations = metadata.annotations.unwrap_or_default();
        Ok(Self {
            uid,
            namespace,
            name,
            version: metadata.resource_version.parse().unwrap_or(0),
            networks: annotations.networks,
            default_network: annotations.default_network,
            has_status: annotations.status.is_some_and(|s| !s.trim().is_empty()),
            is_terminating: metadata.deletion_timestamp.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use manifold_crds::keys;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(object: &serde_json::Value) -> Result<PodFacts, Malformed> {
        PodFacts::read(&serde_json::value::to_raw_value(object).unwrap())
    }

    #[test]
    fn the_keys_are_those_of_the_standard() {
        let pod = read(&json!({"metadata": {
            "uid": "0f1e2d3c-0000-4000-8000-0123456789ab", "namespace": "shop", "name": "cart-7", "resourceVersion": "41",
            "managedFields": [{"manager": "kubelet"}], "deletionTimestamp": "2026-11-21T00:00:00Z",
            "annotations": {keys::NETWORKS: "a", keys::DEFAULT_NETWORK: "b", keys::NETWORK_STATUS: "[]", "else": "1"},
        }}));
        let pod = pod.unwrap();
        assert_eq!(pod.uid.to_string(), "0f1e2d3c-0000-4000-8000-0123456789ab");
        assert_eq!((pod.namespace.as_str(), pod.name.as_str(), pod.version), ("shop", "cart-7", 41));
        assert_eq!((pod.networks.as_deref(), pod.default_network.as_deref()), (Some("a"), Some("b")));
        assert!(pod.has_status && pod.is_terminating);
    }

    // Proves: F-CTL-4
    #[test]
    fn a_pod_that_cannot_be_read_is_named() {
        let told = |object| read(&object).unwrap_err().to_string();
        let named = told(
            json!({"metadata": {"namespace": "shop", "name": "cart-7", "annotations": {keys::NETWORKS: 5}}}),
        );
        assert!(named.contains("`shop/cart-7`"), "{named}");
        assert!(
            told(json!({"metadata": {"namespace": "shop", "name": "cart-7", "uid": "7"}})).contains("UUID")
        );
        assert!(told(json!({"metadata": 5})).contains("`?/?`"));
        assert!(told(json!([])).contains("`?/?`"));
    }

    proptest! {
        #[test]
        fn a_uid_prints_as_it_was_read(number: u128) {
            let uid = Uid::new(number);
            prop_assert_eq!(Uid::parse(&uid.to_string()), Some(uid));
        }

        // Proves: S-8
        #[test]
        fn reading_never_panics(text in ".{0,64}", uid in ".{0,40}") {
            let _ = Uid::parse(&uid);
            let _ = read(&json!({"metadata": {"uid": uid, "name": text}}));
        }
    }
}
