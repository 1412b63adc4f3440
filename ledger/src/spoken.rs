//! Which CNI versions the node's executables speak, as they said themselves: a plugin is asked once for each state of its
//! file. A cache in the state folder: what cannot be read or written there costs a question and nothing else.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::executable::{ExecutableFile, FileIdentity};

const NAME: &str = ".versions";
/// Room for thousands of executables.
const MOST_BYTES: u64 = 1 << 20;

/// How long a plugin that gave no usable answer is not asked again: what kept it from answering may pass.
const UNUSABLE_FOR: Duration = Duration::from_secs(3600);

/// What became of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Versions(Vec<String>),
    /// It said something else, or failed.
    Unusable,
}

/// The cache of one node.
#[derive(Clone, Debug)]
pub struct SpokenVersions {
    state_dir: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Known {
    file: FileIdentity,
    #[serde(default)]
    versions: Vec<String>,
    /// When it gave no usable answer, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unusable_at: Option<u64>,
}

impl SpokenVersions {
    pub fn of(state_dir: &Path) -> Self {
        Self { state_dir: state_dir.to_owned() }
    }

    /// What the executable answered, if it is the file that was asked then.
    pub fn get(&self, executable: &ExecutableFile) -> Option<Answer> {
        let known = self.read().remove(&executable.path).filter(|known| known.file == executable.file)?;
        let Some(then) = known.unusable_at else { return Some(Answer::Versions(known.versions)) };
        // A clock that was set back is no reason to believe it for longer.
        let age = seconds_now().checked_sub(then)?;
        (age < UNUSABLE_FOR.as_secs()).then_some(Answer::Unusable)
    }

    /// Remembers an answer, and forgets executables that are gone.
    pub fn put(&self, executable: &ExecutableFile, answer: &Answer) -> io::Result<()> {
        let mut all = self.read();
        all.retain(|path, known| FileIdentity::of(path).is_ok_and(|now| now == known.file));
        let (versions, unusable_at) = match answer {
            Answer::Versions(versions) => (versions.clone(), None),
            Answer::Unusable => (Vec::new(), Some(seconds_now())),
        };
        all.insert(executable.path.clone(), Known { file: executable.file, versions, unusable_at });
        let mut bytes = serde_json::to_vec(&all)?;
        if bytes.len() as u64 > MOST_BYTES {
            // What no reader would take whole is not written: the others are asked once more.
            all.retain(|path, _| *path == executable.path);
            bytes = serde_json::to_vec(&all)?;
        }
        if bytes.len() as u64 > MOST_BYTES {
            return Err(io::Error::other("the answer is longer than what is read back"));
        }
        durable::put(&self.state_dir, NAME, &bytes, 0o600)
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

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
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
        let said = Answer::Versions(vec!["0.4.0".to_owned(), "1.0.0".to_owned()]);
        cache.put(&file(&one), &said).unwrap();
        cache.put(&file(&other), &Answer::Versions(vec!["0.4.0".to_owned()])).unwrap();
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

    // Proves: COMPAT-5.3
    #[test]
    fn an_unusable_answer_holds_for_an_hour_and_for_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mute");
        std::fs::write(&path, "1").unwrap();
        let file = || ExecutableFile::at(path.clone()).unwrap();
        let cache = SpokenVersions::of(dir.path());
        cache.put(&file(), &Answer::Unusable).unwrap();
        assert_eq!(cache.get(&file()), Some(Answer::Unusable));
        let asked_at = |change: fn(u64) -> u64| {
            let text = std::fs::read_to_string(dir.path().join(NAME)).unwrap();
            let mut all: serde_json::Value = serde_json::from_str(&text).unwrap();
            let at =
                all.as_object_mut().unwrap().values_mut().next().unwrap().get_mut("unusable_at").unwrap();
            *at = change(seconds_now()).into();
            std::fs::write(dir.path().join(NAME), all.to_string()).unwrap();
        };
        for change in [|now: u64| now - 3601, |now: u64| now + 60] {
            asked_at(change);
            assert_eq!(cache.get(&file()), None);
        }
        cache.put(&file(), &Answer::Unusable).unwrap();
        std::fs::write(&path, "changed").unwrap();
        assert_eq!(cache.get(&file()), None);
    }

    // Proves: F-DSK-9
    #[test]
    fn a_cache_that_would_be_longer_than_what_is_read_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            std::fs::write(dir.path().join(name), name).unwrap();
            ExecutableFile::at(dir.path().join(name)).unwrap()
        };
        let cache = SpokenVersions::of(dir.path());
        let long = Answer::Versions(vec!["x".repeat(700 << 10)]);
        let [one, other, third] = ["one", "other", "third"].map(at);
        cache.put(&one, &long).unwrap();
        cache.put(&other, &long).unwrap();
        assert_eq!((cache.get(&one), cache.get(&other)), (None, Some(long)));
        let longest = Answer::Versions(vec!["x".repeat(2 << 20)]);
        cache.put(&third, &longest).unwrap_err();
        assert!(cache.get(&other).is_some());
    }
}
