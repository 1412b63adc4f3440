//! `cargo xtask manifests`: what is rendered from the chart, which is the one source of every manifest.
//!
//! `deploy/` is for people without Helm, for the controller, which holds the cluster against its own manifests, and for
//! the tests. `docs/values.md` is the chart's schema as a table. A test compares all of it with what is checked in.

mod files;
mod page;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use manifold_e2e::helm::{Generation, Helm};

use crate::{build, progress};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Writes nothing; fails when a file is not what would be rendered
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let helm = progress::watched("Helm (cached)", |detail| {
        Helm::ensure(Generation::Four, &mut |step| detail.say(step))
    })?;
    let stale = stale(&helm)?;
    for (path, text) in &stale {
        progress::line(&format!("  {}", path.display()));
        if !options.check {
            write(path, text)?;
        }
    }
    match (stale.len(), options.check) {
        (0, _) => progress::line("everything is as the chart says"),
        (count, true) => {
            bail!("{count} files are not what the chart renders; run `cargo xtask manifests`")
        }
        (count, false) => progress::line(&format!("{count} files written")),
    }
    Ok(())
}

/// Each file that is missing or different, with what it should hold.
fn stale(helm: &Helm) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let root = build::root();
    let mut all = files::rendered(helm)?;
    for name in files::CRDS {
        let text = fs::read_to_string(root.join(files::CRDS_FROM).join(name));
        let text = text.with_context(|| format!("cannot read `{name}` of the crate `crds`"))?;
        all.insert(Path::new(files::CRDS_TO).join(name), text);
    }
    all.insert("docs/values.md".into(), page::page(&manifold_e2e::helm::chart())?);
    all.retain(|path, text| fs::read_to_string(root.join(path)).ok().as_ref() != Some(text));
    Ok(all)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let path = build::root().join(path);
    let folder = path.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))
}
