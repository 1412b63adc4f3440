//! `cargo xtask test`: everything that must hold, in one run, with the time of each part.
//!
//! Three lanes run beside each other, for each of them waits a good deal (`lanes.rs`).

mod arm64;
mod changed;
mod durations;
mod in_guest;
mod lanes;
mod prepare;
mod selection;
pub(crate) mod suite;
pub(crate) mod tally;
mod verdict;

use std::time::Instant;

use crate::build::timings;
use crate::{able, build, conformance, progress};
use selection::Selection;
use tally::Tally;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only test executables whose package or name contains this; `cluster` is for those on the real cluster
    #[arg(long)]
    only: Option<String>,
    /// Only tests whose name contains this
    #[arg(long)]
    filter: Option<String>,
    /// Only suites that the files which differ from a revision can affect
    #[arg(long, value_name = "REV", num_args = 0..=1, default_missing_value = "HEAD", conflicts_with = "only")]
    changed: Option<String>,
    /// Says at the end where the time of the builds went
    #[arg(long)]
    timings: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let begin = Instant::now();
    able::check("test")?;
    progress::line("Preparing");
    let selection = Selection::from_options(options)?;
    timings::collect(options.timings);
    let mut tally = Tally::default();
    let built = prepare::all(&selection, &mut tally)?;
    progress::line("Testing");
    lanes::run(&built, &selection, options, &mut tally)?;
    let survey = conformance::Survey::read(&build::root())?;
    progress::line(&survey.total());
    let is_whole = selection.is_everything() && options.filter.is_none();
    let passed = is_whole.then_some(&tally.passed);
    let claims = survey.verify(passed).and_then(|()| survey.verify_types(&build::root(), passed));
    tally.tell();
    tally.durations.print();
    if options.timings {
        timings::print();
    }
    progress::line(&format!("Took {}", progress::seconds(begin.elapsed())));
    if let Err(wrong) = &claims {
        progress::line(&format!("{wrong:#}"));
    }
    let failed = tally.bad.len() + usize::from(claims.is_err());
    progress::line(&format!("{} passed, {failed} failed, {} skipped", tally.good, tally.skipped.len()));
    let is_empty = tally.good == 0 && options.changed.is_none();
    if failed > 0 || is_empty { std::process::exit(1) } else { Ok(()) }
}
