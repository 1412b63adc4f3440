//! Which pod the call is about, and what its annotations say.
//!
//! Where the runtime passes the annotations of the sandbox nothing is asked; else the pod is read once. The selection
//! is never looked at again: a later edit changes nothing (S-6).

use manifold_cni::{Attachment, CniArgs, CniError, code};

use super::asking::Asking;
use crate::config::{Config, POD_ANNOTATIONS};
use crate::source::{Annotations, Kind, Pod, PodRef, SourceError};

/// The pod, and where its annotations are from.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) pod: PodRef,
    pub(crate) annotations: Annotations,
    /// The runtime brought the annotations, so no call was made yet.
    pub(crate) told_by_runtime: bool,
}

/// What `CNI_ARGS` may have where it does not say `IgnoreUnknown`, as every runtime of Kubernetes does.
const KNOWN: [&str; 6] =
    ["K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_UID", "K8S_POD_INFRA_CONTAINER_ID", "IP", "MAC"];

/// `None`: the caller is no Kubernetes runtime, so there is a default network and nothing else.
pub(crate) fn of(config: &Config, at: &Attachment, asking: &mut Asking<'_>) -> Result<Option<Who>, CniError> {
    at.args.require_known(&KNOWN)?;
    let Some(pod) = named(&at.args)? else { return Ok(None) };
    if let Some(annotations) = config.pod_annotations()? {
        return Ok(Some(Who { pod, annotations, told_by_runtime: true }));
    }
    let Some((source, deadline)) = asking.source()? else {
        // No Kubernetes at all: what is on disk is attached, and nobody can ask for more (MLT-CFG-4).
        if config.capabilities.get(POD_ANNOTATIONS) == Some(&true) {
            return Err(unknown_wishes(&pod));
        }
        tracing::warn!(%pod, "the pod's annotations are not read: the runtime passes none, and no `kubeconfig` is configured");
        return Ok(Some(Who { pod, annotations: Annotations::default(), told_by_runtime: false }));
    };
    let found =
        source.pod(&pod, deadline).and_then(|found| found.same_as(&pod).map(|()| found)).map_err(refused)?;
    Ok(Some(known(pod, found)))
}

fn known(pod: PodRef, found: Pod) -> Who {
    // A static pod keeps the UID of its manifest: the API server knows another, its mirror's (F-POD-4).
    let uid = match pod.uid {
        None if !found.annotations.is_static() => found.uid.parse().ok(),
        told => told,
    };
    let pod = PodRef { uid, ..pod };
    Who { pod, annotations: found.annotations, told_by_runtime: false }
}

/// The pod that `CNI_ARGS` names; both names or neither.
fn named(args: &CniArgs) -> Result<Option<PodRef>, CniError> {
    let value = |key| args.get(key).filter(|v| !v.is_empty());
    match (value("K8S_POD_NAMESPACE"), value("K8S_POD_NAME")) {
        (None, None) => Ok(None),
        (Some(namespace), Some(name)) => PodRef::new(namespace, name, value("K8S_POD_UID"))
            .map(Some)
            .map_err(|e| CniError::new(code::INVALID_ENVIRONMENT, format!("CNI_ARGS: {e}"))),
        (None, Some(_)) => Err(half("K8S_POD_NAMESPACE")),
        (Some(_), None) => Err(half("K8S_POD_NAME")),
    }
}

fn half(missing: &str) -> CniError {
    CniError::new(
        code::INVALID_ENVIRONMENT,
        format!("CNI_ARGS names a pod without `{missing}`; the runtime must pass both"),
    )
}

/// The configuration counts on the runtime, which passed nothing: with the default network alone the pod might lack what it
/// asked for, and nothing would say so.
fn unknown_wishes(pod: &PodRef) -> CniError {
    let msg = format!(
        "the runtime passed no annotations of pod `{pod}`, so the networks that it asks for are not known"
    );
    CniError::config(msg).details(
        "fix: set `kubeconfig` in the plugin configuration, so that the pod is read, or remove the capability \
         `io.kubernetes.cri.pod-annotations` if no pod of this node asks for networks",
    )
}

/// A pod that is not there is never given a made-up result (F-POD-3).
fn refused(e: SourceError) -> CniError {
    let again = matches!(e.kind, Kind::NotFound | Kind::Replaced);
    let forbidden = e.kind == Kind::Forbidden;
    let error = CniError::from(e);
    if forbidden {
        return error.details(
            "the pod is read because the container runtime passed none of its annotations, as CRI-O does; run \
             `helm upgrade` with `node.podAnnotations=auto`, which grants the right",
        );
    }
    if again { CniError { code: code::TRY_AGAIN, ..error } } else { error }
}
