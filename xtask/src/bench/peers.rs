//! Programs to compare with, each by path: none of them is built or fetched here.

use std::path::PathBuf;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Peers {
    /// Multus, the thin plugin, to compare with
    #[arg(long)]
    pub(super) multus: Option<PathBuf>,
    /// Multus, the thick plugin's shim; with --multus-daemon
    #[arg(long, requires = "multus_daemon")]
    pub(super) multus_shim: Option<PathBuf>,
    #[arg(long, requires = "multus_shim")]
    pub(super) multus_daemon: Option<PathBuf>,
    /// The folder of the reference plugins
    #[arg(long, default_value = "/usr/lib/cni")]
    pub(super) cni_path: PathBuf,
}
