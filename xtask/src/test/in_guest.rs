//! The tests that the machine's kernel cannot run, of all suites, in one boot of the guest kernel.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use manifold_e2e::guest;

use super::suite::Executables;
use super::verdict::Outcome;

/// Printed after each suite, with its exit code.
const END: &str = "suite-ended-with";

/// The tests of one executable.
pub(crate) struct Part<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) executable: &'a Path,
    pub(crate) tests: Vec<String>,
}

/// Runs every part, and returns an outcome for each. Fails when the guest does not boot or does not come to its end.
pub(crate) fn run(parts: &[Part<'_>], env: &Executables) -> anyhow::Result<Vec<Outcome>> {
    let tests: usize = parts.iter().map(|part| part.tests.len()).sum();
    // Some seconds each where nothing else runs.
    let deadline = Duration::from_secs(300 + 30 * tests as u64);
    let added = env.iter().map(|(name, value)| (OsString::from(name), value.clone().into_os_string()));
    let env = std::env::vars_os().chain(added);
    let out = guest::run(&["sh", "-c", &script(parts)?], env, deadline)?;
    let text = String::from_utf8_lossy(&out.stdout);
    let outcomes = outcomes(parts, &text);
    ensure!(outcomes.len() == parts.len(), "the guest ended before its tests; it said:\n{text}");
    Ok(outcomes)
}

/// One line a suite. Two threads, for with one the name of a test and its verdict may stand on different lines. What the
/// tests say on stderr comes after their verdicts, lest it come between a name and its verdict.
fn script(parts: &[Part<'_>]) -> anyhow::Result<String> {
    let mut script = String::new();
    for part in parts {
        let (folder, executable) = (quoted(part.folder)?, quoted(part.executable)?);
        let tests = part.tests.join(" ");
        script.push_str(&format!(
            "(cd {folder} && CARGO_MANIFEST_DIR={folder} RUSTC_BOOTSTRAP=1 exec {executable} -Zunstable-options --report-time --ignored --test-threads=2 --exact {tests}) \
             2>/run/said-aside\n\
             code=$?; cat /run/said-aside; printf '\\n{END} %s\\n' $code\n"
        ));
    }
    Ok(script)
}

fn quoted(path: &Path) -> anyhow::Result<String> {
    let path =
        path.to_str().filter(|p| !p.contains('\'')).context("the project's path has odd characters")?;
    Ok(format!("'{path}'"))
}

fn outcomes(parts: &[Part<'_>], text: &str) -> Vec<Outcome> {
    let mut rest = text;
    let mut outcomes = Vec::new();
    for part in parts {
        let Some((said, after)) = rest.split_once(&format!("\n{END} ")) else { break };
        let (code, after) = after.split_once('\n').unwrap_or((after, ""));
        rest = after;
        let mut outcome =
            Outcome::read(said.to_owned(), (code != "0").then(|| format!("ended with code {code}")));
        // Asked for again, and not heard of: as bad as a failure.
        let silent = |name: &&String| !outcome.passed.contains(name) && !outcome.failed.contains(name);
        let missing: Vec<String> =
            part.tests.iter().filter(silent).map(|n| format!("{n} was not run")).collect();
        outcome.failed.extend(missing);
        outcomes.push(outcome);
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(tests: &[&str]) -> Part<'static> {
        let path = Path::new("/x");
        Part { folder: path, executable: path, tests: tests.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn each_suite_gets_what_it_said_and_a_test_that_said_nothing_failed() {
        let text = "test a ... ok\n\nsuite-ended-with 0\ntest b ... FAILED\n\nsuite-ended-with 101\n";
        let outcomes = outcomes(&[part(&["a", "lost"]), part(&["b"])], text);
        assert_eq!(outcomes[0].passed, ["a"]);
        assert_eq!(outcomes[0].failed, ["lost was not run"]);
        assert_eq!(outcomes[1].failed, ["b"]);
    }

    #[test]
    fn a_suite_without_an_end_has_no_outcome() {
        assert!(outcomes(&[part(&["a"])], "test a ... ok\n").is_empty());
    }
}
