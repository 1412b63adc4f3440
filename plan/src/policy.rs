//! What the node's configuration decides for every pod: the default network, who may use whose networks, how much.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;

use manifold_cni::{NetworkName, PluginType, RawObject};
use manifold_crds::name::BadName;
use manifold_crds::{NadName, NadRef, Namespace, selection};

use crate::default_network::LeftToPods;

/// The configuration entry, as far as it decides what a pod gets.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The network that every pod is in.
    pub default: DefaultNetwork,
    /// Attachments of every pod outside the system namespaces, after the default one (MLT-CFG-3).
    pub default_networks: Vec<NetworkValue>,
    /// Where definitions named by the node's configuration live (MLT-CFG-7).
    pub multus_namespace: Namespace,
    /// Whose pods get the default network alone.
    pub system_namespaces: BTreeSet<Namespace>,
    /// Whether pods use networks of other namespaces.
    pub isolation: Isolation,
    /// What pods decide about their default network.
    pub left_to_pods: LeftToPods,
    /// How much a pod and a definition may ask for.
    pub limits: Limits,
    /// Habits of Multus.
    pub compat: Compat,
    /// What has no effect is refused instead of passed over with a warning: unknown keys and empty values of an annotation,
    /// a resource of which the pod has no device.
    pub strict: bool,
    /// Where delegates leave what they know of a device (NPWG-DI-4.2-1).
    pub device_info_dir: PathBuf,
    /// Whose configurations are held against the rules of the bundled plugins.
    pub ours: Ours,
    /// A folder of plugins beside the default network's file that go on with its interface (MLT-EXE-9).
    pub auxiliary_chain: Option<NetworkName>,
}

/// Which plugin types are ours on this node. Another executable of the same name has its own rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ours {
    /// Every bundled type.
    #[default]
    All,
    /// These types.
    Only(BTreeSet<PluginType>),
}

impl Ours {
    pub(crate) fn has(&self, kind: &PluginType) -> bool {
        match self {
            Self::All => true,
            Self::Only(kinds) => kinds.contains(kind),
        }
    }
}

/// Where the network comes from that every pod is in (MLT-CFG-2).
#[derive(Clone, Debug)]
pub enum DefaultNetwork {
    /// `clusterNetwork`.
    Cluster(NetworkValue),
    /// Configurations in the entry itself. The first is the default one; there is at least one.
    Delegates(Vec<RawObject>),
}

/// A value of `clusterNetwork` or `defaultNetworks` (MLT-DLG-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkValue {
    /// A definition in `multusNamespace`, else a configuration in `confDir` of that name.
    Name(NetworkName),
    /// A value with `/`: a file, or a folder of which the first configuration counts.
    Path(PathBuf),
}

/// Whether a pod may use the networks of other namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Any network.
    Off,
    /// The pod's own namespace, and these.
    On {
        /// Namespaces whose networks every pod may use.
        global: BTreeSet<Namespace>,
    },
}

/// Sizes beyond which nothing is read further (F-INP-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of the pod's annotation.
    pub selection: selection::Limits,
    /// Of a definition's configuration.
    pub config_bytes: usize,
    /// Of the status annotation.
    pub status_bytes: usize,
}

/// Habits of Multus that a node can ask for where they differ from the standard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compat {
    /// A request that no plugin of the network can fulfil is dropped instead of refused (MLT-DEP-1).
    pub drop_unsupported_requests: bool,
    /// One selection may carry the IPv4 `default-route` and another the IPv6 one (MLT-DEP-5).
    pub default_route_per_family: bool,
    /// One status entry for each sandbox interface (MLT-DEP-7). Acted on where the status is written.
    pub status_per_interface: bool,
}

