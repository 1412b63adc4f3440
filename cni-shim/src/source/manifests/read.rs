//! Reads the objects of a file or folder, and says of a wrong one in which file, document and line it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use manifold_cni::name::printable;
use manifold_crds::keys::KIND;
use manifold_crds::{Nad, Namespace, PodName};
use serde::Deserialize;
use serde_json::Value;

use super::super::confdir::{cannot, regular};
use super::super::{Annotations, Kind, SourceError};
use super::PodManifest;

const FILE_MOST: u64 = 3 << 20;
const FILES_MOST: usize = 1024;
const SUFFIXES: [&str; 3] = ["yaml", "yml", "json"];

#[derive(Clone, Debug)]
pub(super) enum Object {
    Definition(Box<Nad>),
    Pod(Box<PodManifest>),
}

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
            "manifest `{}`, document {}{line}: {}; correct it, or take the file out of the folder",
            self.file.display(),
            self.document,
            why
        );
        SourceError::new(Kind::BadFile, what)
    }
}

/// Every definition and pod. The same one twice is an error: which of them counts would be chance.
pub(super) fn objects(path: &Path) -> Result<Vec<Object>, SourceError> {
    let mut found = Vec::new();
    let mut first: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in files(path)? {
        for object in of_file(&file)? {
            let key = match &object {
                Object::Definition(nad) => format!("network `{}`", nad.reference),
                Object::Pod(pod) => format!("pod `{}/{}`", pod.namespace, pod.name),
            };
            if let Some(other) = first.insert(key.clone(), file.clone()) {
                let what = format!(
                    "{key} is in `{}` and in `{}`; keep one of them",
                    other.display(),
                    file.display()
                );
                return Err(SourceError::new(Kind::BadFile, what));
            }
            found.push(object);
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

fn of_file(file: &Path) -> Result<Vec<Object>, SourceError> {
    let bytes = regular(file, FILE_MOST).map_err(|e| cannot("cannot be read", file, &e))?;
    let mut found = Vec::new();
    for (n, document) in serde_yaml::Deserializer::from_slice(&bytes).enumerate() {
        let place = Place { file, document: n + 1 };
        let value = Value::deserialize(document).map_err(|e| {
            // The position is told beside the reason, so it is cut off there.
            let text = e.to_string();
            let why = text.split(" at line ").next().unwrap_or_default();
            place.wrong(e.location().map(|l| l.line()), &printable(why))
        })?;
        collect(place, value, &mut found)?;
    }
    Ok(found)
}

/// One object, or the items of a list of any kind.
fn collect(place: Place<'_>, mut value: Value, found: &mut Vec<Object>) -> Result<(), SourceError> {
    // An empty document is what a leading or trailing `---` leaves.
    if value.is_null() {
        return Ok(());
    }
    let Some(object) = value.as_object_mut() else { return Err(place.wrong(None, "it is no object")) };
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(Value::Array(items)) = object.remove("items").filter(|_| kind.ends_with("List")) {
        // Kubernetes has no list of lists: items are not looked into again.
        return items.into_iter().try_for_each(|item| single(place, item, found));
    }
    single(place, value, found)
}

fn single(place: Place<'_>, value: Value, found: &mut Vec<Object>) -> Result<(), SourceError> {
    match value.get("kind").and_then(Value::as_str) {
        Some(KIND) => found.push(Object::Definition(Box::new(definition(place, value)?))),
        Some("Pod") => found.push(Object::Pod(Box::new(pod(place, value)?))),
        Some(_) => {}
        None => return Err(place.wrong(None, "an object has no `kind`")),
    }
    Ok(())
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
    let invalid = |e: serde_json::Error| place.wrong(None, &format!("the pod is not valid: {e}"));
    let Metadata { namespace, name, uid, annotations } =
        serde_json::from_value::<Manifest>(value).map_err(invalid)?.metadata;
    let namespace = match namespace {
        Some(namespace) => namespace,
        None => "default".parse().expect("it is a label"),
    };
    Ok(PodManifest { namespace, name, uid: uid.unwrap_or_default(), annotations })
}
