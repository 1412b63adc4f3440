//! The configuration that the runtime reads: its text, and under which name it is the first of the folder. Pure.

use std::collections::BTreeSet;

use manifold_cni::Version;
use serde_json::{Map, Value, json};

use super::EXECUTABLE;
use super::config::{CniVersion, Config, PodAnnotations};

/// The name of our network, in the text.
pub const NETWORK: &str = "manifold";
/// The capability by which a runtime passes the pod's annotations.
const POD_ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";
const SUFFIXES: [&str; 3] = [".conflist", ".conf", ".json"];

/// The names that it may have, the preferred one first. Runtimes take the first of a folder in the order of bytes.
fn names() -> impl Iterator<Item = String> {
    let hard = (0..8).map(|n| format!("{}manifold.conflist", "!".repeat(n + 1)));
    ["00-manifold.conflist".to_owned(), "00-!manifold.conflist".to_owned()].into_iter().chain(hard)
}

pub fn is_a_name(file: &str) -> bool {
    names().any(|name| name == file)
}

/// The name that comes before all others of the folder: one that is there already and does, else the first that does; the most
/// stubborn one where none does.
pub fn name_before<'a>(files: impl IntoIterator<Item = &'a str>) -> String {
    let (ours, others): (Vec<&str>, Vec<&str>) =
        files.into_iter().filter(|file| is_configuration(file)).partition(|file| is_a_name(file));
    let first = others.into_iter().min();
    let before = |name: &str| first.is_none_or(|first| name < first);
    if let [one] = ours.as_slice()
        && before(one)
    {
        return (*one).to_owned();
    }
    let before = |name: &String| before(name.as_str());
    names().find(before).or_else(|| names().last()).expect("there are names")
}

/// Whether a runtime reads a file of this name.
pub fn is_configuration(file: &str) -> bool {
    SUFFIXES.iter().any(|suffix| file.ends_with(suffix))
}

/// The text. `runtime` is what the Node object says of the container runtime.
pub fn text(config: &Config, runtime: Option<&str>, capabilities: &BTreeSet<String>) -> String {
    let list = json!({
        "cniVersion": version(config.cni_version, runtime).as_str(),
        "name": NETWORK,
        "plugins": [entry(config, passes_annotations(config.pod_annotations, runtime), capabilities)],
    });
    let mut text = serde_json::to_string_pretty(&list).expect("strings, numbers and lists always serialise");
    text.push('\n');
    text
}

fn entry(config: &Config, annotations: bool, capabilities: &BTreeSet<String>) -> Value {
    let Config { host, networks, limits, log, .. } = config;
    let mut allowed: Map<String, Value> = match &config.capabilities {
        Some(names) => names.iter().map(|name| (name.clone(), true.into())).collect(),
        None => capabilities.iter().map(|name| (name.clone(), true.into())).collect(),
    };
    if annotations {
        allowed.insert(POD_ANNOTATIONS.to_owned(), true.into());
    }
    let mut entry = json!({
        "type": EXECUTABLE,
        "capabilities": allowed,
        "kubeconfig": host.state_dir.join("credentials/kubeconfig"),
        "clusterNetwork": config.default_network.name,
        "multusNamespace": config.namespace,
        "confDir": host.conf_dir,
        "binDir": host.bin_dir,
        "stateDir": host.state_dir,
        "namespaceIsolation": networks.namespace_isolation,
        "globalNamespaces": list(&networks.global_namespaces),
        "systemNamespaces": networks.system_namespaces,
        "defaultNetworks": networks.default_networks,
        "allowedDefaultNetworks": networks.allowed_default_networks,
        "defaultNetworkRequests": networks.default_network_requests,
        "plugins": {"bundled": networks.bundled.as_ref().map_or_else(|| json!("prefer"), |list| json!(list))},
        "limits": {
            "delegateSeconds": limits.delegate_seconds,
            "addSeconds": limits.add_seconds,
            "networksPerPod": networks.networks_per_pod,
        },
        "compat": {
            "dropUnsupportedRequests": networks.drop_unsupported_requests,
            "defaultRoutePerFamily": networks.default_route_per_family,
        },
        "strict": networks.strict,
        "check": config.check,
        "logLevel": log.level,
        "logToStderr": log.to_stderr,
    });
    if let (false, Some(keys)) = (log.file.is_empty(), entry.as_object_mut()) {
        keys.insert("logFile".to_owned(), log.file.clone().into());
    }
    if let (Some(socket), Some(keys)) = (&host.pod_resources_socket, entry.as_object_mut()) {
        keys.insert("podResourcesSocket".to_owned(), json!(socket));
    }
    entry
}

