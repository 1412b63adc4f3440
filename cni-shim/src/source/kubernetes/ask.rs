//! What is asked of the API server, and what an answer says before anyone reads its object.

use std::fmt::Display;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request};
use kube::client::Body as HttpBody;
use kube::core::Status;
use manifold_addresses::api::ResourceVersion;
use manifold_crds::ipam::{self, BlockSpec, PoolName};
use manifold_crds::{ClaimName, NadRef, Namespace, keys};

use super::super::{Kind, PodRef, SourceError};
use super::call::Setback;

/// Of a pod only the metadata is asked for: it is a fraction of the object.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const IPAM_CLAIMS: &str = "ipamclaims";
const AGENT: &str = concat!("manifold/", env!("CARGO_PKG_VERSION"));

/// etcd takes objects of 1.5 MiB; nothing that a server may send is larger than this.
const OBJECT_MOST: usize = 3 << 20;

pub(super) struct Ask {
    pub(super) verb: &'static str,
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    namespace: String,
    /// For messages: `pod shop/cart-7`.
    object: String,
    path: String,
    accept: &'static str,
    write: Option<Body>,
}

/// What is written: how, and in which form.
struct Body {
    method: Method,
    content: &'static str,
    bytes: Vec<u8>,
}

impl Ask {
    pub(super) fn pod(who: &PodRef) -> Self {
        Self {
            verb: "get",
            group: "",
            resource: "pods",
            namespace: who.namespace.to_string(),
            object: format!("pod `{who}`"),
            path: format!("/api/v1/namespaces/{}/pods/{}", who.namespace, who.name),
            accept: METADATA,
            write: None,
        }
    }

    pub(super) fn definition(nad: &NadRef) -> Self {
        let (group, plural) = (keys::GROUP, keys::PLURAL);
        Self {
            verb: "get",
            group,
            resource: plural,
            namespace: nad.namespace.to_string(),
            object: format!("network `{nad}`"),
            path: format!(
                "/apis/{group}/{}/namespaces/{}/{plural}/{}",
                keys::VERSION,
                nad.namespace,
                nad.name
            ),
            accept: JSON,
            write: None,
        }
    }

    /// The AddressBlock of that name.
    pub(super) fn block(name: &str) -> Self {
        let (kind, plural) = (ipam::block::KIND, ipam::block::PLURAL);
        Self::of_addresses(format!("{kind} `{name}`"), plural, &format!("{plural}/{name}"))
    }

    pub(super) fn pool(name: &PoolName) -> Self {
        let (kind, plural) = (ipam::pool::KIND, ipam::pool::PLURAL);
        Self::of_addresses(format!("{kind} `{name}`"), plural, &format!("{plural}/{name}"))
    }

    pub(super) fn ipam_claim(namespace: &Namespace, name: &ClaimName) -> Self {
        Self {
            verb: "get",
            group: keys::GROUP,
            resource: IPAM_CLAIMS,
            namespace: namespace.to_string(),
            object: format!("IPAMClaim `{namespace}/{name}`"),
            path: format!("/apis/{}/v1alpha1/namespaces/{namespace}/{IPAM_CLAIMS}/{name}", keys::GROUP),
            accept: JSON,
            write: None,
        }
    }

    /// The status of a claim that was read, with its version.
    pub(super) fn write_claim(namespace: &Namespace, name: &ClaimName, object: &serde_json::Value) -> Self {
        let read = Self::ipam_claim(namespace, name);
        let bytes = object.to_string().into_bytes();
        Self {
            verb: "update",
            resource: "ipamclaims/status",
            path: format!("{}/status", read.path),
            write: Some(Body { method: Method::PUT, content: JSON, bytes }),
            ..read
        }
    }

    fn of_addresses(object: String, resource: &'static str, path: &str) -> Self {
        Self {
            verb: "get",
            group: ipam::GROUP,
            resource,
            namespace: String::new(),
            object,
            path: format!("/apis/{}/{path}", ipam::API_VERSION),
            accept: JSON,
            write: None,
        }
    }

    /// A create, or a replace of the version that was read.
    pub(super) fn write_block(spec: &BlockSpec, version: Option<&ResourceVersion>) -> Self {
        let name = spec.object_name();
        let mut metadata = serde_json::json!({"name": name, "labels": spec.labels()});
        if let (Some(version), Some(object)) = (version, metadata.as_object_mut()) {
            object.insert("resourceVersion".to_owned(), version.0.as_str().into());
        }
        let block = serde_json::json!({
            "apiVersion": ipam::API_VERSION, "kind": ipam::block::KIND, "metadata": metadata, "spec": spec,
        });
        let bytes = block.to_string().into_bytes();
        let read = Self::block(&name);
        match version {
            Some(_) => Self {
                verb: "update",
                write: Some(Body { method: Method::PUT, content: JSON, bytes }),
                ..read
            },
            None => Self {
                verb: "create",
                path: format!("/apis/{}/{}", ipam::API_VERSION, ipam::block::PLURAL),
                write: Some(Body { method: Method::POST, content: JSON, bytes }),
                ..read
            },
        }
    }

