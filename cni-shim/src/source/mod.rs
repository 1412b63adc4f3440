//! Where pods and definitions come from, and where the status goes.
//!
//! Two implementations of one small trait: the API server ([`kubernetes`]) and a file or folder of YAML
//! ([`manifests`]). Nothing else in the shim knows which it has. Neither opens or reads anything when it is made, so
//! a call that needs no pod costs nothing and cannot fail here. DEL, CHECK, GC and STATUS never hold one.

pub mod confdir;
pub mod error;
pub mod kubernetes;
pub mod manifests;
pub mod pod;

use std::time::Instant;

pub use error::{Kind, SourceError};
pub use kubernetes::ClusterEnvironment;
use manifold_address_store::Claims;
pub use manifold_crds::{Nad, NadRef};
pub use pod::{Annotations, Pod, PodRef};

use crate::config::Config;

/// What became of a status that was to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    Done,
    /// The pod was replaced or is gone: nobody waits for this status any more (F-API-11).
    Superseded(String),
}

/// Where pods and definitions come from, and where the status goes. `deadline` bounds the whole call, retries included.
pub trait Source {
    /// The pod as the API server (or the manifests) has it.
    fn pod(&mut self, who: &PodRef, deadline: Instant) -> Result<Pod, SourceError>;

    /// All definitions at once, in the order asked for; a missing one is `None`.
    fn definitions(&mut self, refs: &[NadRef], deadline: Instant) -> Result<Vec<Option<Nad>>, SourceError>;

    /// Where addresses of `cluster-local` are claimed. `None`: there is no cluster.
    fn claims(&mut self) -> Option<&mut (dyn Claims + 'static)> {
        None
    }

    /// What could not be read, and could be a definition that was asked for and not found: one sentence for each.
    fn unread(&self) -> &[String] {
        &[]
    }

    /// One PATCH of one annotation (`k8s.v1.cni.cncf.io/network-status`), carrying the pod's UID.
    fn publish(
        &mut self,
        who: &PodRef,
        status_json: &str,
        deadline: Instant,
    ) -> Result<Published, SourceError>;
}

/// The source that the configuration names: `manifests`, else `kubeconfig`, else the cluster that the environment
/// tells. `None` is no Kubernetes at all: only what lies on disk can be attached (MLT-CFG-4).
pub fn open(config: &Config, environment: Option<ClusterEnvironment>) -> Option<Box<dyn Source>> {
    if let Some(path) = &config.manifests {
        return Some(Box::new(manifests::Manifests::new(path)));
    }
    let credentials = match &config.kubeconfig {
        Some(path) => kubernetes::Credentials::Kubeconfig(path.clone()),
        None => kubernetes::Credentials::InCluster(environment?),
    };
    Some(Box::new(kubernetes::Kubernetes::new(credentials, &config.state_dir)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> Config {
        Config::parse(format!(r#"{{"name":"m","clusterNetwork":"c"{more}}}"#).as_bytes()).unwrap()
    }

    fn who() -> PodRef {
        PodRef::new("shop", "cart-7", None).unwrap()
    }

    // Proves: MLT-CFG-4
    #[test]
    fn without_kubeconfig_and_cluster_there_is_no_source() {
        assert!(open(&config(""), None).is_none());
        assert!(open(&config(""), Some(ClusterEnvironment::new("127.0.0.1", "1"))).is_some());
    }

    // Proves: MLT-CFG-4
    #[test]
    fn a_bad_kubeconfig_path_is_an_error_of_the_first_call() {
        let config = config(r#","kubeconfig":"/nowhere/kubeconfig""#);
        let mut source = open(&config, None).unwrap();
        let error = source.pod(&who(), Instant::now()).unwrap_err();
        assert_eq!(error.kind, Kind::Credentials);
        assert!(error.what.contains("`/nowhere/kubeconfig`"), "{error}");
    }

    #[test]
    fn manifests_come_before_a_kubeconfig() {
        let config = config(r#","kubeconfig":"/nowhere/kubeconfig","manifests":"/nowhere/manifests""#);
        let error = open(&config, None).unwrap().pod(&who(), Instant::now()).unwrap_err();
        assert!(error.what.contains("`/nowhere/manifests`"), "{error}");
    }
}
