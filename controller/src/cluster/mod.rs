//! The cluster role: two replicas, one of which leads.

pub mod term;

use std::path::PathBuf;

/// `manifold-controller cluster`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The configuration file (YAML). Without one every key has its default.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Instead of the service account that the pod has.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
}

/// Runs until it is told to stop.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    anyhow::bail!("not built yet: {arguments:?}")
}
