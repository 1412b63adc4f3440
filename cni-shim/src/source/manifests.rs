//! A file or folder of YAML as the source: for hosts without a cluster, for podman or nerdctl, and for the demo.
//!
//! Definitions and pods are read from it, several in one file and lists of them too, each call anew. Objects of other
//! kinds are passed over, so a folder of ordinary manifests works, and a broken object stops only the pods that use it. Statuses are written beside it, one file per pod:
//! into `.status` of a folder, into `<file>.status` of a file.

mod contents;
mod documents;
mod read;
mod status;

use std::path::{Path, PathBuf};
use std::time::Instant;

use manifold_crds::{Namespace, PodName};

use super::{Annotations, Kind, Nad, NadRef, Pod, PodRef, Published, Source, SourceError};
use contents::Contents;

#[derive(Debug)]
pub struct Manifests {
    path: PathBuf,
    /// The log has what is wrong with them.
    logged: bool,
    /// What could be a definition that was asked for and not found.
    unread: Vec<String>,
}

impl Manifests {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), logged: false, unread: Vec::new() }
    }

    /// Reads all files again, and logs each problem once per call.
    fn read(&mut self) -> Result<Contents, SourceError> {
        let found = read::contents(&self.path)?;
        if !self.logged {
            found.errors().for_each(|error| tracing::warn!("skipped: {error}"));
            self.logged = true;
        }
        Ok(found)
    }

    fn find(&mut self, who: &PodRef) -> Result<Option<Pod>, SourceError> {
        let found = self.read()?;
        if let Some(pod) = found.pod(who)? {
            return Ok(Some(Pod {
                namespace: pod.namespace.to_string(),
                name: pod.name.to_string(),
                uid: pod.uid.clone(),
                annotations: pod.annotations.clone(),
            }));
        }
        // It may be the one.
        match found.nameless().next() {
            None => Ok(None),
            Some(error) => {
                let what = format!("pod `{who}` is in no manifest that can be read; {}", error.what);
                Err(SourceError::new(error.kind, what))
            }
        }
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
        let found = self.read()?;
        let asked: Result<Vec<Option<Nad>>, SourceError> =
            refs.iter().map(|reference| Ok(found.definition(reference)?.cloned())).collect();
        self.unread = found.nameless().map(|error| error.what.clone()).collect();
        asked
    }

    fn unread(&self) -> &[String] {
        &self.unread
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
