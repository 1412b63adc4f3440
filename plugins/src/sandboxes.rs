//! Which sandboxes of the node are alive: for rules that name a sandbox, and that may have outlived it.
//!
//! What counts is what root recorded, never what is in a pod. The runtime's own record (libcni's cache) knows every sandbox
//! whose ADD ended, whoever attached it; whoever runs a plugin may know more.

use std::fmt::Debug;
use std::fs;
use std::io;
use std::path::Path;

use manifold_cni::cache::{self, Entry};

/// What is known of the sandboxes of this node.
pub trait Sandboxes: Debug + Send + Sync {
    /// Those whose id begins with `id`, which may have been cut. What cannot be read now may be the record of one that is
    /// alive, so it is an error and not a sandbox that is gone; what was read and makes no sense is the record of nobody.
    ///
    /// # Errors
    /// If the system does not let a record be read.
    fn state(&self, id: &str) -> io::Result<State>;
}

/// What became of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody recorded it, or its end was recorded.
    Gone,
    /// It has a network namespace.
    Alive(Option<PodName>),
}

/// The pod of a sandbox, where the runtime is a Kubernetes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodName {
    pub namespace: String,
    pub name: String,
}

impl PodName {
    /// From `CNI_ARGS`.
    pub fn of<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let text = |key| value(key).filter(|text| !text.is_empty()).map(str::to_owned);
        Some(Self { namespace: text("K8S_POD_NAMESPACE")?, name: text("K8S_POD_NAME")? })
    }
}

/// What libcni remembers for the runtime, below the folder that is given.
#[derive(Clone, Copy, Debug)]
pub struct RuntimeRecord<'a>(pub &'a str);

impl RuntimeRecord<'static> {
    /// Where every runtime has it that does not ask for another place.
    pub const USUAL: Self = Self(cache::DEFAULT_DIR);
}

impl Sandboxes for RuntimeRecord<'_> {
    fn state(&self, id: &str) -> io::Result<State> {
        let found = entries(&Path::new(self.0).join("results"), id)?;
        let alive = found.into_iter().find(|entry| entry.container_id.starts_with(id) && is_there(entry));
        Ok(alive.map_or(State::Gone, |entry| State::Alive(pod(&entry))))
    }
}

/// The name of a file has the whole id in it, so few files are read.
fn entries(folder: &Path, id: &str) -> io::Result<Vec<Entry>> {
    let part = format!("-{id}");
    let mut contents = Vec::new();
    for file in there(fs::read_dir(folder))?.into_iter().flatten() {
        let file = file?;
        if file.file_name().to_string_lossy().contains(&part) {
            contents.extend(there(fs::read(file.path()))?);
        }
    }
    Ok(cache::attachments(contents.iter().map(Vec::as_slice), None))
}

/// What is not there has nothing to tell, and may have gone just now.
fn there<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// A runtime that lost a sandbox never asks for its DEL, and then only the namespace tells. Releases of libcni that do not
/// keep its path leave nothing to look at.
fn is_there(entry: &Entry) -> bool {
    entry.netns.is_empty() || !matches!(Path::new(&entry.netns).try_exists(), Ok(false))
}

fn pod(entry: &Entry) -> Option<PodName> {
    PodName::of(|key| entry.cni_args.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(folder: &Path, id: &str, netns: &str, args: &[(&str, &str)]) {
        let entry = serde_json::json!({"kind": "cniCacheV1", "containerId": id, "ifName": "eth0", "networkName": "blue",
            "netns": netns, "cniArgs": args});
        let path = cache::path(folder, "blue", id, "eth0").unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, entry.to_string()).unwrap();
    }

    // Shows part of: S-24
    #[test]
    fn a_sandbox_is_alive_while_the_runtime_remembers_it_and_its_namespace_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let known = RuntimeRecord(folder.path().to_str().unwrap());
        assert_eq!(known.state("c1").unwrap(), State::Gone, "not even a folder");
        let pod = [("K8S_POD_NAMESPACE", "shop"), ("K8S_POD_NAME", "cart")];
        record(folder.path(), "c1", "/proc/self/ns/net", &pod);
        record(folder.path(), "c2", "/run/netns/of-a-pod-that-is-gone", &pod);
        record(folder.path(), "d3-whole", "", &[]);
        let cart = PodName { namespace: "shop".into(), name: "cart".into() };
        assert_eq!(known.state("c1").unwrap(), State::Alive(Some(cart)));
        assert_eq!(known.state("c2").unwrap(), State::Gone);
        assert_eq!(known.state("d3-wh").unwrap(), State::Alive(None), "an id that was cut");
        assert_eq!(known.state("whole").unwrap(), State::Gone, "the end of another one's id");
        fs::write(folder.path().join("results/blue-c4-eth0"), "torn").unwrap();
        assert_eq!(known.state("c4").unwrap(), State::Gone);
    }

    // Shows part of: S-24
    #[test]
    fn a_record_that_cannot_be_read_now_is_no_sandbox_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let known = RuntimeRecord(folder.path().to_str().unwrap());
        fs::create_dir_all(folder.path().join("results")).unwrap();
        // Nobody can read it, root neither.
        std::os::unix::fs::symlink("blue-c1-eth0", folder.path().join("results/blue-c1-eth0")).unwrap();
        known.state("c1").unwrap_err();
        assert_eq!(known.state("c2").unwrap(), State::Gone);
        let not_a_folder = RuntimeRecord("/proc/self/status");
        not_a_folder.state("c1").unwrap_err();
    }
}
