//! What one call is about: the attachment that ADD makes, the detachment that DEL undoes.
//!
//! A request carries only what its verb has. An attachment has a netns, the type says so; a detachment
//! may have lost it, and DEL must still succeed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{CniArgs, ContainerId, IfName};

/// ADD and CHECK: one interface of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// `CNI_CONTAINERID`
    pub container: ContainerId,
    /// `CNI_NETNS`
    pub netns: PathBuf,
    /// `CNI_IFNAME`
    pub ifname: IfName,
    /// `CNI_ARGS`
    pub args: CniArgs,
}

/// DEL: the same, of which the netns may be gone (CNI-DEL-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detachment {
    /// `CNI_CONTAINERID`
    pub container: ContainerId,
    /// `CNI_NETNS`; it may be gone, or its path empty.
    pub netns: Option<PathBuf>,
    /// `CNI_IFNAME`
    pub ifname: IfName,
    /// `CNI_ARGS`
    pub args: CniArgs,
}

/// How GC names a living attachment (`cni.dev/valid-attachments`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttachmentId {
    /// Its container id.
    #[serde(rename = "containerID")]
    pub container: String,
    /// Its interface name.
    pub ifname: String,
}

impl Attachment {
    /// The same attachment, as DEL sees it.
    pub fn detach(&self) -> Detachment {
        let Self { container, netns, ifname, args } = self.clone();
        Detachment { container, netns: Some(netns), ifname, args }
    }

    /// What tells it from all other attachments of the network.
    pub fn id(&self) -> AttachmentId {
        AttachmentId { container: self.container.to_string(), ifname: self.ifname.to_string() }
    }
}

impl Detachment {
    /// What tells it from all other attachments of the network.
    pub fn id(&self) -> AttachmentId {
        AttachmentId { container: self.container.to_string(), ifname: self.ifname.to_string() }
    }
}
