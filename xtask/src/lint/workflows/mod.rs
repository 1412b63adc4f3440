//! Whether the workflows are valid, and whether each of their commands works by hand too. They cannot run here.

mod rules;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use manifold_e2e::checkers;

use crate::build;

const FOLDER: &str = ".github/workflows";

pub(super) fn check() -> anyhow::Result<()> {
    let files = files(&build::root().join(FOLDER))?;
    let mut findings = find_errors(&files)?;
    findings.push_str(&rules::find_violations(&files)?.join("\n"));
    if findings.is_empty() { Ok(()) } else { bail!("`{FOLDER}` has errors:\n{findings}") }
}

/// Those of a folder, in the order of their names.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// What actionlint says. Without shellcheck and pyflakes, which not every machine has: one result everywhere.
fn find_errors(files: &[PathBuf]) -> anyhow::Result<String> {
    let mut command = Command::new(checkers::actionlint(&mut |_| ())?);
    command.args(["-no-color", "-shellcheck=", "-pyflakes="]).args(files).current_dir(build::root());
    let out = command.output().context("actionlint cannot be run")?;
    match out.status.code() {
        Some(0) => Ok(String::new()),
        Some(1) => Ok(String::from_utf8_lossy(&out.stdout).into_owned()),
        _ => bail!("actionlint failed: {}", String::from_utf8_lossy(&out.stderr).trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workflows_are_valid_and_documented() {
        check().unwrap();
    }

    #[test]
    fn an_error_in_a_workflow_is_named_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("check.yml");
        let text = "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - runs: cargo test\n";
        fs::write(&path, text).unwrap();
        let found = find_errors(&[path]).unwrap();
        assert!(found.contains("check.yml:6:9: ") && found.contains("must run script"), "{found}");
    }
}
