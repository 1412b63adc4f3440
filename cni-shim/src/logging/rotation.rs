//! Puts a full log file aside under a dated name and drops the oldest ones.
//!
//! Calls are short and many, so it happens where a call opens the file, by rename: another call that holds the file
//! open writes its last lines into the file that was put aside.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::config::Rotation;

pub(super) fn rotate(path: &Path, rules: &Rotation) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() >= rules.max_bytes && meta.is_file() => {}
        Ok(_) => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    }
    let stamp = jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%S.%3f").to_string();
    match fs::rename(path, beside(path, &stamp)) {
        // Another call was faster.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(()) => {
            drop_old(path, rules);
            Ok(())
        }
    }
}

/// `name.log` is put aside as `name-<stamp>.log`.
fn beside(path: &Path, stamp: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push("-");
    name.push(stamp);
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// A file that cannot be removed is left: the log must not stop a call.
fn drop_old(path: &Path, rules: &Rotation) {
    let mut kept = 0;
    let oldest = Duration::from_secs(rules.max_age_days.saturating_mul(86_400));
    for old in put_aside(path) {
        let age =
            fs::metadata(&old).and_then(|m| m.modified()).map(|at| SystemTime::now().duration_since(at));
        let too_old = rules.max_age_days > 0 && matches!(age, Ok(Ok(age)) if age > oldest);
        kept += 1;
        if too_old || (rules.max_backups > 0 && kept > rules.max_backups) {
            let _ = fs::remove_file(old);
        }
    }
}

/// Files put aside before, the newest first: the stamp sorts by age.
fn put_aside(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .map(|entries| entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| is_aside(path, p)).collect())
        .unwrap_or_default();
    found.sort();
    found.reverse();
    found
}

fn is_aside(path: &Path, other: &Path) -> bool {
    let text = |s: Option<&OsStr>| s.and_then(OsStr::to_str).unwrap_or_default().to_owned();
    let prefix = format!("{}-", text(path.file_stem()));
    let suffix = path.extension().map(|x| format!(".{}", text(Some(x)))).unwrap_or_default();
    let name = text(other.file_name());
    let stamp = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(&suffix));
    stamp.is_some_and(|s| s.len() == 23 && s.as_bytes().get(10) == Some(&b'T'))
}
