//! What was put into the node's CNI folders, and what lay there before, so that all of it can be given back.
//!
//! The node agent writes the record before it changes anything (`.installed`), and keeps a copy of every file that it
//! replaces (`.found/`). Giving back is done by the node agent or by hand (`manifold uninstall`), from the record alone. A
//! file that somebody changed since is somebody else's: it is left, and named.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::content::{Content, Sum};
use crate::durable::{put, put_file};
use crate::entry::Stage;
use crate::{Ledger, LedgerError};

const RECORD: &str = ".installed";
const FOUND: &str = ".found";
/// Below the state folder, gone with the installation.
const OURS: [&str; 2] = ["credentials", "cluster-wide-network.json"];

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    pub bin_dir: PathBuf,
    pub conf_dir: PathBuf,
    /// Everything that we put there.
    pub files: Vec<Put>,
    /// The configuration as it was written last: what is restored while the node cannot say what it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflist: Option<String>,
}

/// One file of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    pub folder: Folder,
    pub name: String,
    /// What lay under this name before: the number of its copy, and its mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
    /// Checksum and length of what we wrote last.
    pub sum: u32,
    pub length: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub copy: u32,
    pub mode: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Folder {
    Bin,
    Conf,
}

/// What was given back, and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenBack {
    pub removed: Vec<PathBuf>,
    pub restored: Vec<PathBuf>,
    /// One sentence each.
    pub left: Vec<String>,
}

