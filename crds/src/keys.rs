//! The names by which the standard and its users know things: annotation keys and the resource.

/// On a pod: which networks it asks for beside the default one (NPWG-4.1-1).
pub const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// On a pod: what was attached (NPWG-5-1).
pub const NETWORK_STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
/// On a pod: one network that takes the place of the default one (MLT-DLG-2).
pub const DEFAULT_NETWORK: &str = "v1.multus-cni.io/default-network";
/// On a NetworkAttachmentDefinition: the device-plugin resource its attachments use.
pub const RESOURCE_NAME: &str = "k8s.v1.cni.cncf.io/resourceName";
/// On a pod: `api` for pods of the API server, anything else for static pods.
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";

/// The API group of definitions.
pub const GROUP: &str = "k8s.cni.cncf.io";
/// The version of definitions.
pub const VERSION: &str = "v1";
/// `apiVersion` of definitions.
pub const API_VERSION: &str = "k8s.cni.cncf.io/v1";
/// `kind` of definitions.
pub const KIND: &str = "NetworkAttachmentDefinition";
/// How paths of the API name them.
pub const PLURAL: &str = "network-attachment-definitions";
/// How `kubectl` names one.
pub const SINGULAR: &str = "network-attachment-definition";
/// The standard's short name, and a shorter one of ours.
pub const SHORT_NAMES: &[&str] = &["net-attach-def", "nad"];
