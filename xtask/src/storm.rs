//! `cargo xtask storm`: the seeded suites of `e2e/src/storm` for as long as one likes, with the executable of the build `fast`.
//! What they counted goes into `docs/reliability.md`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use manifold_e2e::storm::figures::Figures;
use manifold_e2e::storm::page;
use manifold_e2e::storm::run::{self, Ran, Suite};

use crate::{able, build, packages, progress};

const PAGE: &str = "docs/reliability.md";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long all suites run together
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Decides every choice; the same seed makes the same choices
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only suites whose title contains this; the figures are then not written
    #[arg(long)]
    only: Option<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    able::check("storm")?;
    packages::for_test()?;
    let executable = executable()?;
    progress::heading(&format!("Storm: {} minutes, seed {}", options.minutes, options.seed));
    let time = Duration::from_secs(60 * options.minutes);
    let all = run::suites(&executable, options.seed, time, options.only.as_deref(), &|suite, figures| {
        tell(suite, figures);
    });
    if options.only.is_none() {
        write(options, &all)?;
    }
    let bad: usize = all.iter().map(|ran| ran.figures.bad.len()).sum();
    if all.is_empty() {
        bail!("no suite has such a title; they are: {}", Suite::ALL.map(Suite::title).join(", "));
    }
    if bad > 0 {
        bail!("{bad} rounds went wrong; each is told above with what repeats it");
    }
    Ok(())
}

/// The one that is named, else that of the build `fast`.
fn executable() -> anyhow::Result<PathBuf> {
    match build::given()? {
        Some(path) => Ok(path),
        None => progress::watched("`manifold`, static", build::fast_shim),
    }
}

fn tell(suite: Suite, figures: Option<&Figures>) {
    let Some(figures) = figures else {
        return progress::line(&format!("  {} …", suite.title()));
    };
    let verdict = Figures::verdict(figures.bad.len() as u64, figures.all());
    let text = format!("  {}: {verdict}, in {} s", suite.title(), figures.took.as_secs());
    progress::line(&progress::verdict(figures.bad.is_empty(), &text));
    for (what, count) in figures.tried.iter().chain(&figures.noted) {
        progress::line(&format!("    {count} {what}"));
    }
    for (what, value) in &figures.measured {
        progress::line(&format!("    {what}: {value}"));
    }
    figures.told().iter().for_each(|wrong| progress::line(&format!("    WRONG: {wrong}")));
}

fn write(options: &Options, all: &[Ran]) -> anyhow::Result<()> {
    let path = build::root().join(PAGE);
    let old = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{PAGE}`"))?;
    let command = format!("cargo xtask storm --minutes {} --seed {}", options.minutes, options.seed);
    let figures = page::figures(&command, &today()?, &machine(), all);
    let new = page::with_figures(&old, &figures)
        .with_context(|| format!("`{PAGE}` has lost its marks for figures"))?;
    std::fs::write(&path, new).with_context(|| format!("cannot write `{PAGE}`"))?;
    progress::line(&format!("The figures are in `{PAGE}`."));
    Ok(())
}

fn today() -> anyhow::Result<String> {
    let out = std::process::Command::new("date").arg("+%Y-%m-%d").output().context("cannot run `date`")?;
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version: String = kernel.trim().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    format!("{cores} cores, Linux {}", version.trim_end_matches('.'))
}
