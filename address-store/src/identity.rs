//! Who this node is: its Node object by name and UID. The node role writes it beside the shim's token; a Node object that was
//! created again has another UID, and none of the old one's addresses.

use std::path::{Path, PathBuf};

use manifold_addresses::file::{open, seal};
use manifold_crds::ipam::{NodeName, NodeUid};

use crate::{StoreError, files};

const KIND: &str = "identity";
const NAME: &str = "identity";

/// A Node object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// `metadata.name`.
    pub node: NodeName,
    /// `metadata.uid`.
    pub uid: NodeUid,
}

/// Where it stands.
pub fn path(state_dir: &Path) -> PathBuf {
    folder(state_dir).join(NAME)
}

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("credentials")
}

impl NodeIdentity {
    /// As it was written.
    ///
    /// # Errors
    /// If it is missing or damaged. The node agent writes it again.
    pub fn read(state_dir: &Path) -> Result<Self, StoreError> {
        let path = path(state_dir);
        let no = |why: String| StoreError::NoIdentity { path: path.clone(), why };
        let bytes = files::read(&path)?.ok_or_else(|| no("there is no such file".to_owned()))?;
        let lines = open(KIND, &bytes).map_err(|damage| no(damage.to_string()))?;
        let value = |n: usize, key: &str| lines.get(n).and_then(|line| line.strip_prefix(key));
        let (Some(node), Some(uid)) = (value(0, "node "), value(1, "uid ")) else {
            return Err(no("a line is missing".to_owned()));
        };
        let bad = |e: manifold_cni::name::BadName| no(e.to_string());
        Ok(Self { node: node.parse().map_err(bad)?, uid: uid.parse().map_err(bad)? })
    }

    /// Writes it durably. One writer at a time: the node role.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&self, state_dir: &Path) -> Result<(), StoreError> {
        files::make_folder(&folder(state_dir))?;
        files::put(
            &folder(state_dir),
            ".new-identity",
            NAME,
            &seal(KIND, &[format!("node {}", self.node), format!("uid {}", self.uid)]),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_the_node_is_comes_back_and_never_half_of_it() {
        let state = tempfile::tempdir().unwrap();
        assert!(matches!(NodeIdentity::read(state.path()), Err(StoreError::NoIdentity { .. })));
        let me = NodeIdentity { node: "worker-7".parse().unwrap(), uid: "0f1e-2d".parse().unwrap() };
        me.write(state.path()).unwrap();
        assert_eq!(NodeIdentity::read(state.path()).unwrap(), me);
        let whole = std::fs::read(path(state.path())).unwrap();
        for end in 0..whole.len() {
            std::fs::write(path(state.path()), &whole[..end]).unwrap();
            assert!(NodeIdentity::read(state.path()).is_err(), "cut at {end}");
        }
    }
}
