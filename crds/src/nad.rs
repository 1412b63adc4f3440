//! A NetworkAttachmentDefinition: what the API server or a file says a network is.
//!
//! `config` stays the text it was: `manifold_plan` reads it with the rules of the protocol. An object without it
//! refers to a configuration on the node that has the same name (NPWG-3.2-3).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::keys;
use crate::name::{BadName, NadName, Namespace, ResourceName};

/// `namespace/name`, always both: a message never leaves open where a name was looked up (P-USE-4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NadRef {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: NadName,
}

impl NadRef {
    /// From two names, which are checked.
    ///
    /// # Errors
    /// If a name is not valid.
    pub fn new(namespace: &str, name: &str) -> Result<Self, BadName> {
        Ok(Self { namespace: namespace.parse()?, name: name.parse()? })
    }

    /// `name` or `namespace/name`; the first means the namespace `home` (NPWG-3.3-3).
    ///
    /// # Errors
    /// If a name is not valid.
    pub fn parse(raw: &str, home: &Namespace) -> Result<Self, BadName> {
        match raw.split_once('/') {
            None => Ok(Self { namespace: home.clone(), name: raw.parse()? }),
            Some((namespace, name)) => Self::new(namespace, name),
        }
    }
}

impl fmt::Display for NadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Serialize for NadRef {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NadRef {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw = String::deserialize(d)?;
        let (namespace, name) = raw
            .split_once('/')
            .ok_or_else(|| serde::de::Error::custom("a network reference is `namespace/name`"))?;
        Self::new(namespace, name).map_err(serde::de::Error::custom)
    }
}

/// One definition. Reads and writes the object as Kubernetes has it, in JSON and in YAML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Object", into = "Object")]
pub struct Nad {
    /// Which one it is.
    pub reference: NadRef,
    /// `metadata.uid`
    pub uid: Option<String>,
    /// `metadata.annotations`
    pub annotations: BTreeMap<String, String>,
    /// `metadata.finalizers`
    pub finalizers: Vec<String>,
    /// When it was asked to go (`deletionTimestamp`): no new pod may use it.
    pub terminating_since: Option<String>,
    /// `None` also where it stood there empty.
    pub config: Option<String>,
}

impl Nad {
    /// A definition with nothing but a configuration.
    pub fn new(reference: NadRef, config: Option<&str>) -> Self {
        Self {
            reference,
            uid: None,
            annotations: BTreeMap::new(),
            finalizers: Vec::new(),
            terminating_since: None,
            config: config.filter(|c| !c.trim().is_empty()).map(str::to_owned),
        }
    }

    /// Reads the object as the API server answers it.
    ///
    /// # Errors
    /// If it is no such object.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// Whether it is being deleted.
    pub fn is_terminating(&self) -> bool {
        self.terminating_since.is_some()
    }

    /// The device-plugin resource that attachments of this network use.
    ///
    /// # Errors
    /// If the annotation is there and no name of a resource.
    pub fn resource_name(&self) -> Result<Option<ResourceName>, BadName> {
        let raw = self.annotations.get(keys::RESOURCE_NAME).map(String::as_str).filter(|r| !r.is_empty());
        raw.map(ResourceName::from_str).transpose()
    }
}

/// The object as it travels. Everything optional that the API server may leave out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Object {
    api_version: String,
    kind: String,
    metadata: Metadata,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<Spec>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finalizers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_timestamp: Option<String>,
}

/// `spec`: the one key of the standard (NPWG-3.1-2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// The CNI configuration, as text.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text")]
    pub config: Option<String>,
}

/// People who think in YAML write the configuration as an object; the sentence tells them how to keep it.
fn text<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    let found = match Option::<serde_json::Value>::deserialize(d)? {
        None | Some(serde_json::Value::Null) => return Ok(None),
        Some(serde_json::Value::String(config)) => return Ok(Some(config)),
        Some(serde_json::Value::Object(_)) => "an object",
        Some(serde_json::Value::Array(_)) => "a list",
        Some(_) => "a number or boolean",
    };
    Err(serde::de::Error::custom(format!(
        "`spec.config` is {found}, and must be text: write `config: |` and below it, indented, the configuration as JSON"
    )))
}

impl TryFrom<Object> for Nad {
    type Error = String;

    fn try_from(object: Object) -> Result<Self, String> {
        for (key, value, expected) in
            [("apiVersion", &object.api_version, keys::API_VERSION), ("kind", &object.kind, keys::KIND)]
        {
            if !value.is_empty() && value != expected {
                let value = manifold_cni::name::printable(value);
                return Err(format!("`{key}` is `{value}`, but a definition needs `{expected}`"));
            }
        }
        let Metadata { name, namespace, uid, annotations, finalizers, deletion_timestamp } = object.metadata;
        // A file may leave the namespace out; kubectl would fill in `default`, so that is what it means here.
        let namespace = namespace.filter(|n| !n.is_empty()).unwrap_or_else(|| "default".to_owned());
        let reference = NadRef::new(&namespace, &name).map_err(|e| format!("`metadata`: {e}"))?;
        let config = object.spec.and_then(|s| s.config);
        Ok(Self {
            uid,
            annotations: annotations.unwrap_or_default(),
            finalizers: finalizers.unwrap_or_default(),
            terminating_since: deletion_timestamp,
            ..Self::new(reference, config.as_deref())
        })
    }
}

