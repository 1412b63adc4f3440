//! Runs the executables of the targets, some at once, and reads what libFuzzer says at the end.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, bail};

use crate::progress;

/// The longest input: what limits allow is less, and what is longer is refused unread.
const MOST_BYTES: u64 = 80 << 10;
/// Of the whole process; what one input may take is bounded by the target itself.
const PROCESS_MIB: u32 = 1024;
/// A target bounds the time of the processor itself. This ends one that waits.
const TIMEOUT_SECONDS: u32 = 20;
/// How much of what libFuzzer says is shown with a finding.
const SHOWN_LINES: usize = 25;

pub(super) struct Place {
    pub(super) executables: PathBuf,
    /// Where inputs that found new code are kept for the next run, and findings.
    pub(super) folder: PathBuf,
    /// Of the project.
    pub(super) root: PathBuf,
}

/// What became of one target.
pub(super) struct Outcome {
    pub(super) executions: u64,
    pub(super) finding: Option<String>,
}

/// All targets, `jobs` at once, in the order of the names.
pub(super) fn all(
    place: &Place,
    targets: &[String],
    seconds: u64,
    jobs: usize,
) -> anyhow::Result<Vec<Outcome>> {
    let waiting: Mutex<VecDeque<&String>> = Mutex::new(targets.iter().collect());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work = || -> anyhow::Result<Vec<Outcome>> {
        let mut done = Vec::new();
        while let Some(target) = next() {
            let outcome = one(place, target, seconds)?;
            let verdict = if outcome.finding.is_some() { "a finding" } else { "nothing found" };
            progress::line(&format!("  {target:<20} {:>10} executions, {verdict}", outcome.executions));
            done.push(outcome);
        }
        Ok(done)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let mut outcomes = Vec::new();
        for worker in workers {
            outcomes.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(outcomes)
    })
}

fn one(place: &Place, target: &str, seconds: u64) -> anyhow::Result<Outcome> {
    let kept = made(place.folder.join("corpus").join(target))?;
    let findings = made(place.folder.join("findings"))?;
    let seeds = gather_seeds(place, target)?;
    let out = Command::new(place.executables.join(target))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={MOST_BYTES}"))
        .arg(format!("-timeout={TIMEOUT_SECONDS}"))
        .arg(format!("-rss_limit_mb={PROCESS_MIB}"))
        .arg(format!("-dict={}", place.root.join("hostile/dictionary").display()))
        .arg(format!("-artifact_prefix={}/{target}-", findings.display()))
        .args(["-print_final_stats=1", "-verbosity=1"])
        .args([kept, seeds])
        .output()
        .with_context(|| format!("`{target}` cannot be run"))?;
    Ok(read(target, &out))
}

fn made(folder: PathBuf) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    Ok(folder)
}

/// The seeds of the target, and the files of the corpus that are for it, in one folder.
fn gather_seeds(place: &Place, target: &str) -> anyhow::Result<PathBuf> {
    let folder = made(place.folder.join("seeds").join(target))?;
    let mut files = files_of(&place.root.join("hostile/seeds").join(target))?;
    for class in fs::read_dir(place.root.join("hostile/corpus"))? {
        let all = files_of(&class?.path())?;
        files.extend(all.into_iter().filter(|file| file.extension().is_some_and(|e| e == target)));
    }
    for (number, file) in files.iter().enumerate() {
        fs::copy(file, folder.join(number.to_string()))
            .with_context(|| format!("cannot copy `{}`", file.display()))?;
    }
    Ok(folder)
}

fn files_of(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// libFuzzer ends with an error exactly where it found something.
fn read(target: &str, out: &Output) -> Outcome {
    let said = String::from_utf8_lossy(&out.stderr);
    let executions = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let executions = executions.and_then(|number| number.trim().parse().ok()).unwrap_or_default();
    let finding = (!out.status.success()).then(|| finding(target, &said));
    Outcome { executions, finding }
}

fn finding(target: &str, said: &str) -> String {
    let is_statistic = |line: &&str| line.starts_with("stat::") || line.starts_with('#');
    let lines: Vec<&str> = said.lines().filter(|line| !is_statistic(line)).collect();
    let shown = lines.get(lines.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default().join("\n");
    format!(
        "target `{target}` found an input that breaks its reader; run `cargo xtask fuzz {target} --input FILE` on it, fix the \
         product, and add the input to `hostile/corpus`:\n{shown}"
    )
}

/// One input, with what the target says.
pub(super) fn on_input(executable: &Path, input: &Path) -> anyhow::Result<()> {
    let status = Command::new(executable).arg(input).status().context("the target cannot be run")?;
    if status.success() { Ok(()) } else { bail!("the input breaks the reader") }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn out(status: i32, stderr: &str) -> Output {
        Output { status: ExitStatus::from_raw(status), stdout: Vec::new(), stderr: stderr.into() }
    }

    #[test]
    fn executions_are_read_from_the_statistics() {
        let outcome =
            read("a", &out(0, "#1 INITED\nstat::number_of_executed_units: 4711\nstat::peak_rss_mb: 30\n"));
        assert_eq!((outcome.executions, outcome.finding), (4711, None));
    }

    #[test]
    fn a_run_that_ends_with_an_error_is_a_finding_that_names_its_input() {
        let said = "thread panicked\n#7 NEW\nTest unit written to /f/a-crash-1\n";
        let finding = read("a", &out(77 << 8, said)).finding.unwrap();
        assert!(
            finding.contains("cargo xtask fuzz a --input FILE") && finding.contains("/f/a-crash-1"),
            "{finding}"
        );
        assert!(!finding.contains("#7 NEW"), "{finding}");
    }
}
