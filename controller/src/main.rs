//! Reads the arguments, calls the library, picks the exit code.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use manifold_cni::log_line::OneLine;
use manifold_controller::{address_report, cluster, lint, metrics_page, node, uninstall};
use tracing::warn;
use tracing_subscriber::filter::LevelFilter;

/// Subcommands of earlier releases and their new names. One release accepts both.
const RENAMED_SUBCOMMANDS: [(&str, &str); 2] = [("cluster", "controller"), ("node", "agent")];

/// The controller of Manifold.
#[derive(Debug, Parser)]
#[command(name = "manifold-controller", version, about)]
enum Command {
    /// Runs the controller: keeps definitions, counts their pods, answers admission reviews
    #[command(name = "controller", alias = "cluster")]
    Cluster(cluster::Arguments),
    /// Runs the node agent: installs Manifold on its node and keeps it installed
    #[command(name = "agent", alias = "node")]
    Node(node::Arguments),
    /// Restores the CNI folders of every node, then removes Manifold's objects from the cluster
    Uninstall(uninstall::Arguments),
    /// Checks NetworkAttachmentDefinitions and pods in files as the admission webhook would, without a cluster
    Lint(lint::Arguments),
    /// Shows which pod has which address, and whether blocks, pods and claims agree
    Addresses(address_report::Arguments),
    /// Prints every metric of the controller and the node agent, with labels and their values
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
    warn_of_renamed_subcommand();
    let ended = match &command {
        Command::Cluster(arguments) => cluster::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Node(arguments) => node::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Uninstall(arguments) => uninstall::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Lint(arguments) => lint::run(arguments),
        Command::Addresses(arguments) => address_report::run(arguments),
        Command::Metrics => metrics_page::print().map(|()| ExitCode::SUCCESS),
    };
    ended.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "{error:#}");
        ExitCode::from(2)
    })
}

fn warn_of_renamed_subcommand() {
    let given = std::env::args().nth(1).unwrap_or_default();
    if let Some((old, new)) = RENAMED_SUBCOMMANDS.iter().find(|(old, _)| *old == given) {
        warn!("the subcommand `{old}` is deprecated and the next release removes it; use `{new}`");
    }
}
