//! Builds of the executables: the release ones that users get, and those for tests and the demo.

pub(crate) mod timings;

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use anyhow::{Context as _, bail};
use manifold_e2e::cargo_command::cargo_command;

use crate::progress::Detail;
use crate::{images, progress};

/// Naming the target keeps `crt-static` away from build scripts and procedural macros, which cannot be static.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The size that a node is asked to hold.
const MAX_RELEASE_BYTES: u64 = 16 * 1024 * 1024;

const SHIM: &str = "manifold";
const CONTROLLER: &str = "manifold-controller";

/// Both executables of one build.
pub(crate) struct Pair {
    pub(crate) shim: PathBuf,
    pub(crate) controller: PathBuf,
}

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
    released(SHIM, TARGET, &[], detail)
}

/// The same of the controller. A build of its own: together they would share the features of their libraries.
pub(crate) fn release_controller(detail: &Detail) -> anyhow::Result<PathBuf> {
    released(CONTROLLER, TARGET, &[], detail)
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

/// Both executables in the profile `fast`, by one call that shares all their libraries: for tests and the cluster.
pub(crate) fn fast(detail: &Detail) -> anyhow::Result<Pair> {
    fast_build(&[SHIM, CONTROLLER], detail)?;
    Ok(Pair { shim: fast_path(SHIM), controller: fast_path(CONTROLLER) })
}

/// `manifold` alone in the profile `fast`: for the demo.
pub(crate) fn fast_shim(detail: &Detail) -> anyhow::Result<PathBuf> {
    fast_build(&[SHIM], detail)?;
    Ok(fast_path(SHIM))
}

/// Both packages are named whatever is built, so that their libraries have the same features in every such build.
fn fast_build(names: &[&str], detail: &Detail) -> anyhow::Result<()> {
    let mut words =
        vec!["build", "--profile", "fast", "--target", TARGET, "--package", SHIM, "--package", CONTROLLER];
    names.iter().for_each(|name| words.extend(["--bin", name]));
    cargo(&words, &[("RUSTFLAGS", flags(TARGET))], detail)
}

fn fast_path(name: &str) -> PathBuf {
    target_dir().join(TARGET).join("fast").join(name)
}

/// A build with flags for the compiler.
pub(crate) fn with_flags(words: &[&str], flags: &str, detail: &Detail) -> anyhow::Result<()> {
    cargo(words, &[("RUSTFLAGS", flags)], detail)
}

/// The executable `manifold` of the last release build, where there was one.
pub(crate) fn existing_release() -> Option<PathBuf> {
    Some(target_dir().join(TARGET).join("release").join(SHIM)).filter(|path| path.is_file())
}

/// What is promised of a release of `manifold`: its size, and that it needs no library of the node.
pub(crate) fn check_release(path: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::metadata(path)?.len();
    progress::line(&format!("  `manifold` is {:.1} MB", bytes as f64 / 1e6));
    if bytes > MAX_RELEASE_BYTES {
        bail!(
            "`{}` has {bytes} bytes, more than the {MAX_RELEASE_BYTES} it may have; look at what was linked in",
            path.display()
        );
    }
    images::check_static(path)
}

/// The same code, not optimised, that can be told to die at a named point (feature `crash-points`). It shares the
/// tests' libraries, so it costs seconds, and has a name of its own, so that no other build takes its place.
pub(crate) fn with_crash_points(detail: &Detail) -> anyhow::Result<PathBuf> {
    cargo(&["build", "--workspace", "--bin", SHIM, "--features", "manifold/crash-points"], &[], detail)?;
    let folder = target_dir().join("debug");
    let path = folder.join("manifold-crash-points");
    // A running copy cannot be written, but it can be replaced.
    let _ = std::fs::remove_file(&path);
    std::fs::copy(folder.join(SHIM), &path).context("keeping the executable with crash points")?;
    Ok(path)
}

/// What cargo prints when it is asked this; what it says besides only when it fails.
pub(crate) fn quietly(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> anyhow::Result<Vec<u8>> {
    let words = with_timings(words.into_iter().map(|word| word.as_ref().to_owned()).collect());
    let out = cargo_command().args(&words).current_dir(root()).output().context("cargo cannot be run")?;
    if !out.status.success() {
        let said = [out.stdout, out.stderr].concat();
        bail!("{}:\n{}", failure(&words), String::from_utf8_lossy(&said));
    }
    timings::add(&String::from_utf8_lossy(&out.stderr));
    Ok(out.stdout)
}

/// Hides what cargo says unless it fails, and tells how many crates are done.
fn cargo(words: &[&str], env: &[(&str, &str)], detail: &Detail) -> anyhow::Result<()> {
    let words = with_timings(words.iter().map(OsString::from).collect());
    let mut child = cargo_command()
        .args(&words)
        .args(["--message-format", "json-render-diagnostics"])
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
    let said = said.join().ok().and_then(Result::ok).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    if !status.success() {
        bail!("{}:\n{said}", failure(&words));
    }
    timings::add(&said);
    Ok(())
}

/// Cargo's report of the build is asked for before whatever is meant for a program that it runs.
fn with_timings(mut words: Vec<OsString>) -> Vec<OsString> {
    if let Some(flag) = timings::flag(words.first()) {
        // Where the report lies is printed only where cargo is not quiet.
        words.retain(|word| word != "--quiet");
        words.insert(1, flag.into());
    }
    words
}

fn failure(words: &[OsString]) -> String {
    format!("`cargo {}` failed", words.join(OsStr::new(" ")).display())
}
