//! Which CNI versions the node's executables speak, as they said themselves: a plugin is asked once for each state of its
//! file. A cache in the state folder: what cannot be read or written there costs a question and nothing else.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::executable::{ExecutableFile, FileIdentity};

const NAME: &str = ".versions";
/// Room for thousands of executables.
const MOST_BYTES: u64 = 1 << 20;

/// The cache of one node.
#[derive(Clone, Debug)]
pub struct SpokenVersions {
    state_dir: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Known {
    file: FileIdentity,
    versions: Vec<String>,
}

impl SpokenVersions {
    pub fn of(state_dir: &Path) -> Self {
        Self { state_dir: state_dir.to_owned() }
    }

    /// What the executable answered, if it is the file that was asked then.
    pub fn get(&self, executable: &ExecutableFile) -> Option<Vec<String>> {
        let known = self.read().remove(&executable.path)?;
        (known.file == executable.file).then_some(known.versions)
    }

    /// Remembers an answer, and forgets executables that are gone.
    pub fn put(&self, executable: &ExecutableFile, versions: &[String]) -> io::Result<()> {
        let mut all = self.read();
        all.retain(|path, known| FileIdentity::of(path).is_ok_and(|now| now == known.file));
        all.insert(executable.path.clone(), Known { file: executable.file, versions: versions.to_vec() });
        durable::put(&self.state_dir, NAME, &serde_json::to_vec(&all)?, 0o600)
    }

    fn read(&self) -> BTreeMap<PathBuf, Known> {
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let mut bytes = Vec::new();
        let read = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(self.state_dir.join(NAME))
            .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
        read.ok().and_then(|_| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Shows part of: COMPAT-5
    #[test]
    fn an_answer_holds_for_the_file_that_gave_it_and_rubbish_is_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        std::fs::write(&one, "1").unwrap();
        std::fs::write(&other, "2").unwrap();
        let file = |path: &Path| ExecutableFile::at(path.to_owned()).unwrap();
        let cache = SpokenVersions::of(dir.path());
        assert_eq!(cache.get(&file(&one)), None);
        let said = ["0.4.0".to_owned(), "1.0.0".to_owned()];
        cache.put(&file(&one), &said).unwrap();
        cache.put(&file(&other), &said[..1]).unwrap();
        assert_eq!(cache.get(&file(&one)).unwrap(), said);
        std::fs::write(&one, "changed").unwrap();
        assert_eq!(cache.get(&file(&one)), None);
        std::fs::remove_file(&one).unwrap();
        cache.put(&file(&other), &said).unwrap();
        let text = std::fs::read_to_string(dir.path().join(NAME)).unwrap();
        assert!(!text.contains("/one"), "what is gone is forgotten: {text}");
        std::fs::write(dir.path().join(NAME), "{torn").unwrap();
        assert_eq!(cache.get(&file(&other)), None);
        cache.put(&file(&other), &said).unwrap();
        assert_eq!(cache.get(&file(&other)).unwrap(), said);
    }
}
