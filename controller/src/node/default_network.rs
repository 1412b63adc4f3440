//! Which configuration the default network is on this node, and whether an ADD of it could be served. Pure.
//!
//! A definition that holds its configuration is complete. One without stands for a configuration of the node: the built-in
//! network, the one that it names, or the first of the folder that is not ours. What is mirrored to disk is the complete
//! definition, so that the shim and this page never disagree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use manifold_cni::{CniArgs, Inlined, NetworkList, PluginConf, PluginType, Version};
use manifold_crds::Nad;
use manifold_crds::nad_status::CONFIGURATION;
use manifold_plan::check_config::bundled_types;
use manifold_plan::resolve::OWN_TYPE;
use manifold_plan::{Definitions, Files, Ours, Pod, Policy, RuntimeInput};

use super::conflist;

/// A default network that can be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// What its plugins declare, so what the runtime may pass.
    pub capabilities: BTreeSet<String>,
}

/// The definition as this node has to take it. `built_in`: the text of the built-in network, where that is the source.
pub fn complete(nad: &Nad, files: &Files, built_in: Option<&str>) -> Nad {
    let mut nad = nad.clone();
    if nad.config.is_some() {
        return nad;
    }
    if let Some(text) = built_in {
        nad.annotations.remove(CONFIGURATION);
        nad.config = Some(text.to_owned());
    } else if !nad.annotations.contains_key(CONFIGURATION)
        && !has_name(files, nad.reference.name.as_str())
        && let Some(name) = first_of_others(files)
    {
        nad.annotations.insert(CONFIGURATION.to_owned(), name);
    }
    nad
}

fn has_name(files: &Files, name: &str) -> bool {
    files.files.iter().any(|(_, bytes)| named(bytes).is_some_and(|found| found == name))
}

fn named(bytes: &[u8]) -> Option<String> {
    Inlined::parse(bytes).ok()?.name().map(ToString::to_string)
}

/// Others that attach a pod's networks by its annotations: as the default network they would attach them a second time.
const MULTUS: [&str; 2] = ["multus", "multus-shim"];

/// The name of the first configuration, as the runtime would choose, that does not lead back to us (P-UP-4) and is not that
/// of a Multus whose place we take.
fn first_of_others(files: &Files) -> Option<String> {
    let mut others: Vec<_> =
        files.files.iter().filter(|(file, _)| conflist::is_configuration(file)).collect();
    others.sort_by_key(|(file, _)| file.as_str());
    let stands = |bytes: &[u8]| !has_type(bytes, |kind| kind == OWN_TYPE || MULTUS.contains(&kind));
    others.into_iter().filter(|(_, bytes)| stands(bytes)).find_map(|(_, bytes)| named(bytes))
}

/// Whether a plugin of this configuration is ours.
pub fn is_ours(bytes: &[u8]) -> bool {
    has_type(bytes, |kind| kind == OWN_TYPE)
}

pub(super) fn has_type(bytes: &[u8], is: impl Fn(&str) -> bool) -> bool {
    let Ok(list) = Inlined::parse(bytes).and_then(|list| list.with_folder(Vec::new())) else { return false };
    list.plugins.iter().any(|plugin| is(plugin.kind.as_str()))
}

/// Whether an ADD could be served, by the very plan that the shim makes. `on_disk` says whether a plugin of the node is
/// there. The error is one sentence.
pub fn judge(
    nad: &Nad,
    files: Files,
    policy: &Policy,
    version: Version,
    on_disk: impl Fn(&PluginType) -> bool,
    folder: &Path,
) -> Result<Served, String> {
    let pod = Pod::new("kube-system", "none", None).map_err(|e| e.to_string())?;
    let mut policy = policy.clone();
    policy.default_networks.clear();
    let mut found = Definitions { conf_dir: files, ..Definitions::default() };
    found.nads.insert(nad.reference.clone(), nad.clone());
    let plan = manifold_plan::plan(&pod, &policy, &found, &runtime(version))
        .map_err(|refusal| manifold_cni::CniError::from(refusal).to_string())?;
    let Some(planned) = plan.attachments.first() else {
        return Err("the default network is empty".to_owned());
    };
    for kind in types(&planned.list) {
        if MULTUS.contains(&kind.as_str()) {
            return Err(format!(
                "the default network `{}` has the plugin `{kind}`, which would attach the networks of pods a second time; name \
                 the network that it delegates to",
                planned.display
            ));
        }
        if !is_bundled(&kind, &policy.ours) && !on_disk(&kind) {
            return Err(format!(
                "the default network `{}` needs the plugin `{kind}`, which is not in `{}`; install it there",
                planned.display,
                folder.display()
            ));
        }
    }
    Ok(Served { capabilities: capabilities(&planned.list) })
}

fn runtime(version: Version) -> RuntimeInput {
    RuntimeInput {
        version,
        container: "none".parse().expect("a name"),
        ifname: "eth0".parse().expect("a name"),
        args: CniArgs::default(),
        runtime_config: BTreeMap::new(),
        allocation: None,
    }
}

fn is_bundled(kind: &PluginType, ours: &Ours) -> bool {
    let chosen = match ours {
        Ours::All => true,
        Ours::Only(kinds) => kinds.contains(kind),
    };
    chosen && bundled_types().any(|name| name == kind.as_str())
}

