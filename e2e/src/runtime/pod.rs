//! A pod sandbox as a runtime knows it, and the environment variables that tell a plugin of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::netns::TestNetns;

/// A sandbox. Every field may be changed to something no runtime would send.
#[derive(Clone, Debug)]
pub struct Pod {
    pub container_id: String,
    pub namespace: String,
    pub name: String,
    /// None: the runtime is too old to send it.
    pub uid: Option<String>,
    /// None: the namespace is gone, as at a late DEL.
    pub netns: Option<PathBuf>,
    pub ifname: String,
    pub annotations: BTreeMap<String, String>,
    /// What the runtime offers beside the annotations: `portMappings`, `bandwidth`, ...
    pub capability_args: Map<String, Value>,
    /// More pairs for `CNI_ARGS`.
    pub more_args: Vec<(String, String)>,
}

impl Pod {
    pub fn new(netns: &TestNetns, namespace: &str, name: &str) -> Self {
        Self { netns: Some(netns.path().to_path_buf()), ..Self::named(namespace, name) }
    }

    /// Without a network namespace. The container id, and the UID, are like no other of this process.
    pub fn named(namespace: &str, name: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let seed = format!("{}/{}/{namespace}/{name}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let id: String = Sha256::digest(seed).iter().map(|byte| format!("{byte:02x}")).collect();
        let part = |from: usize, to: usize| id.get(from..to).unwrap_or_default();
        let uid = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-");
        Self {
            namespace: namespace.into(),
            name: name.into(),
            uid: Some(uid),
            container_id: id,
            netns: None,
            ifname: "eth0".into(),
            annotations: BTreeMap::new(),
            capability_args: Map::new(),
            more_args: Vec::new(),
        }
    }

    #[must_use]
    pub fn annotated(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// With the UID that the API server gave it.
    #[must_use]
    pub fn with_uid(mut self, uid: &str) -> Self {
        self.uid = Some(uid.into());
        self
    }

    /// The same pod as a DEL sees it when the runtime has removed the namespace already.
    #[must_use]
    pub fn without_netns(mut self) -> Self {
        self.netns = None;
        self
    }

    pub(super) fn key(&self) -> (String, String) {
        (self.container_id.clone(), self.ifname.clone())
    }

    /// Runtimes keep the pairs of `CNI_ARGS` in a hash table, so their order is another one at each call: `turn`.
    pub(super) fn variables(&self, turn: usize) -> Vec<(OsString, OsString)> {
        let netns = self.netns.as_deref().map(Path::as_os_str).unwrap_or_default();
        vec![
            ("CNI_CONTAINERID".into(), self.container_id.clone().into()),
            ("CNI_NETNS".into(), netns.to_os_string()),
            ("CNI_IFNAME".into(), self.ifname.clone().into()),
            ("CNI_ARGS".into(), self.args(turn).into()),
        ]
    }

    fn args(&self, turn: usize) -> String {
        let mut pairs = vec![
            ("IgnoreUnknown".to_string(), "1".to_string()),
            ("K8S_POD_NAMESPACE".into(), self.namespace.clone()),
            ("K8S_POD_NAME".into(), self.name.clone()),
            ("K8S_POD_INFRA_CONTAINER_ID".into(), self.container_id.clone()),
        ];
        pairs.extend(self.uid.iter().map(|uid| ("K8S_POD_UID".to_string(), uid.clone())));
        pairs.extend(self.more_args.iter().cloned());
        let length = pairs.len();
        pairs.rotate_left(turn % length);
        let joined: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        joined.join(";")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_arguments_changes_and_their_set_does_not() {
        let pod = Pod::named("shop", "cart");
        let sorted = |turn| {
            let args = pod.args(turn);
            let mut pairs: Vec<String> = args.split(';').map(str::to_string).collect();
            pairs.sort();
            pairs
        };
        assert_ne!(pod.args(0), pod.args(1));
        assert_eq!(sorted(0), sorted(1));
        assert_eq!(pod.args(0), pod.args(5));
    }

    #[test]
    fn ids_have_the_form_that_runtimes_give_them_and_are_never_the_same() {
        let (one, two) = (Pod::named("shop", "cart"), Pod::named("shop", "cart"));
        assert_eq!((one.container_id.len(), one.uid.as_ref().unwrap().len()), (64, 36));
        assert_ne!(one.container_id, two.container_id);
    }
}
