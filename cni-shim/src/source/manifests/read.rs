//! Reads the objects of a file or folder, and says of a wrong one in which file, document and line it is.
//!
//! One that is wrong stops nobody but the pods that use it (COMPAT-8): it is kept with its name, as far as that can be read,
//! beside the good ones.

use std::path::{Path, PathBuf};

use manifold_cni::name::printable;
use manifold_crds::keys::KIND;
use manifold_crds::{Nad, Namespace, PodName};
use manifold_plan::annotation;
use manifold_plan::check_config::Severity;
use serde::Deserialize;
use serde_json::Value;

use super::super::confdir::{cannot, regular};
use super::super::{Annotations, Kind, SourceError};
use super::PodManifest;
use super::contents::{Contents, Key, Object};
use super::documents;

const FILE_MOST: u64 = 3 << 20;
const FILES_MOST: usize = 1024;
const SUFFIXES: [&str; 3] = ["yaml", "yml", "json"];

/// Where an object stands, for messages.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a Path,
    /// Counts from 1.
    document: usize,
}

impl Place<'_> {
    fn wrong(&self, line: Option<usize>, why: &str) -> SourceError {
        let line = line.map(|l| format!(", line {l}")).unwrap_or_default();
        let what = format!(
            "manifest `{}`, document {}{line}: {}; correct it, or remove the file from the folder",
            self.file.display(),
            self.document,
            why
        );
        SourceError::new(Kind::BadFile, what)
    }
}

/// Everything that the file or folder holds. An error is one of the whole: it is not there, or cannot be listed.
pub(super) fn contents(path: &Path) -> Result<Contents, SourceError> {
    let mut found = Contents::default();
    for file in files(path)? {
        match regular(&file, FILE_MOST) {
            Ok(bytes) => of_file(&file, &bytes, &mut found),
            Err(e) => found.broken(None, cannot("cannot be read", &file, &e)),
        }
    }
    Ok(found)
}

/// The file itself, or the YAML files of the folder by name. Hidden ones are editors' and ours.
fn files(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let meta = std::fs::metadata(path).map_err(|e| cannot("is not there", path, &e))?;
    if !meta.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|e| cannot("cannot be listed", path, &e))?;
    let hidden = |p: &Path| p.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
    let mut files: Vec<PathBuf> = (entries.filter_map(|e| Some(e.ok()?.path())))
        .filter(|p| p.extension().is_some_and(|x| SUFFIXES.iter().any(|s| x == *s)))
        .filter(|p| p.is_file() && !hidden(p))
        .collect();
    files.sort();
    if files.len() > FILES_MOST {
        let what =
            format!("folder `{}` holds {} manifests; keep at most {FILES_MOST}", path.display(), files.len());
        return Err(SourceError::new(Kind::BadFile, what));
    }
    Ok(files)
}

fn of_file(file: &Path, bytes: &[u8], found: &mut Contents) {
    for (n, document) in documents::read(bytes).into_iter().enumerate() {
        let place = Place { file, document: n + 1 };
        match document {
            Ok(value) => collect(place, value, found),
            Err(e) => found.broken(None, place.wrong(e.line, &printable(&e.why))),
        }
    }
}

/// One object, or the items of a list of any kind.
fn collect(place: Place<'_>, mut value: Value, found: &mut Contents) {
    // An empty document is what a leading or trailing `---` leaves.
    if value.is_null() {
        return;
    }
    let Some(object) = value.as_object_mut() else {
        return found.broken(None, place.wrong(None, "it is not an object"));
    };
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    match object.remove("items").filter(|_| kind.ends_with("List")) {
        // Kubernetes has no list of lists: items are not looked into again.
        Some(Value::Array(items)) => items.into_iter().for_each(|item| single(place, item, found)),
        _ => single(place, value, found),
    }
}

fn single(place: Place<'_>, value: Value, found: &mut Contents) {
    let key = Key::of(&value);
    let read = match value.get("kind").and_then(Value::as_str) {
        Some(KIND) => definition(place, value).map(|nad| Object::Definition(Box::new(nad))),
        Some("Pod") => pod(place, value).map(|pod| Object::Pod(Box::new(pod))),
        Some(_) => return,
        None => Err(place.wrong(None, "an object has no `kind`")),
    };
    match read {
        Ok(object) => found.add(object, place.file),
        Err(error) => found.broken(key, error),
    }
}

fn definition(place: Place<'_>, value: Value) -> Result<Nad, SourceError> {
    serde_json::from_value(value).map_err(|e| place.wrong(None, &format!("the definition is not valid: {e}")))
}

fn pod(place: Place<'_>, value: Value) -> Result<PodManifest, SourceError> {
    #[derive(Deserialize)]
    struct Manifest {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        namespace: Option<Namespace>,
        name: PodName,
        uid: Option<String>,
        #[serde(default)]
        annotations: Annotations,
    }
    let slips = value.get("metadata").map(annotation::of_pod_metadata).unwrap_or_default();
    if let Some(slip) = slips.iter().find(|slip| slip.severity == Severity::Error) {
        return Err(place.wrong(None, &format!("the pod is not valid: {}", slip.refusal)));
    }
    let invalid = |e: serde_json::Error| place.wrong(None, &format!("the pod is not valid: {e}"));
    let Metadata { namespace, name, uid, annotations } =
        serde_json::from_value::<Manifest>(value).map_err(invalid)?.metadata;
    let namespace = match namespace {
        Some(namespace) => namespace,
        None => "default".parse().expect("it is a label"),
    };
    Ok(PodManifest { namespace, name, uid: uid.unwrap_or_default(), annotations })
}
