//! The configuration entry as the plan's words: which networks every pod is in, who may use whose, how much.

use std::collections::BTreeSet;
use std::fmt::Display;

use manifold_cni::CniError;
use manifold_crds::name::BadName;
use manifold_crds::{NadRef, Namespace};
use manifold_plan::default_network::BadRequest;
use manifold_plan::{Isolation, LeftToPods, NetworkValue, Ours, Policy};

use crate::config::{Bundled, Config, DefaultNetwork};

pub fn of(config: &Config) -> Result<Policy, CniError> {
    let default = match &config.default_network {
        DefaultNetwork::Cluster(value) => {
            manifold_plan::DefaultNetwork::Cluster(network("clusterNetwork", value)?)
        }
        DefaultNetwork::Delegates(list) => manifold_plan::DefaultNetwork::Delegates(list.clone()),
    };
    let mut policy = Policy::new(default);
    policy.default_networks =
        config.default_networks.iter().map(|v| network("defaultNetworks", v)).collect::<Result<_, _>>()?;
    policy.multus_namespace = namespace("multusNamespace", &config.multus_namespace)?;
    policy.system_namespaces = namespaces("systemNamespaces", &config.system_namespaces)?;
    policy.isolation = match config.namespace_isolation {
        true => Isolation::On { global: namespaces("globalNamespaces", &config.global_namespaces)? },
        false => Isolation::Off,
    };
    policy.left_to_pods = left_to_pods(config, &policy.multus_namespace)?;
    policy.limits.selection.networks = config.limits.networks_per_pod;
    policy.device_info_dir = config.device_info_dir.join("cni");
    policy.compat = config.compat;
    policy.strict = config.strict;
    policy.auxiliary_chain = config.auxiliary_chain.clone();
    policy.ours = match &config.bundled {
        Bundled::Prefer => Ours::All,
        Bundled::Only(kinds) => Ours::Only(kinds.clone()),
        // What runs is mostly the node's own executable, which has rules of its own.
        Bundled::Fallback | Bundled::Off => Ours::Only(BTreeSet::new()),
    };
    Ok(policy)
}

fn left_to_pods(config: &Config, own: &Namespace) -> Result<LeftToPods, CniError> {
    let definition =
        |name: &String| NadRef::parse(name, own).map_err(|e: BadName| wrong("allowedDefaultNetworks", &e));
    let request = |name: &String| name.parse().map_err(|e: BadRequest| wrong("defaultNetworkRequests", &e));
    Ok(LeftToPods {
        definitions: config.allowed_default_networks.iter().map(definition).collect::<Result<_, _>>()?,
        requests: config.default_network_requests.iter().map(request).collect::<Result<_, _>>()?,
    })
}

fn network(key: &str, value: &str) -> Result<NetworkValue, CniError> {
    value.parse().map_err(|e: BadName| wrong(key, &e))
}

fn namespaces(key: &str, names: &[String]) -> Result<BTreeSet<Namespace>, CniError> {
    names.iter().map(|name| namespace(key, name)).collect()
}

fn namespace(key: &str, name: &str) -> Result<Namespace, CniError> {
    name.parse().map_err(|e: BadName| wrong(key, &e))
}

fn wrong(key: &str, why: &dyn Display) -> CniError {
    CniError::config(format!("key `{key}` of the plugin configuration: {why}"))
}
