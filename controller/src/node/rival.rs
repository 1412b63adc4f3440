//! Who undoes our configuration, as far as it leaves traces, and what stops it. Pure, but for one listing of the folder.

use std::fs;
use std::path::Path;

use super::conflist;
use super::default_network;
use crate::closed::label;

/// What Cilium appends to the names of configurations that are not its own.
const CILIUM: &str = ".cilium_bak";

label! {
    /// Who undid it.
    pub enum Rival {
        Cilium,
        Istio,
        Linkerd,
        Unknown,
    }
}

/// What was done to our configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Undone {
    pub what: String,
    pub rival: Rival,
}

impl Undone {
    pub fn new(what: &str) -> Self {
        Self { what: what.to_owned(), rival: Rival::Unknown }
    }

    /// It is not in the folder any more, at least under no name that a runtime reads.
    pub fn gone(folder: &Path) -> Self {
        match put_aside(folder) {
            Some(name) => {
                Self { what: format!("it was renamed to `{name}`, as Cilium does"), rival: Rival::Cilium }
            }
            None => Self::new("it was removed or renamed"),
        }
    }

    /// It says something else.
    pub fn changed(content: &[u8]) -> Self {
        let has = |kind: &str| default_network::has_type(content, |found| found == kind);
        let (name, rival) = if has("istio-cni") {
            ("Istio CNI", Rival::Istio)
        } else if has("linkerd-cni") {
            ("Linkerd CNI", Rival::Linkerd)
        } else {
            return Self::new("its content was changed");
        };
        Self { what: format!("{name} has put its plugin into it"), rival }
    }

    /// What was wrong, and what a person can do about it.
    pub fn with_remedy(&self) -> String {
        let Self { what, rival } = self;
        match rival {
            Rival::Cilium => format!("{what}; set `cni.exclusive=false` in the values of Cilium"),
            Rival::Istio | Rival::Linkerd => format!(
                "{what}; have it write into the default network's own file, which `defaultNetwork.source=existing` follows"
            ),
            Rival::Unknown => format!("{what}; see who else writes to that folder, and have it stop"),
        }
    }
}

/// The file of ours that Cilium has put aside.
fn put_aside(folder: &Path) -> Option<String> {
    let names = fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names = names.filter(|name| name.strip_suffix(CILIUM).is_some_and(conflist::is_a_name));
    names.next()
}

/// Takes the copy away once ours is back, so that the next look at it tells of the next time. Only one that holds our own words.
pub fn clear(folder: &Path, ours: &str) {
    if let Some(name) = put_aside(folder) {
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|content| content == ours.as_bytes()) {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Shows part of: COMPAT-32
    #[test]
    fn a_rival_is_known_by_its_traces_and_named_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Undone::gone(dir.path()).rival, Rival::Unknown);
        fs::write(dir.path().join("10-flannel.conflist.cilium_bak"), "{}").unwrap();
        assert_eq!(Undone::gone(dir.path()).rival, Rival::Unknown, "not ours");
        fs::write(dir.path().join("00-manifold.conflist.cilium_bak"), "ours").unwrap();
        let undone = Undone::gone(dir.path());
        let told = undone.with_remedy();
        assert_eq!(undone.rival, Rival::Cilium);
        assert!(
            told.contains("00-manifold.conflist.cilium_bak") && told.contains("`cni.exclusive=false`"),
            "{told}"
        );
        clear(dir.path(), "other words");
        assert_eq!(Undone::gone(dir.path()).rival, Rival::Cilium, "somebody changed it");
        clear(dir.path(), "ours");
        assert_eq!(Undone::gone(dir.path()).rival, Rival::Unknown);
    }

    #[test]
    fn a_mesh_that_chains_itself_is_named() {
        let with = |kind: &str| {
            let text = format!(
                r#"{{"cniVersion":"1.0.0","name":"manifold","plugins":[{{"type":"manifold"}},{{"type":"{kind}"}}]}}"#
            );
            Undone::changed(text.as_bytes())
        };
        assert_eq!((with("istio-cni").rival, with("linkerd-cni").rival), (Rival::Istio, Rival::Linkerd));
        assert!(with("istio-cni").with_remedy().contains("the default network's own file"));
        assert_eq!((with("tuning").rival, Undone::changed(b"{torn").rival), (Rival::Unknown, Rival::Unknown));
    }
}
