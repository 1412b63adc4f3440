//! The executable that is a whole Kubernetes control plane: where it is, and how it comes to be there.
//!
//! Built once from the Go module in `e2e/cluster`, then found in the cache by the hash of everything that decides its
//! bytes. A cold build takes about ten minutes, so it reports what it does, and two processes never build at once.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use crate::project;

/// What decides the bytes of the executable, beside the flags.
const SOURCES: [&str; 3] = ["go.mod", "go.sum", "main.go"];
/// How much of a failed build's log the error repeats.
const LOG_LINES: usize = 15;

/// The cached executable; built first where the cache lacks it. `progress` hears one line per step.
pub fn cluster_binary(progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
    let module = project::root().join("e2e/cluster");
    let flags = flags(&module)?;
    let folder = project::cache().join("cluster").join(hash(&module, &flags)?);
    let executable = folder.join("cluster");
    if executable.is_file() {
        return Ok(executable);
    }
    fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the cache folder `{}`", folder.display()))?;
    let _one_builder = wait_for_lock(&folder, progress)?;
    if !executable.is_file() {
        build(&module, &flags, &folder, progress)?;
    }
    Ok(executable)
}

/// The flags of `go build`. Clients refuse to parse the version of a server that was built without the stamps.
fn flags(module: &Path) -> anyhow::Result<Vec<String>> {
    let go_mod = read(&module.join("go.mod"))?;
    let version = kubernetes_version(&go_mod)?;
    let mut parts = version.splitn(3, '.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut linker = String::from("-s -w");
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        for (name, value) in [
            ("gitVersion", format!("v{version}").as_str()),
            ("gitMajor", major),
            ("gitMinor", minor),
            ("gitTreeState", "clean"),
            ("gitCommit", "module"),
            ("buildDate", "2026-01-01T00:00:00Z"),
        ] {
            linker.push_str(&format!(" -X {package}.{name}={value}"));
        }
    }
    Ok(vec!["-trimpath".into(), "-buildvcs=false".into(), "-mod=readonly".into(), "-ldflags".into(), linker])
}

/// The one version that `go.mod` requires: read there, so that the stamp and the code cannot disagree.
fn kubernetes_version(go_mod: &str) -> anyhow::Result<&str> {
    go_mod
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v"))
        .context("`e2e/cluster/go.mod` does not require `k8s.io/kubernetes`")
}

fn hash(module: &Path, flags: &[String]) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for source in SOURCES {
        hash.update(read(&module.join(source))?);
        hash.update([0]);
    }
    for flag in flags {
        hash.update(flag);
        hash.update([0]);
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn wait_for_lock(folder: &Path, progress: &mut dyn FnMut(&str)) -> anyhow::Result<Flock<File>> {
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot open `{}`", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((file, _held)) => {
            progress("another process is building the cluster executable; waiting for it");
            Flock::lock(file, FlockArg::LockExclusive)
                .map_err(|(_, errno)| io::Error::from(errno))
                .with_context(|| format!("cannot lock `{}`", path.display()))
        }
    }
}

fn build(
    module: &Path,
    flags: &[String],
    folder: &Path,
    progress: &mut dyn FnMut(&str),
) -> anyhow::Result<()> {
    progress("building the cluster executable (about ten minutes the first time)");
    let unfinished = folder.join("cluster.unfinished");
    let mut child = start(module, flags, &unfinished)?;
    let last = follow(&mut child, &folder.join("build.log"), progress)?;
    let status = child.wait().context("cannot wait for `go build`")?;
    if !status.success() {
        bail!("`go build` in `{}` ended with {status}; its last words:\n{last}", module.display());
    }
    // Only a whole executable ever has the final name.
    fs::rename(&unfinished, folder.join("cluster")).context("cannot put the built executable in place")?;
    progress("the cluster executable is built");
    Ok(())
}

fn start(module: &Path, flags: &[String], output: &Path) -> anyhow::Result<Child> {
    let started = Command::new("go")
        .current_dir(module)
        .args(["build", "-v"])
        .args(flags)
        .arg("-o")
        .arg(output)
        .arg(".")
        .envs([("CGO_ENABLED", "0"), ("GOFLAGS", ""), ("GOWORK", "off")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    match started {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("the test cluster is built with Go, and `go` is not on the PATH; install Go 1.26 or newer")
        }
        other => other.context("cannot run `go`"),
    }
}

/// Keeps each line in the log and tells of every hundredth, for most name a package; returns the last few.
fn follow(child: &mut Child, log: &Path, progress: &mut dyn FnMut(&str)) -> anyhow::Result<String> {
    let mut log = File::create(log).with_context(|| format!("cannot write `{}`", log.display()))?;
    let mut last = VecDeque::new();
    let stderr = child.stderr.take().expect("stderr was asked to be a pipe");
    for (number, line) in BufReader::new(stderr).lines().enumerate() {
        let line = line.context("cannot read what `go build` says")?;
        writeln!(log, "{line}").context("cannot write the build's log")?;
        if number % 100 == 99 {
            progress(&format!("{} packages compiled", number + 1));
        }
        if last.len() == LOG_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    Ok(Vec::from(last).join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_stamp_is_the_version_that_go_mod_requires() {
        let go_mod = "require (\n\tk8s.io/kubectl v0.0.0\n\tk8s.io/kubernetes v1.36.3\n)\n";
        assert_eq!(kubernetes_version(go_mod).unwrap(), "1.36.3");
        assert!(kubernetes_version("module x\n").is_err());
    }

    #[test]
    fn the_hash_depends_on_the_flags() {
        let module = project::root().join("e2e/cluster");
        let flags = flags(&module).unwrap();
        assert_eq!(hash(&module, &flags).unwrap(), hash(&module, &flags).unwrap());
        assert_ne!(hash(&module, &flags).unwrap(), hash(&module, &[]).unwrap());
    }
}
