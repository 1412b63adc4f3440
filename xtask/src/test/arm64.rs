//! The other architecture that images are made for: both executables and the unit tests of the pure crates are built with
//! Debian's cross compiler and run by an emulator of the processor. System calls go to this machine's kernel.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::suite::{self, Suite};
use crate::{build, images, packages};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const EMULATOR: &str = "qemu-aarch64-static";
/// Names the executable to the test that runs it.
pub(super) const VARIABLE: &str = "MANIFOLD_ARM64_EXECUTABLE";
/// How `--only` names these tests; a run of another part builds nothing for arm64.
pub(super) const SUITE: &str = "arm64";
/// They do no I/O or only run plugins, so an emulator that knows few system calls is enough.
const PURE_CRATES: [&str; 5] =
    ["manifold-cni", "manifold-crds", "manifold-plugin-conf", "manifold-plan", "manifold-addresses"];

pub(super) struct Built {
    /// `manifold`, run by the emulator.
    pub(super) executable: PathBuf,
    pub(super) suites: Vec<Suite>,
}

pub(super) fn build() -> anyhow::Result<Built> {
    packages::for_arm64()?;
    images::ensure_target(TARGET)?;
    let folder = build::target_dir().join("arm64");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let both = ["--package", "manifold", "--package", "manifold-controller"];
    build::quietly(cross(&["build", "--bins"]).chain(both.map(str::to_owned)))?;
    let executable = build::target_dir().join(TARGET).join("debug/manifold");
    Ok(Built { executable: emulated(&folder, "manifold", &executable)?, suites: suites(&folder)? })
}

fn suites(folder: &Path) -> anyhow::Result<Vec<Suite>> {
    let words = ["test", "--no-run", "--lib", "--message-format", "json-render-diagnostics", "--quiet"];
    let crates = PURE_CRATES.iter().flat_map(|name| ["--package".to_owned(), (*name).to_owned()]);
    let printed = build::quietly(cross(&words).chain(crates))?;
    let mut suites = suite::read_messages(&printed)?;
    for suite in &mut suites {
        let name = suite.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        suite.path = emulated(folder, &name, &suite.path)?;
        suite.name.push_str(" arm64");
    }
    Ok(suites)
}

/// Words for cargo. Static, so that the emulator needs no libraries of the other architecture.
fn cross(words: &[&str]) -> impl Iterator<Item = String> + use<> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let settings = ["linker='aarch64-linux-gnu-gcc'", "rustflags=['-C', 'target-feature=+crt-static']"];
    let settings = settings.into_iter().flat_map(|s| ["--config".to_owned(), format!("target.{TARGET}.{s}")]);
    // These builds share no artifacts with others, and without debug information they take less time.
    let settings = settings.chain(["--config".to_owned(), "profile.dev.debug=false".to_owned()]);
    words.into_iter().chain(settings).chain(["--target".to_owned(), TARGET.to_owned()])
}

/// A script that has the emulator run the executable, whether or not the kernel knows the format.
fn emulated(folder: &Path, name: &str, executable: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    let text = format!("#!/bin/sh\nexec {EMULATOR} -0 {name} '{}' \"$@\"\n", executable.display());
    fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        .context("cannot make the script executable")?;
    Ok(path)
}
