//! The configuration file of the controller: YAML, every key optional, an unknown key refused.
//!
//! What decides which networks a pod gets has the names and meaning that it has in the configuration entry of the nodes
//! (`docs/configuration.md`); both must say the same, so the chart renders both from the same values.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use manifold_cni::{NetworkName, PluginType};
use manifold_crds::{NadName, NadRef, Namespace};
use manifold_plan::{Compat, DefaultNetwork, Isolation, LeftToPods, NetworkValue, Ours, Policy};
use serde::Deserialize;

/// Everything that the controller can be told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Where the controller's own objects live, `cluster-wide-network` among them.
    pub namespace: String,
    pub default_network: DefaultNetworkConfig,
    pub networks: Networks,
    pub admission: Admission,
    pub lease: Lease,
    pub policies: Policies,
    /// `/healthz`, `/readyz` and `/metrics`, over plain HTTP.
    pub status_address: SocketAddr,
}

/// The network that every pod is in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DefaultNetworkConfig {
    /// The definition's name, in the controller's namespace.
    pub name: String,
    pub source: DefaultSource,
    /// With `source: existing`: the name of the CNI configuration that each node has from somebody else; without a name, the
    /// first that each node has.
    pub configuration: Option<String>,
}

/// What the definition of the default network stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DefaultSource {
    /// The configuration on the nodes that `configuration` names.
    Existing,
    /// The network that the node agent makes: a bridge, host-local over the node's pod CIDRs, routes to the other nodes.
    BuiltIn,
    /// Somebody else writes the definition; it is left as it is.
    Unmanaged,
}

/// The name that the node agent's own network has in the folder of configurations.
pub use manifold_ledger::installed::BUILT_IN;

/// The keys of the nodes' configuration entry that decide what a pod gets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Networks {
    pub namespace_isolation: bool,
    pub global_namespaces: Vec<String>,
    pub system_namespaces: Vec<String>,
    pub default_networks: Vec<String>,
    /// Definitions that every pod may have in the default network's place.
    pub allowed_default_networks: Vec<String>,
    /// What a pod may ask of its default network.
    pub default_network_requests: Vec<String>,
    pub networks_per_pod: usize,
    /// Types whose keys are held against our rules; absent means every bundled type.
    pub bundled: Option<Vec<String>>,
    pub drop_unsupported_requests: bool,
    pub default_route_per_family: bool,
    /// What would be passed over with a warning is refused.
    pub strict: bool,
}

/// The admission webhook.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Admission {
    pub address: SocketAddr,
    /// The Service before the webhook; its names are those of the certificate.
    pub service: String,
    /// The ValidatingWebhookConfiguration that gets the CA.
    pub configuration: String,
    /// The Secret with CA, certificate and key.
    pub secret: String,
    /// What a pod meets that names a network which does not exist.
    pub missing_network: Missing,
    /// Days that a certificate is valid. It is renewed when a third is left.
    pub certificate_days: u32,
    /// A file of certificates in PEM: reviews are answered only to clients with a certificate of these. Absent: to everybody.
    pub client_authority: Option<PathBuf>,
    /// The common names that such a certificate may have; empty: any.
    pub client_names: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Missing {
    /// People apply folders in any order; the pod waits for it.
    Warn,
    Refuse,
}

/// Leader election, in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Lease {
    pub name: String,
    /// Who has not renewed for this long has lost it.
    pub duration_seconds: u32,
    /// How often the leader renews, and how often the others look.
    pub retry_seconds: u32,
}

/// The admission policies, which the controller looks after and never writes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Policies {
    /// How often each of them is read.
    pub check_seconds: u32,
    /// Which bindings were installed.
    pub status_on_create: StatusOnCreate,
}

/// What a status annotation on a new pod meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StatusOnCreate {
    #[default]
    Deny,
    /// Pods restored from backups bring the status of their time along.
    Warn,
}

