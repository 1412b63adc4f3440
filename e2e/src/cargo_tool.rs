//! A program that comes by name from crates.io: built once by `cargo install`, then found in the cache that all clones share.
//!
//! The folder's name has the version and the flags in it. Two processes never build the same at once.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest as _, Sha256};

use crate::cargo_command::cargo_command;
use crate::project;

/// How much of a failed build's output the error repeats.
const ERROR_LINES: usize = 15;

#[derive(Clone, Copy, Debug)]
pub struct CargoTool {
    /// Of the crate and of its executable.
    pub name: &'static str,
    pub version: &'static str,
    /// Of `cargo install`: features and profile.
    pub flags: &'static [&'static str],
    /// What is built, and about how long it takes.
    pub about: &'static str,
}

impl CargoTool {
    /// The cached executable; built first if the cache lacks it. `progress` gets one line per step.
    ///
    /// # Errors
    /// If the crate cannot be fetched or built.
    pub fn executable(&self, progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
        let folder = project::cache().join(self.name).join(self.hash());
        let executable = folder.join("bin").join(self.name);
        if executable.is_file() {
            return Ok(executable);
        }
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the cache folder `{}`", folder.display()))?;
        let _one_builder = lock(&folder)?;
        if !executable.is_file() {
            progress(&format!("building {}", self.about));
            self.install(&folder)?;
            progress(&format!("`{}` is built", self.name));
        }
        Ok(executable)
    }

    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for word in [self.name, self.version].iter().chain(self.flags) {
            hash.update(word);
            hash.update([0]);
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Cargo gives the executable its final name only when it is whole.
    fn install(&self, folder: &Path) -> anyhow::Result<()> {
        let build = tempfile::tempdir_in(folder).context("cannot make a folder for the build")?;
        let named = format!("{}@{}", self.name, self.version);
        let mut command = cargo_command();
        command.args(["install", "--quiet", "--locked", "--root"]).arg(folder).args(self.flags).arg(&named);
        // Outside the workspace, whose settings are not for this crate.
        command.current_dir(folder).env("CARGO_TARGET_DIR", build.path()).stdin(Stdio::null());
        let output = command.output().context("cannot run `cargo install`")?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.get(lines.len().saturating_sub(ERROR_LINES)..).unwrap_or_default().join("\n");
            bail!("`cargo install {named}` ended with {}; the end of its output:\n{last}", output.status);
        }
        Ok(())
    }
}

fn lock(folder: &Path) -> anyhow::Result<Flock<File>> {
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot open `{}`", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| io::Error::from(errno))
        .with_context(|| format!("cannot lock `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_or_flag_has_another_place_in_the_cache() {
        let tool = CargoTool { name: "x", version: "1.0.0", flags: &["--debug"], about: "x" };
        let newer = CargoTool { version: "1.0.1", ..tool };
        let other = CargoTool { flags: &[], ..tool };
        assert_eq!(tool.hash(), tool.clone().hash());
        assert!(tool.hash() != newer.hash() && tool.hash() != other.hash());
    }
}
