//! `cargo xtask guest CMD…`: one command under a kernel that has every link type, as root, in the same folder.

use std::ffi::OsString;
use std::io::Write as _;
use std::time::Duration;

use manifold_e2e::guest;

use crate::progress;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds after which the guest is ended
    #[arg(long, default_value_t = 900)]
    deadline: u64,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    guest::ensure(&mut progress::line)?;
    let out = guest::run(&options.command, std::env::vars_os(), Duration::from_secs(options.deadline))?;
    std::io::stdout().write_all(&out.stdout)?;
    std::io::stderr().write_all(&out.stderr)?;
    std::process::exit(out.status.code().unwrap_or(1))
}
