//! `cargo xtask`: the tool box of the project. Each verb is one module.

mod able;
mod bench;
mod book;
mod build;
mod cache;
mod chart;
mod cluster;
mod conformance;
mod demo;
mod e2e;
mod fuzz;
mod guest;
mod guides;
mod images;
mod lint;
mod messages;
mod packages;
mod progress;
mod release;
mod storm;
mod table;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, show, test and measure Manifold")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Shows two pods with three networks each, from deploy/examples; needs no cluster
    Demo(demo::Options),
    /// Installs what is needed and runs every test: unit, property, kernel, API
    Test(test::Options),
    /// Runs libFuzzer on everything that is read from others, for some time each
    Fuzz(fuzz::Options),
    /// Checks sources, dependencies, spelling and workflows without running anything of them
    Lint,
    /// Measures ADD and DEL through a real API server, beside the floors and beside peers
    Bench(Box<bench::Options>),
    /// Says for each row of docs/spec and docs/failures.md which test proves it
    Conformance(conformance::Options),
    /// A real cluster on this machine: two nodes with kubelet and containerd
    Cluster(cluster::Options),
    /// Tests on that cluster, which is started when it is not up: workloads, reboots, an API server that is away
    E2e(e2e::Options),
    /// Runs a command of this machine under a guest kernel that has every link type
    Guest(guest::Options),
    /// Follows the guides for contributors literally, in a copy of the sources
    Guides,
    /// Runs the seeded suites for as long as one likes, and writes their figures into docs/reliability.md
    Storm(storm::Options),
    /// Builds both images as OCI archives, for this architecture or another one
    Images(images::Options),
    /// Collects what is published of a version: images, bills of materials, provenance, checksums, signature
    Release(release::Options),
    /// Renders the plain manifests and the table of values from the chart
    Manifests(chart::Options),
    /// Builds docs/ as a book in target/book and checks its links
    Book,
    /// Writes docs/messages.txt: every sentence that a user can see
    Messages,
    /// Lists or cleans what is built once for every clone: Kubernetes, Helm, the guest kernel
    Cache(cache::Options),
    /// Builds the release executables `manifold` and `manifold-controller` and prints their paths
    Build,
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Demo(options) => demo::run(&options),
        Verb::Test(options) => test::run(&options),
        Verb::Fuzz(options) => fuzz::run(&options),
        Verb::Lint => lint::run(),
        Verb::Bench(options) => bench::run(&options),
        Verb::Conformance(options) => conformance::run(&options),
        Verb::Cluster(options) => cluster::run(&options),
        Verb::E2e(options) => e2e::run(&options),
        Verb::Guest(options) => guest::run(&options),
        Verb::Guides => guides::run(),
        Verb::Storm(options) => storm::run(&options),
        Verb::Images(options) => images::run(&options),
        Verb::Release(options) => release::run(&options),
        Verb::Manifests(options) => chart::run(&options),
        Verb::Book => book::run(),
        Verb::Messages => messages::write(),
        Verb::Cache(options) => cache::run(&options),
        Verb::Build => build_both(),
    }
}

fn build_both() -> anyhow::Result<()> {
    let shim = progress::watched("`manifold`, static, link-time optimised", build::release)?;
    let controller =
        progress::watched("`manifold-controller`, static, link-time optimised", build::release_controller)?;
    build::check_release(&shim)?;
    [shim, controller].iter().for_each(|path| progress::line(&path.display().to_string()));
    Ok(())
}
