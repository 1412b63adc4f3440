//! The configuration entry of the plugin: what the runtime writes to its standard input, as types.
//!
//! Keys that Multus has keep their names and meaning, so its configuration works here. Two defaults differ on purpose:
//! `namespaceIsolation` is on, and a pod that is not found is an error. Unknown keys are ignored, a key of the wrong
//! kind is one sentence that names it. What a result or a list of attachments must look like is asked only by the
//! verbs that use it: a DEL is never refused over a `prevResult`.

mod bundled;
mod check_scope;
mod keys;
mod limits;
mod log;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;

use manifold_cni::{AttachmentId, CniError, CniResult, NetworkName, RawObject, Version, code};
use manifold_plan::Compat;
use serde_json::value::RawValue;

pub use bundled::{Bundled, Choice};
pub use check_scope::CheckScope;
pub use limits::Limits;
pub use log::{Level, Log, Rotation};

use crate::source::Annotations;
use keys::Keys;

/// The capability by which a runtime passes the pod's annotations.
pub const POD_ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

/// The network that every pod is in.
#[derive(Clone, Debug)]
pub enum DefaultNetwork {
    /// A name (NAD, else configuration on disk) or, with `/`, a path.
    Cluster(String),
    /// Configurations written out in the entry; the first is the default network. Never empty.
    Delegates(Vec<RawObject>),
}

#[derive(Clone, Debug)]
pub struct Config {
    pub cni_version: Version,
    pub name: NetworkName,
    pub capabilities: BTreeMap<String, bool>,
    /// What the runtime passes by capability; it belongs to the default network alone.
    pub runtime_config: RawObject,
    pub default_network: DefaultNetwork,
    /// More attachments of every pod outside the system namespaces; only with `clusterNetwork`.
    pub default_networks: Vec<String>,
    pub kubeconfig: Option<PathBuf>,
    pub manifests: Option<PathBuf>,
    pub conf_dir: PathBuf,
    /// Where Multus keeps its state, for pods that it attached before us.
    pub cni_dir: PathBuf,
    pub bin_dir: PathBuf,
    pub state_dir: PathBuf,
    pub device_info_dir: PathBuf,
    /// Where the kubelet tells which devices a pod has.
    pub pod_resources_socket: PathBuf,
    pub namespace_isolation: bool,
    pub global_namespaces: Vec<String>,
    pub system_namespaces: Vec<String>,
    /// Definitions that every pod may have in the default network's place.
    pub allowed_default_networks: Vec<String>,
    /// What a pod may ask of its default network.
    pub default_network_requests: Vec<String>,
    pub multus_namespace: String,
    pub readiness_indicator_file: Option<PathBuf>,
    pub retry_delete_on_error: bool,
    pub auxiliary_chain: Option<NetworkName>,
    pub bundled: Bundled,
    pub check: CheckScope,
    pub compat: Compat,
    /// What would be passed over with a warning is refused.
    pub strict: bool,
    pub limits: Limits,
    pub log: Log,
    raw: RawObject,
}

impl Config {
    pub fn parse(stdin: &[u8]) -> Result<Self, CniError> {
        let raw = RawObject::parse(stdin).map_err(not_json)?;
        let keys = Keys::of(&raw);
        let path = |key: &str, default: &str| keys.path(key).map(|p| p.unwrap_or_else(|| default.into()));
        let default_network = default_network(&keys)?;
        let default_networks = match &default_network {
            DefaultNetwork::Cluster(_) => keys.texts("defaultNetworks")?.unwrap_or_default(),
            DefaultNetwork::Delegates(_) => Vec::new(),
        };
        Ok(Self {
            cni_version: version(&keys)?,
            name: name(&keys)?,
            capabilities: capabilities(&keys)?,
            runtime_config: keys.object("runtimeConfig")?.unwrap_or_default(),
            default_network,
            default_networks,
            kubeconfig: keys.path("kubeconfig")?,
            manifests: keys.path("manifests")?,
            conf_dir: path("confDir", "/etc/cni/multus/net.d")?,
            cni_dir: path("cniDir", "/var/lib/cni/multus")?,
            bin_dir: path("binDir", "/opt/cni/bin")?,
            state_dir: path("stateDir", "/var/lib/cni/manifold")?,
            device_info_dir: path("deviceInfoDir", "/var/run/k8s.cni.cncf.io/devinfo")?,
            pod_resources_socket: path("podResourcesSocket", "/var/lib/kubelet/pod-resources/kubelet.sock")?,
            namespace_isolation: keys.flag("namespaceIsolation", true)?,
            global_namespaces: global_namespaces(&keys)?,
            system_namespaces: keys
                .texts("systemNamespaces")?
                .unwrap_or_else(|| vec!["kube-system".to_owned()]),
            allowed_default_networks: keys.texts("allowedDefaultNetworks")?.unwrap_or_default(),
            default_network_requests: keys.texts("defaultNetworkRequests")?.unwrap_or_default(),
            multus_namespace: keys.text("multusNamespace")?.unwrap_or_else(|| "kube-system".to_owned()),
            readiness_indicator_file: keys.path("readinessindicatorfile")?,
            retry_delete_on_error: keys.flag("retryDeleteOnError", false)?,
            auxiliary_chain: auxiliary_chain(&keys)?,
            bundled: Bundled::read(&keys)?,
            check: CheckScope::read(&keys)?,
            compat: compat(&keys)?,
            strict: keys.flag("strict", false)?,
            limits: Limits::read(&keys)?,
            log: Log::read(&keys)?,
            raw,
        })
    }

