//! `manifold-controller lint FILE…`: the checks of definitions on YAML files, without a cluster.
//!
//! `gather` reads the files, `documents` finds the objects in them, `judgement` holds each against the rules that the
//! admission webhook and the nodes go by, `place` tells the line in the file, `report` prints. Only `gather` and `run`
//! touch the outside. Exit codes: 0 nothing to refuse, 1 something, 2 a file cannot be read.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;

use crate::config::Config;

mod documents;
mod gather;
mod judgement;
mod pods;
mod position;
mod report;
mod scalar;
#[cfg(test)]
mod tests;

#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// YAML files, folders of them, or `-` for standard input.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// How to tell what was found.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// The configuration file of the controller, for isolation, limits and which plugins are bundled.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Warnings count as errors.
    #[arg(long)]
    pub strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One line for each finding, as compilers print them.
    Human,
    /// One JSON object, whose keys stay.
    Json,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = arguments.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    let policy = config.policy().context("the configuration is not valid")?;
    let texts = gather::gather(&arguments.files)?;
    let report = judgement::judge(&texts, &policy);
    let told = match arguments.format {
        Format::Human => report.human(),
        Format::Json => report.json(),
    };
    // Whoever closes the pipe early has seen enough; the exit code still tells.
    let _ = std::io::stdout().lock().write_all(told.as_bytes());
    Ok(ExitCode::from(u8::from(report.fails(arguments.strict))))
}
