//! The pod, as far as the plan needs it: who it is and what it asks for.

use std::fmt;

use manifold_crds::name::BadName;
use manifold_crds::{Namespace, PodName, PodUid};

/// A pod and its annotations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: PodName,
    /// Its UID, where the runtime passed one.
    pub uid: Option<PodUid>,
    /// The annotation `k8s.v1.cni.cncf.io/networks`, as it stands there.
    pub networks: Option<String>,
    /// The annotation `v1.multus-cni.io/default-network`.
    pub default_network: Option<String>,
}

impl Pod {
    /// A pod that asks for nothing yet. An empty UID is none.
    ///
    /// # Errors
    /// If a name is not valid.
    pub fn new(namespace: &str, name: &str, uid: Option<&str>) -> Result<Self, BadName> {
        Ok(Self {
            namespace: namespace.parse()?,
            name: name.parse()?,
            uid: uid.filter(|u| !u.is_empty()).map(str::parse).transpose()?,
            networks: None,
            default_network: None,
        })
    }

    /// The same pod with these annotations.
    #[must_use]
    pub fn with_annotations(mut self, networks: Option<&str>, default_network: Option<&str>) -> Self {
        self.networks = networks.map(str::to_owned);
        self.default_network = default_network.map(str::to_owned);
        self
    }
}

impl fmt::Display for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
