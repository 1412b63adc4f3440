//! `cargo xtask`: the tool box of the project. Each verb is one module.

mod build;
mod conformance;
mod guest;
mod packages;
mod progress;
mod test;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, show, test and measure Manifold")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Installs what is needed and runs every test: unit, property, kernel, API
    Test(test::Options),
    /// Says for each row of docs/spec and docs/failures.md which test proves it
    Conformance(conformance::Options),
    /// Runs a command of this machine under a guest kernel that has every link type
    Guest(guest::Options),
    /// Builds the release executable `manifold` and prints its path
    Build,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().verb {
        Verb::Test(options) => test::run(&options),
        Verb::Conformance(options) => conformance::run(&options),
        Verb::Guest(options) => guest::run(&options),
        Verb::Build => build::release().map(|path| progress::line(&path.display().to_string())),
    }
}
