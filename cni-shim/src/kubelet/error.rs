//! Why the kubelet's answer about a pod's devices cannot be had: one sentence with the way to mend it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use manifold_cni::name::one_line;
use manifold_cni::{CniError, code};
use manifold_crds::ResourceName;

use crate::source::PodRef;

#[derive(Debug, thiserror::Error)]
pub enum KubeletError {
    #[error(
        "the kubelet cannot be reached at `{}` ({why}); check that it runs on this node, and that \
         `podResourcesSocket` of the plugin configuration names its pod-resources socket", socket.display()
    )]
    Unreachable { socket: PathBuf, why: String },
    #[error(
        "the kubelet did not report at `{}` within {:.1} s which devices pod `{pod}` has; check its log and the load of the node",
        socket.display(), within.as_secs_f32()
    )]
    Late { socket: PathBuf, pod: String, within: Duration },
    #[error(
        "the kubelet's pod-resources API is rate limited ({said}); no action needed, the runtime retries"
    )]
    Busy { said: String },
    #[error(
        "the kubelet at `{}` does not report which devices pod `{pod}` has ({said}); check its log, and that its release serves the pod-resources API v1", socket.display()
    )]
    Refused { socket: PathBuf, pod: String, said: String },
    #[error(
        "the program at `{}` does not answer like a kubelet ({why}); check which socket `podResourcesSocket` of the plugin configuration names", socket.display()
    )]
    Garbage { socket: PathBuf, why: String },
    #[error(
        "the kubelet does not know pod `{pod}`, so its devices are not known; it was deleted, or the runtime retries when the kubelet knows it"
    )]
    NoSuchPod { pod: String },
    #[error(
        "the kubelet has two pods named `{pod}`, one that ends and one that starts, and does not report which devices belong to which; wait until the old one is gone; the runtime retries"
    )]
    TwoPods { pod: String },
    #[error(
        "the kubelet gave the pod device `{id}` of resource `{resource}`, which cannot be used ({why}); \
         the device plugin must use other device names"
    )]
    BadId { resource: ResourceName, id: String, why: String },
}

impl KubeletError {
    pub(super) fn unreachable(socket: &Path, why: impl std::fmt::Display) -> Self {
        Self::Unreachable { socket: socket.to_owned(), why: why.to_string() }
    }

    pub(super) fn garbage(socket: &Path, why: impl std::fmt::Display) -> Self {
        Self::Garbage { socket: socket.to_owned(), why: short(&why.to_string()) }
    }

    pub(super) fn refused(socket: &Path, pod: &PodRef, said: &str) -> Self {
        Self::Refused { socket: socket.to_owned(), pod: pod.to_string(), said: short(said) }
    }

    /// Nothing is touched when the kubelet fails, so nearly all of it is "try again".
    pub fn code(&self) -> u32 {
        match self {
            Self::BadId { .. } => code::INVALID_CONFIG,
            _ => code::TRY_AGAIN,
        }
    }
}

/// Somebody else's words, for a sentence of ours.
pub(super) fn short(words: &str) -> String {
    one_line(&words.chars().take(200).collect::<String>())
}

impl From<KubeletError> for CniError {
    fn from(e: KubeletError) -> Self {
        Self::new(e.code(), e.to_string())
    }
}
