//! A program that comes by name from the Go module proxy: where it is, and how it comes to be there.
//!
//! Each has a module of its own in `e2e/`, which pins its version and everything below. It is built once, then found in the
//! cache by the hash of what decides its bytes. A cold build takes minutes, so it reports what it does, and two
//! processes never build the same at once.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use crate::project;

/// How much of a failed build's log the error repeats.
const LOG_LINES: usize = 15;

#[derive(Clone, Debug)]
pub struct GoTool {
    /// The folder of the module, from the project's root.
    pub module: &'static str,
    /// What of the folder decides the bytes of the executable, beside the flags.
    pub sources: &'static [&'static str],
    /// What is built: `.`, or the path of a package that the module names as its tool.
    pub package: &'static str,
    /// Of the executable.
    pub name: &'static str,
    /// For whoever waits: what is built, and about how long it takes.
    pub about: &'static str,
    /// Of the linker.
    pub linker: String,
}

impl GoTool {
    /// The cached executable; built first where the cache lacks it. `progress` hears one line per step.
    pub fn executable(&self, progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
        let folder = project::cache().join(self.name).join(self.hash()?);
        let executable = folder.join(self.name);
        if executable.is_file() {
            return Ok(executable);
        }
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the cache folder `{}`", folder.display()))?;
        let _one_builder = self.wait_for_lock(&folder, progress)?;
        if !executable.is_file() {
            self.build(&folder, progress)?;
        }
        Ok(executable)
    }

    /// The folder of one of its modules, fetched if it is missing: for files that are not code.
    pub fn module_folder(&self, path: &str) -> anyhow::Result<PathBuf> {
        let words = ["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", path];
        let fetch = self.go(&["mod", "download", path]).output().map_err(no_go)?;
        let listed = self.go(&words).output().map_err(no_go)?;
        let folder = String::from_utf8_lossy(&listed.stdout).trim().to_owned();
        if folder.is_empty() {
            let said = [fetch.stderr, listed.stderr].concat();
            bail!("the Go module `{path}` cannot be had: {}", String::from_utf8_lossy(&said).trim());
        }
        Ok(folder.into())
    }

    fn flags(&self) -> Vec<String> {
        let linker = format!("-s -w{}", self.linker);
        vec!["-trimpath".into(), "-buildvcs=false".into(), "-mod=readonly".into(), "-ldflags".into(), linker]
    }

    fn hash(&self) -> anyhow::Result<String> {
        let mut hash = Sha256::new();
        for source in self.sources {
            hash.update(read(&self.folder().join(source))?);
            hash.update([0]);
        }
        for flag in self.flags() {
            hash.update(flag);
            hash.update([0]);
        }
        Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    fn folder(&self) -> PathBuf {
        project::root().join(self.module)
    }

    fn wait_for_lock(&self, folder: &Path, progress: &mut dyn FnMut(&str)) -> anyhow::Result<Flock<File>> {
        let path = folder.join("lock");
        let file = File::create(&path).with_context(|| format!("cannot open `{}`", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(lock),
            Err((file, _held)) => {
                progress(&format!("another process is building {}; waiting for it", self.about));
                Flock::lock(file, FlockArg::LockExclusive)
                    .map_err(|(_, errno)| io::Error::from(errno))
                    .with_context(|| format!("cannot lock `{}`", path.display()))
            }
        }
    }

    fn build(&self, folder: &Path, progress: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
        progress(&format!("building {}", self.about));
        let unfinished = folder.join(format!("{}.unfinished", self.name));
        let mut command = self.go(&["build", "-v"]);
        command.args(self.flags()).arg("-o").arg(&unfinished).arg(self.package);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(no_go)?;
        let last = follow(&mut child, &folder.join("build.log"), progress)?;
        let status = child.wait().context("cannot wait for `go build`")?;
        if !status.success() {
            bail!("`go build` in `{}` ended with {status}; its last words:\n{last}", self.module);
        }
        // Only a whole executable ever has the final name.
        fs::rename(&unfinished, folder.join(self.name))
            .context("cannot put the built executable in place")?;
        progress(&format!("`{}` is built", self.name));
        Ok(())
    }

    fn go(&self, words: &[&str]) -> Command {
        let mut command = Command::new("go");
        command
            .current_dir(self.folder())
            .args(words)
            .envs([("CGO_ENABLED", "0"), ("GOFLAGS", ""), ("GOWORK", "off")])
            .stdin(Stdio::null());
        command
    }
}

pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn no_go(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!(
            "the test bed's tools are built with Go, and `go` is not on the PATH; install Go 1.26 or newer"
        ),
        _ => anyhow::Error::new(error).context("cannot run `go`"),
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

    fn tool(linker: &str) -> GoTool {
        GoTool {
            module: "e2e/whereabouts",
            sources: &["go.mod", "go.sum"],
            package: ".",
            name: "x",
            about: "x",
            linker: linker.into(),
        }
    }

    #[test]
    fn the_hash_depends_on_the_flags() {
        assert_eq!(tool("").hash().unwrap(), tool("").hash().unwrap());
        assert_ne!(tool("").hash().unwrap(), tool(" -X a=b").hash().unwrap());
    }
}