    /// Folders in which plugins are looked for: `binDir`, then those of the runtime, none twice (MLT-CFG-5). Joined
    /// by `:` it is the CNI_PATH of every delegate.
    pub fn plugin_folders(&self, cni_path: &OsStr) -> Vec<PathBuf> {
        let mut folders = vec![self.bin_dir.clone()];
        // A relative folder would depend on where the runtime was started.
        for folder in std::env::split_paths(cni_path).filter(|f| f.is_absolute()) {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        folders
    }

    /// The pod's annotations, where the runtime passes them. `null` is how Go writes those of a pod that has none.
    pub fn pod_annotations(&self) -> Result<Option<Annotations>, CniError> {
        let passed = self.runtime_config.get(POD_ANNOTATIONS);
        passed.map(|raw| serde_json::from_str(raw.get())).transpose().map_err(|_| {
            let key = format!("runtimeConfig.{POD_ANNOTATIONS}");
            Keys::of(&self.raw).wrong(&key, "an object of strings")
        })
    }

    /// As it was read, for another process of ours.
    pub fn bytes(&self) -> Vec<u8> {
        self.raw.to_vec()
    }

    /// The result that CHECK compares with and DEL may get, unread.
    pub fn prev_result(&self) -> Option<&RawValue> {
        self.raw.get("prevResult").filter(|raw| raw.get() != "null")
    }

    /// The same as a type. One of another family of versions than the entry's is an error (MLT-CFG-1).
    pub fn parsed_prev_result(&self) -> Result<Option<CniResult>, CniError> {
        let Some(raw) = self.prev_result() else { return Ok(None) };
        CniResult::parse_prev(raw.get().as_bytes(), self.cni_version)
    }

    /// The attachments that GC keeps. `None` when the runtime gives no list: then nothing may be cleared (F-RUN-6).
    pub fn valid_attachments(&self) -> Result<Option<Vec<AttachmentId>>, CniError> {
        for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
            if self.raw.contains(key) {
                return self.raw.get_as(key).map_err(|_| {
                    Keys::of(&self.raw).wrong(key, "a list of objects with `containerID` and `ifname`")
                });
            }
        }
        Ok(None)
    }

    /// The entry as it came.
    pub fn raw(&self) -> &RawObject {
        &self.raw
    }
}

fn not_json(why: manifold_cni::json::BadJson) -> CniError {
    let msg = format!("the plugin configuration on standard input is not one JSON object: {why}");
    CniError::new(code::DECODE, msg)
}

fn version(keys: &Keys<'_>) -> Result<Version, CniError> {
    let raw = keys.text("cniVersion")?.unwrap_or_default();
    raw.parse().map_err(|e: manifold_cni::version::UnknownVersion| {
        CniError::new(
            code::INCOMPATIBLE_VERSION,
            format!("key `cniVersion` of the plugin configuration: {e}"),
        )
    })
}

fn name(keys: &Keys<'_>) -> Result<NetworkName, CniError> {
    let raw = keys.text("name")?.unwrap_or_default();
    raw.parse().map_err(|e| CniError::config(format!("key `name` of the plugin configuration: {e}")))
}

fn capabilities(keys: &Keys<'_>) -> Result<BTreeMap<String, bool>, CniError> {
    let object = keys.object("capabilities")?.unwrap_or_default();
    let inside = Keys::inside(&object, "capabilities");
    object.keys().map(|key| Ok((key.to_owned(), inside.flag(key, false)?))).collect()
}

fn default_network(keys: &Keys<'_>) -> Result<DefaultNetwork, CniError> {
    if let Some(network) = keys.text("clusterNetwork")? {
        return Ok(DefaultNetwork::Cluster(network));
    }
    let wrong = || keys.wrong("delegates", "a list of network configurations");
    let delegates: Vec<RawObject> = match keys.value("delegates") {
        None => Vec::new(),
        Some(_) => keys.raw_list("delegates").ok_or_else(wrong)?,
    };
    if delegates.is_empty() {
        let msg = "the plugin configuration names no default network; \
                   set `clusterNetwork`, or `delegates` with at least one network";
        return Err(CniError::config(msg));
    }
    Ok(DefaultNetwork::Delegates(delegates))
}

/// Habits of Multus that a node may ask for where they differ from the standard (`compat`).
fn compat(keys: &Keys<'_>) -> Result<Compat, CniError> {
    let object = keys.object("compat")?.unwrap_or_default();
    let inside = Keys::inside(&object, "compat");
    Ok(Compat {
        drop_unsupported_requests: inside.flag("dropUnsupportedRequests", false)?,
        default_route_per_family: inside.flag("defaultRoutePerFamily", false)?,
        status_per_interface: inside.flag("statusPerInterface", false)?,
    })
}

/// Unset means `default`; once set, `default` is global only if it is listed (MLT-CFG-6).
fn global_namespaces(keys: &Keys<'_>) -> Result<Vec<String>, CniError> {
    let list = keys.text("globalNamespaces")?.unwrap_or_else(|| "default".to_owned());
    Ok(list.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect())
}

/// It names a folder, so it must be a name.
fn auxiliary_chain(keys: &Keys<'_>) -> Result<Option<NetworkName>, CniError> {
    let Some(raw) = keys.text("auxiliaryCNIChainName")? else { return Ok(None) };
    let bad = |e| CniError::config(format!("key `auxiliaryCNIChainName` of the plugin configuration: {e}"));
    raw.parse().map(Some).map_err(bad)
}

#[cfg(test)]
mod tests;
