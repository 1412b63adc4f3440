//! Who undoes our configuration, as far as it leaves traces, and what stops it. Pure, but for one listing of the folder.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::conflist;
use super::default_network;
use crate::closed::label;

/// What Cilium appends to the names of configurations that are not its own.
const CILIUM: &str = ".cilium_bak";
const CILIUM_TYPE: &str = "cilium-cni";
/// A copy that was put aside longer ago tells nothing of what happens now: Cilium leaves it when it goes.
const COPY_TELLS_SECONDS: u64 = 600;

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

    /// It is not in the folder any more, at least under no name that a runtime reads. `configurations` are those that are.
    pub fn gone<'a>(
        folder: &Path,
        mut configurations: impl Iterator<Item = &'a [u8]>,
        now: SystemTime,
    ) -> Self {
        let has_cilium = configurations.any(|c| default_network::has_type(c, |kind| kind == CILIUM_TYPE));
        let copies = put_aside(folder).into_iter();
        let mut tell = copies.filter(|(_, file)| has_cilium || is_recent(file, now));
        match tell.next() {
            Some((name, _)) => {
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
                "{what}; configure it to write into the default network's own file, which `defaultNetwork.source=existing` follows"
            ),
            Rival::Unknown => format!("{what}; find the program that writes to that folder, and stop it"),
        }
    }
}

/// The files of ours that Cilium has put aside.
fn put_aside(folder: &Path) -> Vec<(String, Metadata)> {
    let ours = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let is_ours = name.strip_suffix(CILIUM).is_some_and(conflist::is_a_name);
        is_ours.then_some((name, entry.metadata().ok()?))
    };
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| ours(entry.ok()?)).collect()
}

/// By when its name changed: what it says was written by us, and earlier.
fn is_recent(file: &Metadata, now: SystemTime) -> bool {
    let renamed = u64::try_from(file.ctime()).unwrap_or_default();
    let age = now.duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(renamed));
    // Where the clock was set back, nobody knows.
    age.map_or(true, |age| age.as_secs() <= COPY_TELLS_SECONDS)
}

/// Takes the copies away once ours is back, so that the next look tells of the next time. Only those that hold words of ours.
pub fn clear(folder: &Path, ours: &[&str]) {
    for (name, _) in put_aside(folder) {
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|content| ours.iter().any(|text| content == text.as_bytes())) {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CILIUMS_OWN: &[u8] = br#"{"cniVersion":"0.3.1","name":"cilium","plugins":[{"type":"cilium-cni"}]}"#;

    fn gone(folder: &Path, configurations: &[&[u8]], later: u64) -> Undone {
        let now = SystemTime::now() + Duration::from_secs(later);
        Undone::gone(folder, configurations.iter().copied(), now)
    }

    // Shows part of: COMPAT-32
    #[test]
    fn a_rival_is_known_by_its_traces_and_named_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let rival = || gone(dir.path(), &[], 0).rival;
        assert_eq!(rival(), Rival::Unknown);
        fs::write(dir.path().join("10-flannel.conflist.cilium_bak"), "{}").unwrap();
        assert_eq!(rival(), Rival::Unknown, "not ours");
        fs::write(dir.path().join("00-manifold.conflist.cilium_bak"), "ours").unwrap();
        let told = gone(dir.path(), &[], 0).with_remedy();
        assert_eq!(rival(), Rival::Cilium);
        assert!(
            told.contains("00-manifold.conflist.cilium_bak") && told.contains("`cni.exclusive=false`"),
            "{told}"
        );
        clear(dir.path(), &["other words"]);
        assert_eq!(rival(), Rival::Cilium, "somebody changed it");
        fs::write(dir.path().join("00-!manifold.conflist.cilium_bak"), "ours before").unwrap();
        clear(dir.path(), &["ours", "ours before"]);
        assert_eq!(rival(), Rival::Unknown);
    }

    /// Cilium is gone, or lets us be, and somebody else removes the configuration.
    #[test]
    fn a_copy_of_long_ago_names_cilium_only_where_cilium_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("00-manifold.conflist.cilium_bak"), "changed by somebody").unwrap();
        let other = br#"{"cniVersion":"1.0.0","name":"x","type":"bridge"}"#;
        let rival = |all: &[&[u8]], later| gone(dir.path(), all, later).rival;
        assert_eq!(rival(&[other], COPY_TELLS_SECONDS / 2), Rival::Cilium);
        assert_eq!(rival(&[other], COPY_TELLS_SECONDS * 2), Rival::Unknown);
        assert_eq!(rival(&[other, CILIUMS_OWN], COPY_TELLS_SECONDS * 2), Rival::Cilium);
        fs::remove_file(dir.path().join("00-manifold.conflist.cilium_bak")).unwrap();
        assert_eq!(rival(&[CILIUMS_OWN], 0), Rival::Unknown, "it has put nothing aside");
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
