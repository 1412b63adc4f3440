//! `cargo xtask images`: the two images, from nothing but static executables, by buildah, without a daemon or a registry.
//!
//! Each is an OCI archive below `target/images`, which any runtime imports and any tool pushes. The same executables give
//! the same bytes. Another architecture is built the same way, with its compiler.

mod arch;
mod elf;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::{build, packages, progress};
use arch::Arch;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// For which architecture; this machine's, where nothing is said
    #[arg(long)]
    arch: Option<Arch>,
    /// A static `manifold` that is there already
    #[arg(long, value_name = "PATH")]
    node_executable: Option<PathBuf>,
    /// A static `manifold-controller` that is there already
    #[arg(long, value_name = "PATH")]
    controller_executable: Option<PathBuf>,
}

/// The images: the name, and the executables in it.
const IMAGES: [(&str, &[&str]); 2] =
    [("node", &["manifold", "manifold-controller"]), ("controller", &["manifold-controller"])];
/// What the chart looks for where no registry is named.
const REGISTRY: &str = "localhost";

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    packages::for_images()?;
    let arch = options.arch.unwrap_or_else(Arch::here);
    let given = |name: &str| match name {
        "manifold" => options.node_executable.clone(),
        _ => options.controller_executable.clone(),
    };
    let mut executables = Vec::new();
    for name in ["manifold", "manifold-controller"] {
        let path = match given(name) {
            Some(path) => path,
            None => built(name, arch)?,
        };
        elf::check(&path, arch)?;
        executables.push((name, path));
    }
    let folder = build::target_dir().join("images");
    for (image, _) in IMAGES {
        let archive = progress::step(&format!("{} for {}", reference(image), arch.name()), || {
            image_of(image, arch, &executables, &folder)
        })?;
        progress::line(&archive.display().to_string());
    }
    Ok(())
}

/// The archives of all images for all architectures, which must be there.
pub(crate) fn archives(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for arch in [Arch::Amd64, Arch::Arm64] {
        for (image, _) in IMAGES {
            let archive = folder.join(format!("manifold-{image}-{}.tar", arch.name()));
            if !archive.is_file() {
                bail!("`{}` is missing; run `cargo xtask images --arch {}`", archive.display(), arch.name());
            }
            found.push(archive);
        }
    }
    Ok(found)
}

fn built(name: &'static str, arch: Arch) -> anyhow::Result<PathBuf> {
    if arch != Arch::here() {
        arch.install_compiler()?;
        ensure_target(arch.triple())?;
    }
    arch.check()?;
    progress::watched(&format!("`{name}` for {}, static", arch.name()), |detail| {
        build::released(name, arch.triple(), &arch.cross(), detail)
    })
}

/// Fails where an executable of this machine's architecture needs a dynamic linker.
pub(crate) fn check_static(path: &Path) -> anyhow::Result<()> {
    elf::check(path, Arch::here())
}

/// Has rustup fetch Rust's library for a target where it is missing.
pub(crate) fn ensure_target(triple: &str) -> anyhow::Result<()> {
    if arch::has_library(triple)? {
        return Ok(());
    }
    let out = Command::new("rustup").args(["target", "add", triple]).current_dir(build::root()).output();
    match out {
        Ok(out) if !out.status.success() => {
            bail!("`rustup target add {triple}` failed: {}", String::from_utf8_lossy(&out.stderr).trim())
        }
        Ok(_) => Ok(()),
        Err(_) => bail!("Rust has no library for {triple} here, and `rustup` is not installed to fetch it"),
    }
}

fn reference(image: &str) -> String {
    format!("{REGISTRY}/manifold-{image}:{}", env!("CARGO_PKG_VERSION"))
}

/// One image as an OCI archive; what was there under its name goes.
fn image_of(
    image: &str,
    arch: Arch,
    executables: &[(&str, PathBuf)],
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    let name = format!("manifold-{image}-{}", arch.name());
    let context = folder.join(&name);
    let _ = fs::remove_dir_all(&context);
    fs::create_dir_all(&context).with_context(|| format!("cannot make `{}`", context.display()))?;
    let (_, wanted) = IMAGES.iter().find(|(known, _)| *known == image).context("there is no such image")?;
    for (executable, path) in executables.iter().filter(|(executable, _)| wanted.contains(executable)) {
        fs::copy(path, context.join(executable))
            .with_context(|| format!("cannot copy `{}`", path.display()))?;
    }
    let archive = folder.join(format!("{name}.tar"));
    let _ = fs::remove_file(&archive);
    buildah(folder, &words(image, arch, &context))?;
    let target = format!("oci-archive:{}:{}", archive.display(), reference(image));
    buildah(folder, &["push".to_owned(), "--quiet".to_owned(), reference(image), target])?;
    fs::remove_dir_all(&context).context("the copies of the executables cannot be removed")?;
    Ok(archive)
}

fn words(image: &str, arch: Arch, context: &Path) -> Vec<String> {
    let file = build::root().join(format!("deploy/images/{image}.Containerfile"));
    let version = format!("VERSION={}", env!("CARGO_PKG_VERSION"));
    let revision = format!("REVISION={}", revision());
    let platform = format!("linux/{}", arch.name());
    // The time of the build is no part of an image, so that two builds are one.
    let words =
        ["build", "--quiet", "--pull-never", "--isolation", "chroot", "--timestamp", "0", "--platform"];
    let mut words: Vec<String> = words.map(str::to_owned).into();
    words.extend([platform, "--build-arg".into(), version, "--build-arg".into(), revision]);
    words.extend(["--file".into(), file.display().to_string(), "--tag".into(), reference(image)]);
    words.push(context.display().to_string());
    words
}

/// Where the sources stand; empty outside a repository.
fn revision() -> String {
    let out = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(build::root()).output();
    let out = out.ok().filter(|out| out.status.success());
    out.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default()
}

/// With a store of its own below the folder, so that no other image of the machine is seen or changed.
fn buildah(folder: &Path, words: &[String]) -> anyhow::Result<()> {
    let store = |name: &str| folder.join("store").join(name).display().to_string();
    let out = Command::new("buildah")
        .args(["--storage-driver", "vfs", "--root", &store("root"), "--runroot", &store("run")])
        .args(words)
        .output()
        .context("`buildah` cannot be run")?;
    if !out.status.success() {
        bail!("`buildah {}` failed: {}", words.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}
