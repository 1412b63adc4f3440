//! Records of earlier boots, removed by the first record that a boot writes: where no GC comes they would pile up.
//!
//! Whether it was done for this boot stands in a file of the folder. Links end with the boot, so no record of an earlier one
//! is of use, whether it can be read or not.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{NetnsMark, Record};
use crate::state_file::{self, Survives};

const SWEPT: &str = ".boot";

/// Where the folder cannot be read or written, the next record looks again.
pub(super) fn once_a_boot<R: Record>(folder: &Path, host: &NetnsMark) {
    let mark = folder.join(SWEPT);
    let swept = state_file::read(&mark).ok().flatten().is_some_and(|boot| boot == host.boot.as_bytes());
    if swept || host.boot.is_empty() || !folder.is_dir() {
        return;
    }
    state_file::remove_unfinished(folder);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && is_of_earlier_boot::<R>(&entry.path(), host) {
            let _ = fs::remove_file(entry.path());
        }
    }
    let _ = state_file::write(&mark, host.boot.as_bytes(), Survives::Kill);
}

/// One that makes no sense to this release has only its time: a newer release may have written it in this boot.
fn is_of_earlier_boot<R: Record>(file: &Path, host: &NetnsMark) -> bool {
    let Ok(Some(bytes)) = state_file::read(file) else { return false };
    match serde_json::from_slice::<R>(&bytes) {
        Ok(record) => record.host().boot != host.boot,
        Err(_) => was_written_before(file, uptime()),
    }
}

fn was_written_before(file: &Path, uptime: Option<Duration>) -> bool {
    let written = fs::metadata(file).and_then(|meta| meta.modified()).ok();
    let began = uptime.and_then(|uptime| SystemTime::now().checked_sub(uptime));
    matches!((written, began), (Some(written), Some(began)) if written < began)
}

/// Since the machine started, sleep included.
fn uptime() -> Option<Duration> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Sample {
        host: NetnsMark,
    }

    impl Record for Sample {
        const KIND: &'static str = "sample";
        const SURVIVES: Survives = Survives::Kill;

        fn host(&self) -> &NetnsMark {
            &self.host
        }

        fn key(&self) -> [&str; 3] {
            ["c1", "net1", ""]
        }
    }

    fn host(boot: &str) -> NetnsMark {
        NetnsMark { boot: boot.into(), dev: 4, ino: 7, cookie: None }
    }

    fn put(folder: &Path, name: &str, bytes: &[u8], age: Duration) {
        fs::write(folder.join(name), bytes).unwrap();
        let file = fs::File::options().write(true).open(folder.join(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    fn left(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name != SWEPT).collect();
        names.sort();
        names
    }

    // Proves: F-DSK-10
    #[test]
    fn the_first_record_of_a_boot_clears_those_of_earlier_ones_and_what_killed_writers_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let record = |boot: &str| serde_json::to_vec(&Sample { host: host(boot) }).unwrap();
        let long_ago = uptime().unwrap() + Duration::from_secs(3600);
        put(path, "earlier", &record("one"), Duration::ZERO);
        put(path, "torn-earlier", b"", long_ago);
        put(path, ".killed.tmp", b"{", long_ago);
        put(path, "of-this-boot", &record("two"), Duration::ZERO);
        put(path, "of-a-newer-release", b"{\"other\":1}", Duration::ZERO);
        once_a_boot::<Sample>(path, &host("two"));
        assert_eq!(left(path), ["of-a-newer-release", "of-this-boot"]);
        // Once: later records of the boot do not read the folder.
        put(path, "earlier", &record("one"), Duration::ZERO);
        once_a_boot::<Sample>(path, &host("two"));
        assert!(left(path).contains(&"earlier".to_owned()));
        once_a_boot::<Sample>(path, &host("three"));
        assert_eq!(left(path), ["of-a-newer-release"]);
        once_a_boot::<Sample>(&path.join("none"), &host("three"));
        assert!(!path.join("none").exists());
    }
}
