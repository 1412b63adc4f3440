//! A file or folder of YAML as the source: for hosts without a cluster, for podman or nerdctl, and for the demo.
//!
//! Definitions and pods are read from it, several in one file and lists of them too, each call anew. Objects of other
//! kinds are passed over, so a folder of ordinary manifests works. Statuses are written beside it, one file per pod:
//! into `.status` of a folder, into `<file>.status` of a file.

mod read;
mod status;

use std::path::{Path, PathBuf};
use std::time::Instant;

use manifold_crds::{Namespace, PodName};

use super::{Annotations, Kind, Nad, NadRef, Pod, PodRef, Published, Source, SourceError};
use read::Object;

#[derive(Debug)]
pub struct Manifests {
    path: PathBuf,
}

impl Manifests {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    fn find(&self, who: &PodRef) -> Result<Option<Pod>, SourceError> {
        let is_it = |pod: &PodManifest| pod.namespace == who.namespace && pod.name == who.name;
        let found = read::objects(&self.path)?.into_iter().find_map(|object| match object {
            Object::Pod(pod) if is_it(&pod) => Some(pod),
            _ => None,
        });
        Ok(found.map(|pod| Pod {
            namespace: pod.namespace.to_string(),
            name: pod.name.to_string(),
            uid: pod.uid,
            annotations: pod.annotations,
        }))
    }
}

/// A pod as a manifest has it; most have no UID.
#[derive(Clone, Debug)]
struct PodManifest {
    namespace: Namespace,
    name: PodName,
    uid: String,
    annotations: Annotations,
}

impl Source for Manifests {
    fn pod(&mut self, who: &PodRef, _: Instant) -> Result<Pod, SourceError> {
        self.find(who)?.ok_or_else(|| {
            let what = format!("pod `{who}` is not in the manifests `{}`; add it there", self.path.display());
            SourceError::new(Kind::NotFound, what)
        })
    }

    fn definitions(&mut self, refs: &[NadRef], _: Instant) -> Result<Vec<Option<Nad>>, SourceError> {
        if refs.is_empty() {
            return Ok(Vec::new());
        }
        let objects = read::objects(&self.path)?;
        let of = |wanted: &NadRef| {
            objects.iter().find_map(|object| match object {
                Object::Definition(nad) if nad.reference == *wanted => Some((**nad).clone()),
                _ => None,
            })
        };
        Ok(refs.iter().map(of).collect())
    }

    fn publish(&mut self, who: &PodRef, status_json: &str, _: Instant) -> Result<Published, SourceError> {
        match self.find(who)? {
            None => return Ok(Published::Superseded(format!("pod `{who}` is gone from the manifests"))),
            Some(pod) if pod.same_as(who).is_err() => {
                return Ok(Published::Superseded(format!("pod `{who}` was replaced by another of its name")));
            }
            Some(_) => {}
        }
        status::write(&self.path, who, status_json)?;
        Ok(Published::Done)
    }
}

#[cfg(test)]
mod tests;