impl Installed {
    /// `None`: nothing was installed from here, or all of it was given back.
    pub fn read(state_dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(state_dir.join(RECORD)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Durable when it returns.
    pub fn save(&self, state_dir: &Path) -> io::Result<()> {
        put(state_dir, RECORD, &serde_json::to_vec_pretty(self).map_err(io::Error::from)?, 0o600)
    }

    pub fn of(&self, folder: Folder, name: &str) -> Option<&Put> {
        self.files.iter().find(|put| put.folder == folder && put.name == name)
    }

    /// Notes that `content` is about to be put under this name, and keeps a copy of what lies there if it is not ours.
    /// True: the record changed, and has to be saved before the file is touched.
    pub fn note(
        &mut self,
        state_dir: &Path,
        root: &Path,
        folder: Folder,
        name: &str,
        content: Content<'_>,
    ) -> io::Result<bool> {
        let Sum { sum, length } = content.sum()?;
        if let Some(known) = self.files.iter_mut().find(|p| p.folder == folder && p.name == name) {
            let is_other = (known.sum, known.length) != (sum, length);
            (known.sum, known.length) = (sum, length);
            return Ok(is_other);
        }
        let found = self.keep(state_dir, &below(root, self.folder(folder)).join(name))?;
        self.files.push(Put { folder, name: name.to_owned(), found, sum, length });
        Ok(true)
    }

    /// A file of ours has another name now.
    pub fn renamed(&mut self, folder: Folder, from: &str, to: &str) {
        if let Some(known) = self.files.iter_mut().find(|p| p.folder == folder && p.name == from) {
            known.name = to.to_owned();
        }
    }

    pub fn folder(&self, folder: Folder) -> &Path {
        match folder {
            Folder::Bin => &self.bin_dir,
            Folder::Conf => &self.conf_dir,
        }
    }

    fn keep(&self, state_dir: &Path, path: &Path) -> io::Result<Option<Found>> {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = match fs::metadata(path) {
            Ok(there) => there.permissions().mode() & 0o7777,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let copy = self.files.iter().filter_map(|p| p.found).map(|f| f.copy + 1).max().unwrap_or(0);
        crate::durable::folder(&state_dir.join(FOUND), 0o700)?;
        put_file(&state_dir.join(FOUND), &copy.to_string(), path, 0o600)?;
        Ok(Some(Found { copy, mode }))
    }

    /// Gives the folders back. The configuration goes first, so that no pod reaches an executable that is gone. What
    /// could not be given back stays in the record, and can be tried again.
    pub fn give_back(mut self, state_dir: &Path, root: &Path) -> io::Result<GivenBack> {
        let mut done = GivenBack::default();
        let mut left = Vec::new();
        let mut files = std::mem::take(&mut self.files);
        files.sort_by_key(|put| put.folder != Folder::Conf);
        for put in files {
            let path = below(root, self.folder(put.folder)).join(&put.name);
            if let Err(why) = give_back_one(&put, &path, state_dir, &mut done) {
                done.left.push(format!(
                    "`{}` cannot be restored ({why}); fix that and uninstall again",
                    path.display()
                ));
                left.push(put);
            }
        }
        self.take_renamed_away(&below(root, &self.conf_dir), &mut done);
        if left.is_empty() {
            forget(state_dir)?;
        } else {
            self.files = left;
            self.save(state_dir)?;
        }
        Ok(done)
    }

    /// A rival may have put our configuration aside under a name of its own.
    fn take_renamed_away(&self, folder: &Path, done: &mut GivenBack) {
        let Some(conflist) = &self.conflist else { return };
        for path in fs::read_dir(folder).into_iter().flatten().filter_map(|e| Some(e.ok()?.path())) {
            let same = path.is_file()
                && path.metadata().is_ok_and(|m| m.len() == conflist.len() as u64)
                && fs::read(&path).is_ok_and(|bytes| bytes == conflist.as_bytes());
            if same && fs::remove_file(&path).is_ok() {
                done.removed.push(path);
            }
        }
    }
}

impl Put {
    fn is(&self, found: Sum) -> bool {
        found == Sum { sum: self.sum, length: self.length }
    }
}

fn give_back_one(put_: &Put, path: &Path, state_dir: &Path, done: &mut GivenBack) -> io::Result<()> {
    let now = match Content::File(path).sum() {
        Ok(sum) => Some(sum),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    if now.is_some_and(|found| !put_.is(found)) {
        done.left
            .push(format!("`{}` was changed after the installation and was left as it is", path.display()));
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    match put_.found {
        Some(found) => {
            let copy = state_dir.join(FOUND).join(found.copy.to_string());
            put_file(folder, &put_.name, &copy, found.mode)?;
            done.restored.push(path.to_owned());
        }
        None if now.is_some() => {
            fs::remove_file(path)?;
            done.removed.push(path.to_owned());
        }
        None => {}
    }
    Ok(())
}

fn forget(state_dir: &Path) -> io::Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    for ours in OURS {
        let path = state_dir.join(ours);
        gone(if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) })?;
    }
    gone(fs::remove_dir_all(state_dir.join(FOUND)))?;
    gone(fs::remove_file(state_dir.join(RECORD)))
}

/// Where a path of the host is, seen from here.
pub fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The name of the default network that the node agent makes itself.
pub const BUILT_IN: &str = "manifold-built-in";

/// Pods with networks that nobody else would take down, as `namespace/name`: those with networks besides the default one, and
/// those of the built-in network.
pub fn pods_with_networks(state_dir: &Path) -> Result<Vec<String>, LedgerError> {
    let Some(ledger) = Ledger::open_existing(state_dir)? else { return Ok(Vec::new()) };
    let mut pods = Vec::new();
    for id in ledger.list()?.entries {
        let entry = match ledger.read(&id) {
            Ok(Some(entry)) => entry,
            Ok(None) => continue,
            // Nobody can say that this one has no networks.
            Err(_) => {
                pods.push(format!("sandbox {id}"));
                continue;
            }
        };
        let is_built_in = entry.attachments.iter().any(|attachment| attachment.network.as_str() == BUILT_IN);
        if (is_built_in || entry.attachments.len() > 1) && entry.stage != Stage::Deleting {
            let pod = entry.pod.map_or_else(|| id.to_string(), |p| format!("{}/{}", p.namespace, p.name));
            pods.push(pod);
        }
    }
    pods.sort();
    pods.dedup();
    Ok(pods)
}

/// Why it is not uninstalled under these pods.
pub fn refusal(pods: &[String]) -> String {
    const NAMED: usize = 10;
    let named = pods.iter().take(NAMED).map(|pod| format!("`{pod}`")).collect::<Vec<_>>().join(", ");
    let more = match pods.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!(" and {more} more"),
        _ => String::new(),
    };
    format!(
        "{} pods have networks that only Manifold can take down: {named}{more}; delete them first, or leave them as \
         they are: `--leave`, in the chart `uninstall.leave=true`",
        pods.len()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Host(tempfile::TempDir);

    impl Host {
        fn new() -> Self {
            let host = Self(tempfile::tempdir().unwrap());
            for folder in ["bin", "conf", "state"] {
                fs::create_dir(host.path(folder)).unwrap();
            }
            host
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn installed(&self) -> Installed {
            Installed { bin_dir: "/bin".into(), conf_dir: "/conf".into(), ..Installed::default() }
        }

        fn put(&self, record: &mut Installed, folder: Folder, name: &str, text: &str) {
            let (state, root) = (self.path("state"), self.0.path());
            record.note(&state, root, folder, name, Content::Bytes(text.as_bytes())).unwrap();
            record.save(&state).unwrap();
            put(&below(root, record.folder(folder)), name, text.as_bytes(), 0o644).unwrap();
        }

        fn all(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
            let files = ["bin", "conf"].into_iter().flat_map(|f| fs::read_dir(self.path(f)).unwrap());
            let read = |e: io::Result<fs::DirEntry>| {
                let path = e.unwrap().path();
                let mode = path.metadata().unwrap().permissions().mode();
                (path.clone(), (mode, fs::read(path).unwrap()))
            };
            files.map(read).collect()
        }
    }

    // Proves: P-UP-11
    #[test]
    fn the_folders_are_given_back_byte_for_byte_with_what_was_replaced() {
        let host = Host::new();
        fs::write(host.path("bin/bridge"), "the reference's").unwrap();
        fs::write(host.path("bin/manifold"), "an older one, by hand").unwrap();
        fs::set_permissions(host.path("bin/manifold"), fs::Permissions::from_mode(0o750)).unwrap();
        fs::write(host.path("conf/10-x.conflist"), "{}").unwrap();
        let before = host.all();
        let mut record = host.installed();
        host.put(&mut record, Folder::Bin, "manifold", "new");
        host.put(&mut record, Folder::Bin, "manifold", "newer");
        host.put(&mut record, Folder::Conf, "00-m.conflist", "ours");
        let record = Installed::read(&host.path("state")).unwrap().unwrap();
        let done = record.give_back(&host.path("state"), host.0.path()).unwrap();
        assert_eq!(done.left, Vec::<String>::new());
        assert_eq!(host.all(), before);
        assert_eq!(Installed::read(&host.path("state")).unwrap(), None);
        assert_eq!(fs::read_dir(host.path("state")).unwrap().count(), 0);
    }

    #[test]
    fn what_somebody_changed_since_is_left_and_named() {
        let host = Host::new();
        let mut record = host.installed();
        host.put(&mut record, Folder::Conf, "00-m.conflist", "ours");
        fs::write(host.path("conf/00-m.conflist"), "theirs").unwrap();
        let done = record.give_back(&host.path("state"), host.0.path()).unwrap();
        assert!(done.left[0].contains("00-m.conflist"), "{done:?}");
        assert_eq!(fs::read(host.path("conf/00-m.conflist")).unwrap(), b"theirs");
    }

    #[test]
    fn a_copy_of_ours_that_a_rival_put_aside_is_taken_away_too() {
        let host = Host::new();
        let mut record = host.installed();
        record.conflist = Some("ours".into());
        host.put(&mut record, Folder::Conf, "00-m.conflist", "ours");
        fs::rename(host.path("conf/00-m.conflist"), host.path("conf/00-m.conflist.bak")).unwrap();
        record.give_back(&host.path("state"), host.0.path()).unwrap();
        assert_eq!(host.all().len(), 0);
    }

    // Shows part of: F-NOD-8
    #[test]
    fn a_sandbox_whose_entry_cannot_be_read_counts_as_one_with_networks() {
        let host = Host::new();
        fs::write(host.path("state/c1"), "manifold-ledger 2 of a newer release\n").unwrap();
        assert_eq!(pods_with_networks(&host.path("state")).unwrap(), ["sandbox c1"]);
    }
}
