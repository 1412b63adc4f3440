//! `manifold-controller addresses`: who has which address, read once from the API server; and whether blocks, pods and claims
//! agree.
//!
//! `facts` reads, `who`, `node`, `pool` and `check` decide what to say without asking anybody. Exit codes: 0, with `--check` 1
//! where anything differs, 2 where the API server cannot be read.

mod check;
mod facts;
mod node;
mod pool;
#[cfg(test)]
mod tests;
mod who;

use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use kube::Client;
use manifold_crds::ipam::{Domain, NodeName, PoolName};
use tokio::runtime::Builder;

use crate::connect;

#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub question: Question,
    /// With `--who`: the domain of the address.
    #[arg(long, default_value_t)]
    pub domain: Domain,
    /// Instead of the one that kubectl would use, or of the service account that the pod has.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Question {
    /// Which nodes have how many addresses of this pool.
    #[arg(long)]
    pub pool: Option<PoolName>,
    /// What this node has.
    #[arg(long)]
    pub node: Option<NodeName>,
    /// Who has this address.
    #[arg(long)]
    pub who: Option<IpAddr>,
    /// Where blocks, pods and claims differ.
    #[arg(long)]
    pub check: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runtime =
        Builder::new_current_thread().enable_all().build().context("the event loop cannot be made")?;
    runtime.block_on(async {
        let client = connect::client(kubeconfig(arguments).as_deref()).await?;
        let (text, differs) = answer(&client, arguments).await?;
        // Whoever closes the pipe early has seen enough.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
        Ok(ExitCode::from(u8::from(differs)))
    })
}

/// As kubectl looks for it; none in a pod.
fn kubeconfig(arguments: &Arguments) -> Option<PathBuf> {
    let named = std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    let at_home = || std::env::home_dir().map(|home| home.join(".kube/config")).filter(|path| path.is_file());
    arguments.kubeconfig.clone().or(named).or_else(at_home)
}

/// What to print, and whether anything differs.
pub async fn answer(client: &Client, arguments: &Arguments) -> anyhow::Result<(String, bool)> {
    let Question { pool, node, who, check: _ } = &arguments.question;
    if let Some(ip) = who {
        return Ok((who::answer(client, &arguments.domain, *ip).await?, false));
    }
    if let Some(node) = node {
        return Ok((node::answer(client, node).await?, false));
    }
    if let Some(pool) = pool {
        return Ok((pool::answer(client, pool).await?, false));
    }
    let differences = check::differences(&facts::everything(client).await?);
    Ok((check::told(&differences), !differences.is_empty()))
}

/// Columns as kubectl prints them.
fn table(rows: &[Vec<String>]) -> String {
    let width =
        |n: usize| rows.iter().filter_map(|row| row.get(n)).map(String::len).max().unwrap_or_default();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().enumerate().map(|(n, cell)| format!("{cell:<w$}", w = width(n))).collect();
        format!("{}\n", cells.join("   ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}
