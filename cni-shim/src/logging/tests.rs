use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::*;
use crate::config::Rotation;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn rules(max_bytes: u64) -> Rotation {
    Rotation { max_bytes, max_age_days: 5, max_backups: 2, compress: true }
}

fn log(level: Level, file: Option<PathBuf>) -> Log {
    Log { to_stderr: true, file, level, rotation: rules(1 << 20) }
}

fn say_everything() {
    tracing::debug!("a debug line");
    tracing::info!("an info line");
    tracing::warn!("a warning");
    tracing::error!("an error line");
    tracing::error!(target: "h2::codec", "a line of a library");
}

fn written(log: &Log) -> String {
    let memory = Memory::default();
    let to = memory.clone();
    tracing::subscriber::with_default(subscriber(log, move || to.clone()), say_everything);
    String::from_utf8(memory.0.lock().unwrap().clone()).unwrap()
}

#[track_caller]
fn check(level: Level, lines: &[&str]) {
    let text = written(&log(level, None));
    assert_eq!(text.lines().count(), lines.len(), "{text}");
    for (line, wanted) in text.lines().zip(lines) {
        assert!(line.contains(wanted), "{line}");
    }
}

// Proves: MLT-CFG-11, S-2
#[test]
fn each_level_writes_its_lines_and_no_library_writes_any() {
    check(Level::Debug, &["a debug line", "an info line", "a warning", "an error line"]);
    check(Level::Verbose, &["an info line", "a warning", "an error line"]);
    check(Level::Error, &["a warning", "an error line"]);
    check(Level::Panic, &[]);
}

// Proves: MLT-CFG-11, S-3
#[test]
fn the_log_file_gets_the_same_lines_and_is_for_root_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.log");
    let mut settings = log(Level::Verbose, Some(path.clone()));
    settings.to_stderr = false;
    assert_eq!(written(&settings), "");
    assert_eq!(written(&settings), "");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("an info line").count(), 2, "{text}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_log_file_that_cannot_be_opened_is_told_and_stops_nothing() {
    let text = written(&log(Level::Error, Some("/nowhere/m.log".into())));
    assert!(text.starts_with("log file `/nowhere/m.log` cannot be opened"), "{text}");
    assert!(text.contains("an error line"));
}

// Shows part of: S-2
#[test]
fn what_a_plugin_says_stays_in_the_line_that_tells_it() {
    let memory = Memory::default();
    let to = memory.clone();
    let forged = "2026-01-01T00:00:00.000000Z  INFO manifold::call: nothing to see";
    tracing::subscriber::with_default(subscriber(&log(Level::Error, None), move || to.clone()), || {
        tracing::error!(code = 9, "bad key\n{forged}\u{1b}[2J");
        tracing::error!(said = %format!("x\n{forged}"), "failed");
    });
    let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains(&format!("bad key\\n{forged}")) && !text.contains('\u{1b}'), "{text}");
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

// Proves: MLT-CFG-11
#[test]
fn a_full_log_file_is_put_aside_and_the_oldest_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.log");
    for other in ["m-notes.log", "m.log.old", "other-2026-01-01T00-00-00.000.log"] {
        std::fs::write(dir.path().join(other), "").unwrap();
    }
    for day in 1..=3 {
        std::fs::write(dir.path().join(format!("m-2026-01-0{day}T00-00-00.000.log")), "").unwrap();
    }
    std::fs::write(&path, "12345").unwrap();
    rotation::rotate(&path, &rules(6)).unwrap();
    assert!(path.exists(), "not full yet");
    rotation::rotate(&path, &rules(5)).unwrap();
    assert!(!path.exists());
    let left = names(dir.path());
    let aside: Vec<&String> = left.iter().filter(|n| n.starts_with("m-2")).collect();
    assert_eq!(aside.len(), 2, "{left:?}");
    assert_eq!(aside[0], "m-2026-01-03T00-00-00.000.log");
    assert_eq!(std::fs::read(dir.path().join(aside[1])).unwrap(), b"12345");
    assert_eq!(left.len(), 5, "files of others stay: {left:?}");
}

#[test]
fn old_logs_go_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let old = dir.path().join("log-2026-01-01T00-00-00.000");
    std::fs::write(&old, "").unwrap();
    let past = std::time::SystemTime::now() - std::time::Duration::from_secs(6 * 86_400);
    File::options().append(true).open(&old).unwrap().set_modified(past).unwrap();
    std::fs::write(&path, "x").unwrap();
    rotation::rotate(&path, &rules(1)).unwrap();
    assert!(!old.exists());
    assert_eq!(names(dir.path()).len(), 1);
}