impl Default for Policies {
    fn default() -> Self {
        Self { check_seconds: 30, status_on_create: StatusOnCreate::Deny }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            namespace: "manifold-system".into(),
            default_network: DefaultNetworkConfig::default(),
            networks: Networks::default(),
            admission: Admission::default(),
            lease: Lease::default(),
            policies: Policies::default(),
            status_address: ([0, 0, 0, 0], 8080).into(),
        }
    }
}

impl Default for DefaultNetworkConfig {
    fn default() -> Self {
        Self { name: "cluster-wide-network".into(), source: DefaultSource::BuiltIn, configuration: None }
    }
}

impl Default for Networks {
    fn default() -> Self {
        Self {
            namespace_isolation: true,
            global_namespaces: vec!["default".into()],
            system_namespaces: vec!["kube-system".into()],
            default_networks: Vec::new(),
            allowed_default_networks: Vec::new(),
            default_network_requests: Vec::new(),
            networks_per_pod: 32,
            bundled: None,
            drop_unsupported_requests: false,
            default_route_per_family: false,
            strict: false,
        }
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            address: ([0, 0, 0, 0], 8443).into(),
            service: "manifold-webhook".into(),
            configuration: "manifold".into(),
            secret: "manifold-webhook".into(),
            missing_network: Missing::Warn,
            certificate_days: 90,
            client_authority: None,
            client_names: Vec::new(),
        }
    }
}

impl Default for Lease {
    fn default() -> Self {
        Self { name: "manifold-controller".into(), duration_seconds: 10, retry_seconds: 2 }
    }
}

/// A role's configuration; what is wrong with it is told with the file's path.
pub(crate) fn of_file<T>(path: &Path, parse: fn(&str) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    parse(&text).with_context(|| format!("the configuration `{}` is not valid", path.display()))
}

impl Config {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        of_file(path, Self::parse)
    }

    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = serde_yaml::from_str(text)?;
        config.policy()?;
        let Lease { duration_seconds, retry_seconds, .. } = config.lease;
        if retry_seconds == 0 || duration_seconds < 3 * retry_seconds {
            bail!(
                "`lease.durationSeconds` is {duration_seconds}, and must be three times `lease.retrySeconds` ({retry_seconds}) or more"
            );
        }
        let Admission { client_authority, client_names, .. } = &config.admission;
        if client_authority.is_none() && !client_names.is_empty() {
            bail!(
                "`admission.clientNames` is only for `admission.clientAuthority`; name that file, or remove the names"
            );
        }
        if config.policies.check_seconds == 0 {
            bail!("`policies.checkSeconds` is 0, and must be 1 or more");
        }
        Ok(config)
    }

    /// The same words that the nodes plan with.
    pub fn policy(&self) -> anyhow::Result<Policy> {
        let networks = &self.networks;
        // A definition: its name is one of Kubernetes, so it can be no path.
        let name: NadName = self.default_network.name.parse().context("`defaultNetwork.name`")?;
        let value: NetworkValue = name.as_str().parse().context("`defaultNetwork.name`")?;
        let mut policy = Policy::new(DefaultNetwork::Cluster(value));
        policy.multus_namespace = self.namespace.parse().context("`namespace`")?;
        policy.default_networks = networks
            .default_networks
            .iter()
            .map(|v| v.parse().context("`networks.defaultNetworks`"))
            .collect::<anyhow::Result<_>>()?;
        policy.system_namespaces = namespaces("systemNamespaces", &networks.system_namespaces)?;
        policy.isolation = match networks.namespace_isolation {
            true => Isolation::On { global: namespaces("globalNamespaces", &networks.global_namespaces)? },
            false => Isolation::Off,
        };
        policy.left_to_pods = networks.left_to_pods(&policy.multus_namespace)?;
        policy.limits.selection.networks = networks.networks_per_pod;
        policy.compat = Compat {
            drop_unsupported_requests: networks.drop_unsupported_requests,
            default_route_per_family: networks.default_route_per_family,
            ..Compat::default()
        };
        policy.strict = networks.strict;
        if let Some(kinds) = &networks.bundled {
            let parse = |k: &String| k.parse::<PluginType>().context("`networks.bundled`");
            policy.ours = Ours::Only(kinds.iter().map(parse).collect::<anyhow::Result<_>>()?);
        }
        let DefaultNetworkConfig { source, configuration, .. } = &self.default_network;
        match (source, configuration) {
            (DefaultSource::Existing, Some(name)) => {
                name.parse::<NetworkName>().context("`defaultNetwork.configuration`")?;
            }
            // Each node takes the first configuration that it has from somebody else.
            (DefaultSource::Existing, None) => {}
            (_, Some(_)) => {
                bail!("`defaultNetwork.configuration` is only for `source: existing`; remove one of the two")
            }
            (_, None) => {}
        }
        Ok(policy)
    }
}