impl Policy {
    /// The defaults of the entry, with this default network.
    pub fn new(default: DefaultNetwork) -> Self {
        let kube_system: Namespace = "kube-system".parse().expect("a valid namespace");
        Self {
            default,
            default_networks: Vec::new(),
            multus_namespace: kube_system.clone(),
            system_namespaces: BTreeSet::from([kube_system]),
            isolation: Isolation::default(),
            left_to_pods: LeftToPods::default(),
            limits: Limits::default(),
            compat: Compat::default(),
            strict: false,
            device_info_dir: PathBuf::from("/var/run/k8s.cni.cncf.io/devinfo/cni"),
            ours: Ours::All,
            auxiliary_chain: None,
        }
    }
}

impl Isolation {
    /// From the entry's keys. `globalNamespaces` that is absent is `default`; one that is given must say `default` itself
    /// (MLT-CFG-6).
    ///
    /// # Errors
    /// If a name in the list is not valid.
    pub fn from_keys(on: bool, global: Option<&str>) -> Result<Self, BadName> {
        if !on {
            return Ok(Self::Off);
        }
        let names = global.unwrap_or("default").split(',').map(str::trim).filter(|n| !n.is_empty());
        Ok(Self::On { global: names.map(Namespace::from_str).collect::<Result<_, _>>()? })
    }

    /// Whether a pod of `home` may use a definition of `target`.
    pub fn allows(&self, home: &Namespace, target: &Namespace) -> bool {
        match self {
            Self::Off => true,
            Self::On { global } => home == target || global.contains(target),
        }
    }
}

impl Default for Isolation {
    /// On, with `default` global: stricter than Multus, on purpose.
    fn default() -> Self {
        Self::On { global: BTreeSet::from(["default".parse().expect("a valid namespace")]) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { selection: selection::Limits::default(), config_bytes: 64 * 1024, status_bytes: 64 * 1024 }
    }
}

impl FromStr for NetworkValue {
    type Err = BadName;

    fn from_str(raw: &str) -> Result<Self, BadName> {
        if raw.contains('/') {
            return match raw.contains('\0') {
                true => {
                    Err(BadName { what: "network path", raw: raw.to_owned(), why: "it has a NUL character" })
                }
                false => Ok(Self::Path(PathBuf::from(raw))),
            };
        }
        raw.parse().map(Self::Name)
    }
}

impl NetworkValue {
    /// The definition this may mean. A name that no definition can have is looked for on disk only.
    pub(crate) fn definition(name: &NetworkName, namespace: &Namespace) -> Option<NadRef> {
        let name: NadName = name.as_str().parse().ok()?;
        Some(NadRef { namespace: namespace.clone(), name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn allowed(global: Option<&str>, target: &str, expected: bool) {
        let isolation = Isolation::from_keys(true, global).unwrap();
        let target = target.parse().unwrap();
        assert_eq!(isolation.allows(&"shop".parse().unwrap(), &target), expected, "{global:?} {target}");
    }

    // Proves: MLT-CFG-6
    #[test]
    fn global_namespaces_are_default_unless_told() {
        allowed(None, "default", true);
        allowed(None, "shop", true);
        allowed(None, "a", false);
        allowed(Some("a, b"), "a", true);
        allowed(Some("a, b"), "b", true);
        allowed(Some("a, b"), "c", false);
        allowed(Some("a, b"), "default", false);
        allowed(Some(""), "default", false);
        assert!(Isolation::from_keys(true, Some("A_")).is_err());
        assert!(
            Isolation::from_keys(false, None).unwrap().allows(&"a".parse().unwrap(), &"b".parse().unwrap())
        );
    }

    #[test]
    fn isolation_is_on_by_default() {
        let policy = Policy::new(DefaultNetwork::Delegates(Vec::new()));
        assert_eq!(policy.isolation, Isolation::from_keys(true, None).unwrap());
    }

    // Proves: MLT-DLG-1
    #[test]
    fn a_value_with_a_slash_is_a_path() {
        assert_eq!("/etc/cni".parse(), Ok(NetworkValue::Path("/etc/cni".into())));
        assert_eq!("a".parse(), Ok(NetworkValue::Name("a".parse().unwrap())));
        assert!("a b".parse::<NetworkValue>().is_err());
        assert!("".parse::<NetworkValue>().is_err());
    }
}
