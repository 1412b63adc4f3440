//! `cargo xtask release`: what is published of a version, in `target/release-files`.
//!
//! The images of both architectures, which `cargo xtask images` has built; a list of what is linked into each executable;
//! where all of it comes from; checksums over all of these; and a signature over the checksums where a key is given.

mod checksums;
mod provenance;
mod sbom;
mod signature;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::{build, images, packages, progress};

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The tag that is published: it must be `v` and the version, and the changelog must have a section for it
    #[arg(long)]
    tag: Option<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    packages::for_release()?;
    let root = build::root();
    if let Some(tag) = &options.tag {
        check_tag(
            tag,
            &fs::read_to_string(root.join("CHANGELOG.md")).context("cannot read `CHANGELOG.md`")?,
        )?;
    }
    let origin = provenance::Origin::of_environment(&clean_revision(&root)?);
    let folder = build::target_dir().join("release-files");
    let archives = images::archives(&build::target_dir().join("images"))?;
    let files = write_files(&folder, &archives, &origin)?;
    if let Some(key) = signature::Key::of_environment()? {
        progress::line(&signature::sign(&key, &folder.join(checksums::FILE))?.display().to_string());
    }
    files.iter().for_each(|file| progress::line(&file.display().to_string()));
    Ok(())
}

/// Everything but the signature. What was in the folder before goes.
fn write_files(
    folder: &Path,
    archives: &[PathBuf],
    origin: &provenance::Origin,
) -> anyhow::Result<Vec<PathBuf>> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let mut files = Vec::new();
    for archive in archives {
        let name = archive.file_stem().unwrap_or_default().to_string_lossy();
        let file = folder.join(format!("{name}-{VERSION}.tar"));
        fs::copy(archive, &file).with_context(|| format!("cannot copy `{}`", archive.display()))?;
        files.push(file);
    }
    for executable in ["manifold", "manifold-controller"] {
        files.push(write(folder, &format!("{executable}-{VERSION}.cdx.json"), &sbom::of(executable)?)?);
    }
    let statement = provenance::statement(origin, &checksums::digests(&files)?)?;
    files.push(write(folder, &format!("manifold-{VERSION}.provenance.json"), &statement)?);
    let sums = checksums::text(&checksums::digests(&files)?);
    files.push(write(folder, checksums::FILE, &sums)?);
    Ok(files)
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}

fn check_tag(tag: &str, changelog: &str) -> anyhow::Result<()> {
    ensure!(tag == format!("v{VERSION}"), "the tag is `{tag}`, and the version in Cargo.toml is {VERSION}");
    let section = format!("## [{VERSION}] - ");
    if !changelog.lines().any(|line| line.starts_with(&section)) {
        bail!("CHANGELOG.md has no section `{section}DATE`: move what is below `[Unreleased]` there");
    }
    Ok(())
}

/// A release is of a commit, so what is not committed cannot be a part of it.
fn clean_revision(root: &Path) -> anyhow::Result<String> {
    let changes = git(root, &["status", "--porcelain"])?;
    ensure!(changes.is_empty(), "the working tree has changes; commit them, or stash them:\n{changes}");
    git(root, &["rev-parse", "HEAD"])
}

fn git(root: &Path, words: &[&str]) -> anyhow::Result<String> {
    let out = Command::new("git").args(words).current_dir(root).output().context("`git` cannot be run")?;
    if !out.status.success() {
        bail!("`git {}` failed: {}", words.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All files of a release, with archives whose bytes are made up.
    fn release(folder: &Path) -> Vec<PathBuf> {
        let archives = ["manifold-node-amd64.tar", "manifold-node-arm64.tar"].map(|name| {
            let path = folder.join(name);
            fs::write(&path, name).unwrap();
            path
        });
        let origin = provenance::Origin { revision: "1234".into(), source: None, builder: "urn:test".into() };
        write_files(&folder.join("files"), &archives, &origin).unwrap()
    }

    #[test]
    fn every_file_of_a_release_has_a_checksum_that_sha256sum_accepts() {
        let folder = tempfile::tempdir().unwrap();
        let files = release(folder.path());
        let out = Command::new("sha256sum")
            .args(["--check", "--strict", checksums::FILE])
            .current_dir(folder.path().join("files"))
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(String::from_utf8_lossy(&out.stdout).lines().count(), files.len() - 1);
    }

    #[test]
    fn a_signature_of_a_release_is_verified_with_the_public_key_alone() {
        packages::for_release().unwrap();
        let folder = tempfile::tempdir().unwrap();
        release(folder.path());
        let sums = folder.path().join("files").join(checksums::FILE);
        let key = folder.path().join("key");
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.unwrap().success());
        for given in [fs::read_to_string(&key).unwrap(), key.display().to_string()] {
            let signature = signature::sign(&signature::Key::parse(&given).unwrap(), &sums).unwrap();
            assert!(signature::is_valid(&sums, &signature, &key.with_extension("pub")).unwrap());
        }
        let signature = sums.with_file_name(format!("{}.sig", checksums::FILE));
        fs::write(&sums, "other sums\n").unwrap();
        assert!(!signature::is_valid(&sums, &signature, &key.with_extension("pub")).unwrap());
    }

    #[test]
    fn a_tag_must_be_the_version_with_a_section_in_the_changelog() {
        let changelog = format!("# Changelog\n\n## [{VERSION}] - 2026-01-01\n");
        check_tag(&format!("v{VERSION}"), &changelog).unwrap();
        assert!(check_tag("v0.0.0", &changelog).is_err());
        assert!(check_tag(&format!("v{VERSION}"), "# Changelog\n\n## [Unreleased]\n").is_err());
    }

    #[test]
    fn a_tree_with_changes_is_no_release() {
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "--quiet"]).unwrap();
        fs::write(folder.path().join("new"), "").unwrap();
        assert!(format!("{:#}", clean_revision(folder.path()).unwrap_err()).contains("new"));
    }
}