impl From<Nad> for Object {
    fn from(nad: Nad) -> Self {
        Self {
            api_version: keys::API_VERSION.to_owned(),
            kind: keys::KIND.to_owned(),
            metadata: Metadata {
                name: nad.reference.name.to_string(),
                namespace: Some(nad.reference.namespace.to_string()),
                uid: nad.uid,
                annotations: Some(nad.annotations).filter(|a| !a.is_empty()),
                finalizers: Some(nad.finalizers).filter(|f| !f.is_empty()),
                deletion_timestamp: nad.terminating_since,
            },
            spec: nad.config.map(|config| Spec { config: Some(config) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Proves: NPWG-3.2-1
    #[test]
    fn spec_and_config_are_optional_and_the_name_is_not() {
        for spec in [
            "",
            r#","spec":{}"#,
            r#","spec":null"#,
            r#","spec":{"config":null}"#,
            r#","spec":{"config":"  "}"#,
        ] {
            let nad =
                Nad::from_json(format!(r#"{{"metadata":{{"name":"a","namespace":"b"}}{spec}}}"#).as_bytes());
            assert_eq!(nad.unwrap(), Nad::new(NadRef::new("b", "a").unwrap(), None));
        }
        assert!(Nad::from_json(br#"{"spec":{"config":"{}"}}"#).is_err());
    }

    // Proves: NPWG-3.1-2
    #[test]
    fn config_must_be_text() {
        assert!(Nad::from_json(br#"{"metadata":{"name":"a"},"spec":{"config":{}}}"#).is_err());
        assert!(Nad::from_json(br#"{"metadata":{"name":"a"},"spec":{"config":1}}"#).is_err());
        let yaml = "metadata: {name: a}\nspec:\n  config:\n    type: bridge\n";
        let told = serde_yaml::from_str::<Nad>(yaml).unwrap_err().to_string();
        assert!(told.contains("`spec.config` is an object") && told.contains("write `config: |`"), "{told}");
    }

    #[test]
    fn an_object_of_another_kind_is_refused() {
        let error = Nad::from_json(br#"{"kind":"Pod","metadata":{"name":"a"}}"#).unwrap_err().to_string();
        assert!(error.contains("`kind` is `Pod`"), "{error}");
    }

    #[test]
    fn yaml_reads_as_json_does() {
        let yaml = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata:\n  name: right-network\n  \
                    annotations: {k8s.v1.cni.cncf.io/resourceName: vendor.example/vf}\n  deletionTimestamp: 2026-11-21T00:00:00Z\n  \
                    finalizers: [manifold.network/in-use]\nspec:\n  config: '{\"type\": \"bridge\"}'\n";
        let nad: Nad = serde_yaml::from_str(yaml).unwrap();
        assert_eq!(nad.reference.to_string(), "default/right-network");
        assert_eq!(nad.resource_name().unwrap().unwrap().as_str(), "vendor.example/vf");
        assert!(nad.is_terminating());
        assert_eq!(nad.config.as_deref(), Some(r#"{"type": "bridge"}"#));
        let again: Nad = serde_yaml::from_str(&serde_yaml::to_string(&nad).unwrap()).unwrap();
        assert_eq!(again, nad);
    }

    // Proves: NPWG-3.3-3
    #[test]
    fn a_reference_is_a_name_or_a_namespace_and_a_name() {
        let home: Namespace = "shop".parse().unwrap();
        let parse = |raw| NadRef::parse(raw, &home).map(|r| r.to_string()).ok();
        assert_eq!(parse("net").as_deref(), Some("shop/net"));
        assert_eq!(parse("other/net").as_deref(), Some("other/net"));
        for raw in ["", "/net", "other/", "a/b/c", "Other/net", "other /net"] {
            assert_eq!(parse(raw), None, "{raw:?}");
        }
    }

    proptest! {
        // Proves: S-8
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = Nad::from_json(&bytes);
        }

        #[test]
        fn what_is_written_reads_back(
            namespace in "[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", name in "[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?",
            config in proptest::option::of("[^ ]{1,40}"), terminating in proptest::option::of("[0-9TZ:-]{1,20}"),
            annotations in proptest::collection::btree_map(".{1,10}", ".{0,10}", 0..3),
        ) {
            let mut nad = Nad::new(NadRef::new(&namespace, &name).unwrap(), config.as_deref());
            nad.terminating_since = terminating;
            nad.annotations = annotations;
            let json = serde_json::to_vec(&nad).unwrap();
            prop_assert_eq!(Nad::from_json(&json).unwrap(), nad);
        }
    }
}
