//! Where the time of the builds goes: cargo's own report of each build, added up by crate.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use serde::Deserialize;

use super::target_dir;
use crate::progress;

/// How many crates are printed.
const LONGEST: usize = 15;
/// How cargo's report begins the list of what it built.
const UNITS: &str = "const UNIT_DATA = ";

static COLLECTING: AtomicBool = AtomicBool::new(false);
/// Seconds by crate, and how often it was compiled.
static TOTALS: Mutex<BTreeMap<String, (f64, usize)>> = Mutex::new(BTreeMap::new());

#[derive(Deserialize)]
struct Unit {
    name: String,
    target: String,
    duration: f64,
}

/// From now on every build leaves a report.
pub(crate) fn collect(wanted: bool) {
    COLLECTING.store(wanted, Ordering::Relaxed);
}

/// What a call of cargo with this verb needs for its report.
pub(super) fn flag(verb: Option<&OsString>) -> Option<&'static str> {
    let reports = verb.is_some_and(|verb| verb == "build" || verb == "test");
    (COLLECTING.load(Ordering::Relaxed) && reports).then_some("--timings")
}

/// Adds up the report that a build named in what it said. One that cannot be read is left out.
pub(super) fn add(said: &str) {
    let reports = said.lines().filter_map(|line| line.split_once("Timing report saved to "));
    for (_, path) in reports {
        if let Ok(units) = read(Path::new(path.trim())) {
            let mut totals = TOTALS.lock().unwrap_or_else(PoisonError::into_inner);
            for unit in units {
                let total = totals.entry(format!("{}{}", unit.name, unit.target)).or_default();
                *total = (total.0 + unit.duration, total.1 + 1);
            }
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<Unit>> {
    let text = fs::read_to_string(path)?;
    let (_, list) = text.split_once(UNITS).context("cargo's report has another shape")?;
    let mut units = serde_json::Deserializer::from_str(list).into_iter::<Vec<Unit>>();
    Ok(units.next().context("cargo's report has no list")??)
}

/// The crates that took longest, and the sum of all.
pub(crate) fn print() {
    let totals = TOTALS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all: Vec<(&String, &(f64, usize))> = totals.iter().collect();
    all.sort_by(|(_, a), (_, b)| b.0.total_cmp(&a.0));
    let sum: f64 = all.iter().map(|(_, (seconds, _))| seconds).sum();
    let count: usize = all.iter().map(|(_, (_, count))| count).sum();
    progress::line(&format!(
        "Builds: {count} units in {sum:.0} s of compilers, reports in {}",
        folder().display()
    ));
    for (name, (seconds, count)) in all.into_iter().take(LONGEST) {
        progress::line(&format!("  {seconds:>8.1} s  {count:>2} x  {name}"));
    }
}

fn folder() -> PathBuf {
    target_dir().join("cargo-timings")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_cargo_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        let unit = r#"{"i": 0, "name": "serde", "target": " (build)", "duration": 1.5, "sections": null}"#;
        fs::write(&path, format!("<script>\n{UNITS}[\n{unit}\n];\nlet x = [];")).unwrap();
        let units = read(&path).unwrap();
        assert_eq!((units.len(), units[0].name.as_str(), units[0].duration), (1, "serde", 1.5));
        assert!(read(folder.path()).is_err());
    }
}