/// The plugins, and the IPAM plugins that they call.
fn types(list: &NetworkList) -> Vec<PluginType> {
    #[derive(serde::Deserialize)]
    struct Ipam {
        #[serde(rename = "type")]
        kind: Option<PluginType>,
    }
    let ipam = |plugin: &PluginConf| plugin.raw.get_as::<Ipam>("ipam").ok().flatten().and_then(|i| i.kind);
    list.plugins.iter().flat_map(|plugin| [Some(plugin.kind.clone()), ipam(plugin)]).flatten().collect()
}

fn capabilities(list: &NetworkList) -> BTreeSet<String> {
    let all = list.plugins.iter().flat_map(|plugin| &plugin.capabilities);
    all.filter(|(_, on)| **on).map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::config::Config;

    const CALICO: &str = r#"{"cniVersion":"0.3.1","name":"k8s-pod-network","plugins":[
        {"type":"calico","ipam":{"type":"calico-ipam"}},{"type":"portmap","capabilities":{"portMappings":true}}]}"#;
    const OURS: &str = r#"{"cniVersion":"1.0.0","name":"manifold","plugins":[{"type":"manifold"}]}"#;
    const BRIDGE: &str = r#"{"cniVersion":"1.0.0","name":"b","type":"bridge","ipam":{"type":"host-local","subnet":"10.1.0.0/24"}}"#;

    fn nad(config: Option<&str>, named: Option<&str>) -> Nad {
        let reference = manifold_crds::NadRef::new("manifold-system", "cluster-wide-network").unwrap();
        let mut nad = Nad::new(reference, config);
        if let Some(named) = named {
            nad.annotations.insert(CONFIGURATION.to_owned(), named.to_owned());
        }
        nad
    }

    fn files(all: &[(&str, &str)]) -> Files {
        Files::new(all.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect())
    }

    #[track_caller]
    fn check(nad: &Nad, all: &[(&str, &str)], plugins: &[&str], expected: Result<&[&str], &str>) {
        let policy = Config::default().policy().unwrap();
        let complete = complete(nad, &files(all), None);
        let on_disk = |kind: &PluginType| plugins.contains(&kind.as_str());
        let folder = Path::new("/opt/cni/bin");
        let judged = judge(&complete, files(all), &policy, Version::V1_0_0, on_disk, folder);
        match (judged, expected) {
            (Ok(served), Ok(names)) => {
                assert_eq!(served.capabilities, names.iter().map(|n| (*n).to_owned()).collect());
            }
            (Err(told), Err(words)) => assert!(told.contains(words), "{told}"),
            (judged, expected) => panic!("{judged:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn a_configuration_of_the_node_is_found_by_the_name_that_the_definition_says() {
        let all = [("00-manifold.conflist", OURS), ("05-b.conf", BRIDGE), ("10-calico.conflist", CALICO)];
        let both = ["calico", "calico-ipam"];
        check(&nad(None, Some("k8s-pod-network")), &all, &both, Ok(&["portMappings"]));
        check(&nad(None, Some("b")), &all, &[], Ok(&[]));
        check(&nad(None, Some("gone")), &all, &both, Err("`gone`"));
    }

    #[test]
    fn without_a_name_it_is_the_first_of_somebody_else() {
        let all = [("00-manifold.conflist", OURS), ("05-b.conf", BRIDGE), ("10-calico.conflist", CALICO)];
        let complete = complete(&nad(None, None), &files(&all), None);
        assert_eq!(complete.annotations[CONFIGURATION], "b");
        check(&nad(None, None), &all, &[], Ok(&[]));
        check(&nad(None, None), &[], &[], Err("there is no network configuration in the folder"));
    }

    // Proves: P-UP-4
    #[test]
    fn it_never_takes_itself_for_the_default_network() {
        let renamed = OURS.replace(r#""name":"manifold""#, r#""name":"x""#);
        let all = [("00-manifold.conflist", OURS), ("05-x.conflist", renamed.as_str())];
        assert_eq!(complete(&nad(None, None), &files(&all), None).annotations.len(), 0);
        check(&nad(None, None), &all, &["manifold"], Err("no network configuration in the folder is named"));
        check(&nad(None, Some("manifold")), &all, &["manifold"], Err("would call itself forever"));
        check(&nad(Some(OURS), None), &all, &["manifold"], Err("would call itself forever"));
    }

    #[test]
    fn multus_is_passed_over_and_never_taken_for_the_default_network() {
        for kind in ["multus", "multus-shim"] {
            let multus = format!(r#"{{"cniVersion":"1.0.0","name":"multus-cni-network","type":"{kind}"}}"#);
            let all = [("00-multus.conf", multus.as_str()), ("10-calico.conflist", CALICO)];
            let plugins = [kind, "calico", "calico-ipam"];
            check(&nad(None, None), &all, &plugins, Ok(&["portMappings"]));
            let refused = Err("would call itself forever");
            check(&nad(None, Some("multus-cni-network")), &all, &plugins, refused);
        }
    }

    #[test]
    fn a_plugin_that_is_nowhere_is_named_with_the_folder() {
        let all = [("10-calico.conflist", CALICO)];
        check(&nad(None, None), &all, &["calico"], Err("`calico-ipam`, which is not in `/opt/cni/bin`"));
    }

    #[test]
    fn the_built_in_network_stands_in_the_definition_itself() {
        let done = complete(&nad(None, Some("manifold-built-in")), &Files::default(), Some(BRIDGE));
        assert_eq!((done.config.as_deref(), done.annotations.len()), (Some(BRIDGE), 0));
    }
}
