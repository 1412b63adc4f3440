//! Builds of the executables: the release ones that users get, and those for the tests.

mod cargo_command;

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use anyhow::{Context as _, bail};

use crate::progress::Detail;
use cargo_command::cargo_command;

/// Naming the target keeps `crt-static` away from build scripts and procedural macros, which cannot be static.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The project's root folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in a folder of the project").to_owned()
}

pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The executable that `MANIFOLD_EXECUTABLE` names, if it does: to show or measure one that is there already.
pub(crate) fn given() -> anyhow::Result<Option<PathBuf>> {
    named_by("MANIFOLD_EXECUTABLE")
}

/// The same of the controller, by `MANIFOLD_CONTROLLER`.
pub(crate) fn given_controller() -> anyhow::Result<Option<PathBuf>> {
    named_by("MANIFOLD_CONTROLLER")
}

fn named_by(variable: &str) -> anyhow::Result<Option<PathBuf>> {
    let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let path = PathBuf::from(path);
    match path.canonicalize() {
        Ok(whole) => Ok(Some(whole)),
        Err(e) => {
            bail!("`{}` cannot be used ({e}); mend {variable}, or unset it to build one", path.display())
        }
    }
}

/// The static, stripped release executable `manifold`.
pub(crate) fn release(detail: &Detail) -> anyhow::Result<PathBuf> {
    released("manifold", TARGET, &[], detail)
}

/// The same of the controller. A build of its own: together they would share the features of their libraries.
pub(crate) fn release_controller(detail: &Detail) -> anyhow::Result<PathBuf> {
    released("manifold-controller", TARGET, &[], detail)
}

/// One of them for a target; `more` is what a build for another architecture needs in its environment.
pub(crate) fn released(
    name: &str,
    target: &str,
    more: &[(String, &str)],
    detail: &Detail,
) -> anyhow::Result<PathBuf> {
    let words = ["build", "--release", "--package", name, "--bin", name, "--target", target];
    let mut env = vec![("RUSTFLAGS", flags(target))];
    env.extend(more.iter().map(|(key, value)| (key.as_str(), *value)));
    cargo(&words, &env, detail)?;
    Ok(target_dir().join(target).join("release").join(name))
}

/// Static. Packed relocations are read faster at the start of each process; linkers know them for x86-64 only.
fn flags(target: &str) -> &'static str {
    if target.starts_with("x86_64") {
        "-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs"
    } else {
        "-C target-feature=+crt-static"
    }
}

/// The controller as the tests run it: not optimised, with the tests' libraries.
pub(crate) fn controller_for_tests(detail: &Detail) -> anyhow::Result<PathBuf> {
    cargo(&["build", "--package", "manifold-controller", "--bin", "manifold-controller"], &[], detail)?;
    Ok(target_dir().join("debug/manifold-controller"))
}

/// The same code, not optimised, that can be told to die at a named point (feature `crash-points`). It shares the
/// tests' libraries, so it costs seconds, and has a name of its own, so that no other build takes its place.
pub(crate) fn with_crash_points(detail: &Detail) -> anyhow::Result<PathBuf> {
    cargo(
        &["build", "--package", "manifold", "--bin", "manifold", "--features", "crash-points"],
        &[],
        detail,
    )?;
    let folder = target_dir().join("debug");
    let path = folder.join("manifold-crash-points");
    // A running copy cannot be written, but it can be replaced.
    let _ = std::fs::remove_file(&path);
    std::fs::copy(folder.join("manifold"), &path).context("keeping the executable with crash points")?;
    Ok(path)
}

/// What cargo prints when it is asked this; what it says besides only when it fails.
pub(crate) fn quietly(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> anyhow::Result<Vec<u8>> {
    let words: Vec<_> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
    let out = cargo_command().args(&words).current_dir(root()).output().context("cargo cannot be run")?;
    if !out.status.success() {
        let said = [out.stdout, out.stderr].concat();
        let words = words.join(OsStr::new(" "));
        bail!("`cargo {}` failed:\n{}", words.display(), String::from_utf8_lossy(&said));
    }
    Ok(out.stdout)
}

/// Hides what cargo says unless it fails, and tells how many crates are done.
fn cargo(words: &[&str], env: &[(&str, &str)], detail: &Detail) -> anyhow::Result<()> {
    let mut child = cargo_command()
        .args(words)
        .args(["--quiet", "--message-format", "json-render-diagnostics"])
        .envs(env.iter().copied())
        .current_dir(root())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cargo cannot be run")?;
    let mut stderr = child.stderr.take().expect("stderr was asked to be a pipe");
    let said = thread::spawn(move || {
        let mut said = Vec::new();
        stderr.read_to_end(&mut said).map(|_| said)
    });
    let messages = BufReader::new(child.stdout.take().expect("stdout was asked to be a pipe")).lines();
    let built = messages.map_while(Result::ok).filter(|m| m.contains("\"reason\":\"compiler-artifact\""));
    for (count, _) in built.enumerate() {
        detail.say(&format!("{} crates", count + 1));
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() {
        let said = said.join().ok().and_then(Result::ok).unwrap_or_default();
        bail!("`cargo {}` failed:\n{}", words.join(" "), String::from_utf8_lossy(&said));
    }
    Ok(())
}
