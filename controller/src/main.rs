//! Reads the arguments, calls the library, picks the exit code.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use manifold_cni::log_line::OneLine;
use manifold_controller::{cluster, lint, metrics_page, node, uninstall};
use tracing_subscriber::filter::LevelFilter;

/// The controller of Manifold.
#[derive(Debug, Parser)]
#[command(name = "manifold-controller", version, about)]
enum Command {
    /// The cluster role: keeps definitions, counts their pods, answers admission reviews.
    Cluster(cluster::Arguments),
    /// The node role: installs Manifold on the node it runs on, and keeps it so.
    Node(node::Arguments),
    /// Has every node give its CNI folders back, then lets the cluster's objects go.
    Uninstall(uninstall::Arguments),
    /// Checks NetworkAttachmentDefinitions in YAML files as the admission webhook would, without a cluster.
    Lint(lint::Arguments),
    /// Prints every metric of both roles, with labels and their values.
    Metrics,
}

fn main() -> ExitCode {
    let command = Command::parse();
    tracing_subscriber::fmt()
        // Texts of the API server's objects are in some of its lines.
        .with_writer(|| OneLine(std::io::stderr()))
        .with_ansi(false)
        .with_max_level(LevelFilter::INFO)
        .init();
    let ended = match &command {
        Command::Cluster(arguments) => cluster::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Node(arguments) => node::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Uninstall(arguments) => uninstall::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Lint(arguments) => lint::run(arguments),
        Command::Metrics => metrics_page::print().map(|()| ExitCode::SUCCESS),
    };
    ended.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "{error:#}");
        ExitCode::from(2)
    })
}