/// An empty text would be as good as none, which stands for `default`; a comma alone is a list of nobody.
fn list(namespaces: &[String]) -> String {
    if namespaces.is_empty() { ",".to_owned() } else { namespaces.join(",") }
}

/// Whether this node's runtime passes a pod's annotations to plugins. containerd does; CRI-O and cri-dockerd do not, and there
/// the shim reads the pod. Where nothing is known of the runtime it is offered them: one that does not know them ignores that.
pub fn passes_annotations(wanted: PodAnnotations, runtime: Option<&str>) -> bool {
    match wanted {
        PodAnnotations::Passed => true,
        PodAnnotations::NotPassed => false,
        PodAnnotations::Auto => {
            runtime.and_then(|r| r.split_once("://")).is_none_or(|(name, _)| name == "containerd")
        }
    }
}

/// The version that this node's runtime reads: `runtime` is what the Node object says of it (`containerd://2.0.1`).
pub fn version(wanted: CniVersion, runtime: Option<&str>) -> Version {
    wanted.fixed().unwrap_or_else(|| match runtime.is_some_and(reads_1_1) {
        true => Version::V1_1_0,
        false => Version::V1_0_0,
    })
}

fn reads_1_1(runtime: &str) -> bool {
    let Some((name, version)) = runtime.split_once("://") else { return false };
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']).map(|n| n.parse::<u32>().ok());
    let (Some(Some(major)), minor) = (numbers.next(), numbers.next().flatten().unwrap_or(0)) else {
        return false;
    };
    match name {
        "containerd" => major >= 2,
        "cri-o" => (major, minor) >= (1, 31),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_first_of_the_folder_whoever_else_is_there() {
        let name = |others: &[&str]| name_before(others.iter().copied());
        assert_eq!(name(&[]), "00-manifold.conflist");
        assert_eq!(name(&["05-cilium.conflist", "00-multus.conf"]), "00-manifold.conflist");
        assert_eq!(name(&["00-a.conf"]), "00-!manifold.conflist");
        assert_eq!(name(&["!x.json"]), "!manifold.conflist");
        assert_eq!(name(&["!a.json"]), "!!manifold.conflist");
        assert_eq!(name(&["00-a.conf.bak", ".hidden"]), "00-manifold.conflist");
        assert_eq!(name(&["00-!manifold.conflist", "10-x.conf"]), "00-!manifold.conflist", "it stays");
        assert_eq!(name(&["00-!manifold.conflist", "00-manifold.conflist"]), "00-manifold.conflist");
        for rival in ["000-x.conf", "00-0.conf", "0.conf", "!!x.conflist", "-a.json"] {
            assert!(name(&[rival]).as_str() < rival, "{rival}");
        }
    }

    #[test]
    fn the_version_is_what_the_runtime_reads() {
        let told = |runtime| version(CniVersion::Auto, Some(runtime)).as_str();
        assert_eq!(told("containerd://2.0.0"), "1.1.0");
        assert_eq!(told("containerd://2.1.0-beta.1"), "1.1.0");
        assert_eq!(told("containerd://1.7.27"), "1.0.0");
        assert_eq!(told("cri-o://1.31.2"), "1.1.0");
        assert_eq!(told("cri-o://1.30.4"), "1.0.0");
        assert_eq!(told("docker://28.0.1"), "1.0.0");
        assert_eq!(told("nonsense"), "1.0.0");
        assert_eq!(version(CniVersion::Auto, None).as_str(), "1.0.0");
        assert_eq!(version(CniVersion::V1_1, Some("containerd://1.6.20")).as_str(), "1.1.0");
    }

    /// The entry for this runtime, with these keys of the configuration.
    fn entry_on(runtime: Option<&str>, yaml: &str) -> Value {
        let text = text(&Config::parse(yaml).unwrap(), runtime, &BTreeSet::new());
        let list: Value = serde_json::from_str(&text).unwrap();
        list["plugins"][0].clone()
    }

    // Shows part of: COMPAT-31
    #[test]
    fn a_runtime_that_passes_no_annotations_is_recognised_by_its_name() {
        let asked =
            |runtime, yaml: &str| entry_on(runtime, yaml)["capabilities"].get(POD_ANNOTATIONS).is_some();
        assert!(asked(Some("containerd://1.7.27"), "{}"));
        assert!(asked(Some("containerd://2.1.0"), "podAnnotations: auto"));
        assert!(!asked(Some("cri-o://1.31.2"), "{}"));
        assert!(!asked(Some("docker://28.0.1"), "{}"));
        assert!(asked(None, "{}"), "the Node may not be read");
        assert!(asked(Some("cri-o://1.31.2"), "podAnnotations: true"));
        assert!(!asked(Some("containerd://2.1.0"), "podAnnotations: false"));
    }

    // Shows part of: COMPAT-24
    #[test]
    fn what_check_checks_reaches_the_nodes() {
        assert_eq!(entry_on(None, "{}")["check"], "default");
        assert_eq!(entry_on(None, "check: all")["check"], "all");
        assert_eq!(entry_on(None, "check: 'off'")["check"], "off");
    }

    #[test]
    fn no_global_namespace_is_not_told_as_none_configured() {
        let global = |names: &[&str]| {
            let mut config = Config::default();
            config.networks.global_namespaces = names.iter().map(ToString::to_string).collect();
            let list: Value = serde_json::from_str(&text(&config, None, &BTreeSet::new())).unwrap();
            list["plugins"][0]["globalNamespaces"].as_str().unwrap().to_owned()
        };
        assert_eq!(global(&["default", "shared"]), "default,shared");
        assert_eq!(global(&[]), ",", "absent or empty, the nodes would take `default` for global");
    }

    // Proves: S-2
    #[test]
    fn the_text_holds_no_secret_and_names_the_kubeconfig_as_the_host_does() {
        let mut config = Config::default();
        config.host.root = "/host".into();
        let text = text(&config, Some("containerd://2.0.0"), &BTreeSet::from(["portMappings".to_owned()]));
        let list: Value = serde_json::from_str(&text).unwrap();
        let entry = &list["plugins"][0];
        assert_eq!(entry["kubeconfig"], "/var/lib/cni/manifold/credentials/kubeconfig");
        assert_eq!(entry["capabilities"], json!({"portMappings": true, POD_ANNOTATIONS: true}));
        assert_eq!((&entry["type"], &list["cniVersion"]), (&json!("manifold"), &json!("1.1.0")));
        assert!(!text.contains("token") && !text.contains("/host"), "{text}");
    }

    // What Multus' installer takes as flags, a node agent takes from its configuration (docs/from-multus.md).
    // Proves: MLT-INS-1, MLT-INS-2
    #[test]
    fn whatever_could_be_asked_of_multus_installer_reaches_the_configuration_of_the_runtime() {
        let asked = "
host: {binDir: /opt/bin, confDir: /etc/net.d}
cniVersion: 1.1.0
networks:
  namespaceIsolation: false
  globalNamespaces: [default, shared]
  allowedDefaultNetworks: [calico-conf]
  defaultNetworkRequests: [ips]
log: {level: debug, file: /var/log/manifold.log, toStderr: false}
";
        let config = Config::parse(asked).unwrap();
        let text = text(&config, None, &BTreeSet::from(["bandwidth".to_owned()]));
        let list: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&list["cniVersion"], &list["name"]), (&json!("1.1.0"), &json!("manifold")));
        let entry = &list["plugins"][0];
        for (key, value) in [
            ("binDir", json!("/opt/bin")),
            // Under the name by which it is read.
            ("confDir", json!("/etc/net.d")),
            ("capabilities", json!({"bandwidth": true, POD_ANNOTATIONS: true})),
            ("clusterNetwork", json!("cluster-wide-network")),
            ("namespaceIsolation", json!(false)),
            ("globalNamespaces", json!("default,shared")),
            ("allowedDefaultNetworks", json!(["calico-conf"])),
            ("defaultNetworkRequests", json!(["ips"])),
            ("logLevel", json!("debug")),
            ("logFile", json!("/var/log/manifold.log")),
            ("logToStderr", json!(false)),
        ] {
            assert_eq!(entry[key], value, "{key}");
        }
    }

    #[test]
    fn the_kubelets_socket_is_named_where_it_is_not_where_the_shim_looks_by_default() {
        let entry = |yaml: &str| {
            let text = text(&Config::parse(yaml).unwrap(), None, &BTreeSet::new());
            let list: Value = serde_json::from_str(&text).unwrap();
            list["plugins"][0].get("podResourcesSocket").cloned()
        };
        assert_eq!(entry("{}"), None);
        let moved = "host: {podResourcesSocket: /data/kubelet/pod-resources/kubelet.sock}";
        assert_eq!(entry(moved), Some(json!("/data/kubelet/pod-resources/kubelet.sock")));
        let wrong = Config::parse("host: {podResourcesSocket: kubelet.sock}").unwrap_err().to_string();
        assert!(wrong.contains("`host.podResourcesSocket`"), "{wrong}");
    }
}