impl Networks {
    fn left_to_pods(&self, own: &Namespace) -> anyhow::Result<LeftToPods> {
        let definition =
            |name: &String| NadRef::parse(name, own).context("`networks.allowedDefaultNetworks`");
        let request = |name: &String| name.parse().context("`networks.defaultNetworkRequests`");
        Ok(LeftToPods {
            definitions: self
                .allowed_default_networks
                .iter()
                .map(definition)
                .collect::<anyhow::Result<_>>()?,
            requests: self.default_network_requests.iter().map(request).collect::<anyhow::Result<_>>()?,
        })
    }
}

fn namespaces(key: &str, names: &[String]) -> anyhow::Result<BTreeSet<Namespace>> {
    names.iter().map(|n| n.parse().with_context(|| format!("`networks.{key}`"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_defaults() {
        let config = Config::parse("{}").unwrap();
        assert_eq!(config, Config::default());
        let policy = config.policy().unwrap();
        assert_eq!(policy.multus_namespace.as_str(), "manifold-system");
        assert!(policy.isolation.allows(&"shop".parse().unwrap(), &"default".parse().unwrap()));
        assert!(!policy.isolation.allows(&"shop".parse().unwrap(), &"other".parse().unwrap()));
    }

    #[test]
    fn the_source_of_the_default_network_is_one_of_three() {
        let source = |text: &str| Config::parse(text).map(|c| c.default_network.source).ok();
        assert_eq!(source("defaultNetwork: {source: builtIn}"), Some(DefaultSource::BuiltIn));
        assert_eq!(source("defaultNetwork: {source: unmanaged}"), Some(DefaultSource::Unmanaged));
        let existing = "defaultNetwork: {source: existing, configuration: k8s-pod-network}";
        assert_eq!(source(existing), Some(DefaultSource::Existing));
        assert_eq!(source("defaultNetwork: {source: existing}"), Some(DefaultSource::Existing));
        assert_eq!(source("defaultNetwork: {source: builtIn, configuration: x}"), None);
        assert_eq!(source("defaultNetwork: {source: calico}"), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        let told = |text: &str| format!("{:#}", Config::parse(text).unwrap_err());
        assert!(told("namespace: Shop").contains("`namespace`"));
        assert!(told("networks: {globalNamespaces: ['a b']}").contains("`networks.globalNamespaces`"));
        let allowed = told("networks: {allowedDefaultNetworks: ['a/b/c']}");
        assert!(allowed.contains("`networks.allowedDefaultNetworks`"), "{allowed}");
        let requests = told("networks: {defaultNetworkRequests: [bandwidth]}");
        assert!(requests.contains("`networks.defaultNetworkRequests`: `bandwidth`"), "{requests}");
        assert!(told("lease: {durationSeconds: 3}").contains("`lease.durationSeconds`"));
        assert!(told("leader: {}").contains("leader"));
        assert!(told("admission: {clientNames: [a]}").contains("`admission.clientAuthority`"));
        assert!(told("defaultNetwork: {name: a/b}").contains("`defaultNetwork.name`"));
    }
}
