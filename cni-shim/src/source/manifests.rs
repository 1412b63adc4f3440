//! A file or folder of YAML as a source.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Nad, NadRef, Pod, PodRef, Published, Source, SourceError};

#[derive(Debug)]
pub struct Manifests {
    path: PathBuf,
}

impl Manifests {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl Source for Manifests {
    fn pod(&mut self, who: &PodRef, _deadline: Instant) -> Result<Pod, SourceError> {
        Err(SourceError::new(super::Kind::NotFound, format!("{who} {:?}", self.path)))
    }

    fn definitions(&mut self, _refs: &[NadRef], _deadline: Instant) -> Result<Vec<Option<Nad>>, SourceError> {
        Ok(vec![])
    }

    fn publish(&mut self, _: &PodRef, _: &str, _: Instant) -> Result<Published, SourceError> {
        Ok(Published::Done)
    }
}
