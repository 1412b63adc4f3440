//! The architectures that images are made for, and what a build for another one than this machine's needs.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::{build, packages};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arch {
    Amd64,
    Arm64,
}

impl Arch {
    pub(super) fn here() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::Amd64 }
    }

    /// As images and Go say it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    pub(super) fn triple(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// `e_machine` of its executables.
    pub(super) fn machine(self) -> u16 {
        match self {
            Self::Amd64 => 62,
            Self::Arm64 => 183,
        }
    }

    /// What cargo and the build scripts of C code have to be told, and nothing on a machine of this architecture.
    pub(super) fn cross(self) -> Vec<(String, &'static str)> {
        if self == Self::here() {
            return Vec::new();
        }
        let triple = self.triple();
        let linker = format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase().replace('-', "_"));
        let compiler = format!("CC_{}", triple.replace('-', "_"));
        vec![(linker, self.compiler()), (compiler, self.compiler())]
    }

    /// Debian's name for the C compiler that makes code for it.
    fn compiler(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu-gcc",
            Self::Arm64 => "aarch64-linux-gnu-gcc",
        }
    }

    /// Debian's cross compiler, where there is a list for it.
    pub(super) fn install_compiler(self) -> anyhow::Result<()> {
        match self {
            Self::Amd64 => Ok(()),
            Self::Arm64 => packages::for_arm64(),
        }
    }

    /// Whether this machine can build for it.
    pub(super) fn check(self) -> anyhow::Result<()> {
        if !has_library(self.triple())? {
            bail!("Rust has no library for {0} here; run `rustup target add {0}`", self.triple());
        }
        let compiler = self.compiler();
        if self != Self::here() && Command::new(compiler).arg("--version").output().is_err() {
            bail!(
                "`{compiler}` links for {}, and is not installed; install the package `{}`",
                self.name(),
                match self {
                    Self::Amd64 => "gcc-x86-64-linux-gnu",
                    Self::Arm64 => "gcc-aarch64-linux-gnu",
                }
            );
        }
        Ok(())
    }
}

/// Whether Rust's library for a target is installed.
pub(super) fn has_library(triple: &str) -> anyhow::Result<bool> {
    let words = ["--print", "target-libdir", "--target", triple];
    let out = Command::new("rustc").args(words).current_dir(build::root()).output();
    let out = out.context("`rustc` cannot be run")?;
    let folder = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    Ok(out.status.success() && Path::new(&folder).is_dir())
}