    /// One annotation, by the subresource that nodes may write. The UID makes the server refuse a pod that was
    /// replaced meanwhile.
    pub(super) fn status(who: &PodRef, key: &str, value: &str) -> Self {
        let mut metadata = serde_json::json!({"annotations": {key: value}});
        if let (Some(uid), Some(object)) = (&who.uid, metadata.as_object_mut()) {
            object.insert("uid".to_owned(), uid.as_str().into());
        }
        let (namespace, name) = (&who.namespace, &who.name);
        Self {
            verb: "patch",
            resource: "pods/status",
            path: format!("/api/v1/namespaces/{namespace}/pods/{name}/status?fieldManager=manifold-shim"),
            write: Some(Body {
                method: Method::PATCH,
                content: MERGE_PATCH,
                bytes: serde_json::json!({"metadata": metadata}).to_string().into_bytes(),
            }),
            ..Self::pod(who)
        }
    }

    pub(super) fn request(&self) -> Request<HttpBody> {
        let bytes = self.write.as_ref().map(|body| body.bytes.clone());
        let mut request = Request::new(HttpBody::from(bytes.unwrap_or_default()));
        *request.uri_mut() = self.path.parse().expect("the path is built from checked names");
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static(self.accept));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(body) = &self.write {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(body.content));
            *request.method_mut() = body.method.clone();
        }
        request
    }

    /// How much of the answer's body is wanted. That a write was done is in its status: the object that comes back is
    /// not read.
    pub(super) fn body_most(&self, success: bool) -> usize {
        if success && self.write.is_some() { 0 } else { OBJECT_MOST }
    }

    pub(super) fn unreachable(&self, server: &str, why: &dyn Display) -> SourceError {
        let what = format!(
            "the API server `{server}` gave no usable answer to `{}` of {} ({why}); \
             check that the server runs and that the kubeconfig has its address",
            self.verb, self.object
        );
        SourceError::new(Kind::Unreachable, what)
    }

    pub(super) fn garbage(&self, why: &dyn Display) -> SourceError {
        let what = format!(
            "the answer of the API server to `{}` of {} cannot be read ({why}); check the proxies and load balancers between this node and it",
            self.verb, self.object
        );
        SourceError::new(Kind::Malformed, what)
    }

    pub(super) fn too_large(&self) -> SourceError {
        let what = format!(
            "the answer of the API server to `{}` of {} is larger than {OBJECT_MOST} bytes; make the object smaller",
            self.verb, self.object
        );
        SourceError::new(Kind::TooLarge, what)
    }

    pub(super) fn unauthorized(&self, server: &str) -> SourceError {
        let what = format!(
            "the API server `{server}` refuses the token of this node (401 for `{}` of {}); \
             the node agent renews it within seconds, so check that it runs on this node",
            self.verb, self.object
        );
        SourceError::new(Kind::Unauthorized, what)
    }

    fn forbidden(&self, said: &str) -> SourceError {
        let what = format!(
            "the API server does not allow `{}` of `{}`{} (it says: {said}); \
             grant it by the rule `{{apiGroups: [\"{}\"], resources: [\"{}\"], verbs: [\"{}\"]}}`",
            self.verb,
            self.resource,
            match self.namespace.as_str() {
                "" => String::new(),
                namespace => format!(" in namespace `{namespace}`"),
            },
            self.group,
            self.resource,
            self.verb
        );
        SourceError::new(Kind::Forbidden, what)
    }

    fn throttled(&self, status: u16) -> SourceError {
        let what = format!(
            "the API server is too busy for `{}` of {} ({status}); check its priority and fairness settings",
            self.verb, self.object
        );
        SourceError::new(Kind::Throttled, what)
    }

    fn refused(&self, status: u16, said: &str) -> SourceError {
        let what = format!("the API server refuses `{}` of {} ({status}: {said})", self.verb, self.object);
        SourceError::new(Kind::Refused, what)
    }
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Success, or what the status says instead. 401 and 404 have been looked at before.
    pub(super) fn ok(&self, ask: &Ask) -> Result<(), Setback> {
        match self.status {
            200..=299 => Ok(()),
            403 => Err(ask.forbidden(&self.message()).into()),
            429 | 503 => Err(Setback { error: ask.throttled(self.status), wait: self.retry_after }),
            500..=599 => {
                let refused = ask.refused(self.status, &self.message());
                Err(SourceError { kind: Kind::Unreachable, ..refused }.into())
            }
            status => Err(ask.refused(status, &self.message()).into()),
        }
    }

    pub(super) fn kubernetes_status(&self) -> Option<Status> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What the server says in words, if it is the API server that answers.
    pub(super) fn message(&self) -> String {
        self.kubernetes_status()
            .map(|s| s.message)
            .filter(|m| !m.is_empty())
            .unwrap_or("no reason given".to_owned())
    }

    /// The pod has another UID than the patch: 422 names the field, 409 is the storage's precondition.
    pub(super) fn other_uid(&self) -> bool {
        let Some(status) = self.kubernetes_status() else { return false };
        let causes = status.details.map(|d| d.causes).unwrap_or_default();
        causes.iter().any(|c| c.field == "metadata.uid") || status.message.contains("UID in precondition")
    }
}
