//! `cargo xtask lint`: everything that reads the sources and runs nothing of them. `cargo xtask test` does the same,
//! its part for the compiler beside the builds and the rest as tests.

mod compatibility;
mod compiler;
mod dependencies;
mod links;
mod spelling;
mod wording;
mod workflows;

use anyhow::bail;

use crate::{messages, progress};

pub(crate) use compiler::check_sources;
pub(crate) use spelling::text_files;

/// A check, with the name that a person sees.
type Check = (&'static str, fn() -> anyhow::Result<()>);

const CHECKS: [Check; 8] = [
    ("rustfmt, clippy, documentation", check_sources),
    ("licences, duplicates and sources of dependencies (deny.toml)", dependencies::check),
    ("spelling", spelling::check),
    ("wording of documentation and messages", wording::check),
    ("page of messages (docs/messages.txt)", messages::check),
    ("links of the documentation", links::check),
    ("workflows", workflows::check),
    ("versions of the compatibility matrix", compatibility::check),
];

/// Runs all checks, also after one that failed, so that one run names everything.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        if let Err(error) = progress::step(name, check) {
            progress::line(&format!("{error:#}"));
            failed.push(name);
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("{} failed; see above", failed.join(" and ")) }
}
