//! Executables of this workspace, for tests of other crates: built when needed, and put where a test wants them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};

use crate::cargo_command::cargo_command;
use crate::project;

/// The program that misbehaves on demand; see `src/bin/fake_delegate.rs`.
pub fn fake_delegate() -> anyhow::Result<PathBuf> {
    executable("fake-delegate")
}

/// An executable of the workspace, in the profile of the running test; brought up to date once per process.
pub fn executable(name: &str) -> anyhow::Result<PathBuf> {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = built.get(name) {
        return Ok(known.clone());
    }
    let path = build(name)?;
    built.insert(name.to_string(), path.clone());
    Ok(path)
}

/// Puts an executable into a folder under other names, as a node's plugin folder has it.
pub fn install(executable: &Path, folder: &Path, names: &[&str]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    for name in names {
        let target = folder.join(name);
        if fs::hard_link(executable, &target).is_ok() {
            continue;
        }
        // By another process: had this one the file open for writing while a thread forks, nobody could execute it.
        let copied = Command::new("cp").arg(executable).arg(&target).status().context("cannot run `cp`")?;
        if !copied.success() {
            bail!("cannot copy `{}` to `{}`", executable.display(), target.display());
        }
    }
    Ok(())
}

fn build(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe().context("the test executable has no path")?;
    // target/PROFILE/deps/TEST, or target/PROFILE/xtask
    let beside = test.parent().context("the test executable is not in a target folder")?;
    let folder = if beside.ends_with("deps") { beside.parent().unwrap_or(beside) } else { beside };
    let built = folder.join(name);
    // Asked for no reason, cargo would wait for every other build of the workspace.
    if is_up_to_date(&built).unwrap_or_default() {
        return Ok(built);
    }
    let mut cargo = cargo_command();
    // `cargo xtask test` sets it for libtest; build scripts would run again because of it.
    cargo.env_remove("RUSTC_BOOTSTRAP");
    // Of the whole workspace, so that it shares the libraries of the tests.
    cargo.current_dir(project::root()).args(["build", "--quiet", "--workspace", "--bin", name]);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    if let Some(target) = folder.parent() {
        cargo.arg("--target-dir").arg(target);
    }
    let output = cargo.output().context("cannot run `cargo`")?;
    if !output.status.success() {
        bail!("`{name}` cannot be built:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(built)
}

/// Whether none of the sources changed since. Cargo lists them beside the executable: `EXECUTABLE: SOURCE SOURCE ...`
fn is_up_to_date(built: &Path) -> std::io::Result<bool> {
    let made = fs::metadata(built)?.modified()?;
    let listed = fs::read_to_string(built.with_extension("d"))?;
    let sources = listed.split_once(": ").map(|(_, sources)| sources).unwrap_or_default();
    // A path with a space is cut in two, not found, and thus built anew.
    for source in sources.split_whitespace() {
        if fs::metadata(source)?.modified()? > made {
            return Ok(false);
        }
    }
    Ok(!sources.is_empty())
}
