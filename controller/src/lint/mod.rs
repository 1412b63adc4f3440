//! `manifold-controller lint FILE…`: the checks of definitions on YAML files, without a cluster.

use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// YAML files, or `-` for standard input.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not built yet: {arguments:?}")
}
