//! Builds of the executables: the release one that users get, and the one with crash points for the tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// Naming the target keeps `crt-static` away from build scripts and procedural macros, which cannot be static.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The project's root folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in a folder of the project").to_owned()
}

pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The static, stripped release executable `manifold`.
pub(crate) fn release() -> anyhow::Result<PathBuf> {
    cargo(&["build", "--release", "--package", "manifold", "--bin", "manifold"])?;
    Ok(target_dir().join(TARGET).join("release/manifold"))
}

/// The same code, not optimised, that can be told to die at a named point (feature `crash-points`).
pub(crate) fn with_crash_points() -> anyhow::Result<PathBuf> {
    cargo(&["build", "--package", "manifold", "--bin", "manifold", "--features", "crash-points", "--profile", "crash"])?;
    Ok(target_dir().join(TARGET).join("crash/manifold"))
}

fn cargo(words: &[&str]) -> anyhow::Result<()> {
    let out = Command::new(env!("CARGO"))
        .args(words)
        .args(["--target", TARGET, "--quiet"])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .current_dir(root())
        .output()
        .context("cargo cannot be run")?;
    if !out.status.success() {
        bail!("`cargo {}` failed:\n{}", words.join(" "), String::from_utf8_lossy(&out.stderr));
    }
    Ok(())
}
