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
    pub container: ContainerId,
    pub netns: PathBuf,
    pub ifname: IfName,
    pub args: CniArgs,
}

/// DEL: the same, of which the netns may be gone (CNI-DEL-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detachment {
    pub container: ContainerId,
    pub netns: Option<PathBuf>,
    pub ifname: IfName,
    pub args: CniArgs,
}

/// How GC names a living attachment (`cni.dev/valid-attachments`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttachmentId {
    #[serde(rename = "containerID")]
    pub container: String,
    pub ifname: String,
}

impl Attachment {
    /// The same attachment, as DEL sees it.
    pub fn detach(&self) -> Detachment {
        let Self { container, netns, ifname, args } = self.clone();
        Detachment { container, netns: Some(netns), ifname, args }
    }

    pub fn id(&self) -> AttachmentId {
        AttachmentId { container: self.container.to_string(), ifname: self.ifname.to_string() }
    }
}

impl Detachment {
    pub fn id(&self) -> AttachmentId {
        AttachmentId { container: self.container.to_string(), ifname: self.ifname.to_string() }
    }
}
