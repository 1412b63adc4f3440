//! `cargo xtask bench controller`: what the controller costs with many pods, and how far its statuses are behind.
//!
//! A real API server, the release executable in two replicas, and a cluster's worth of objects in steps. At each step
//! the replicas' memory is read at rest; then pods are replaced at a steady pace, and every change is timed until the
//! definition's status says it ([`lag`]); then all replicas are stopped and started again.
//!
//! Pods are made with the status that they would have, so the policy that forbids that to users is taken off, as the
//! value `statusOnCreate: warn` does for restored backups.

mod churn;
mod lag;
pub(super) mod process;
mod report;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use manifold_e2e::api_server::{self, ApiServer};
use manifold_e2e::audit::Audit;
use manifold_e2e::controller::{self, Controllers, USER};
use manifold_e2e::load::Fleet;
use serde_json::json;

use crate::{build, progress};
use churn::Churn;
use lag::Lags;
use process::Usage;
use report::{Churned, Step};

/// The binding of the policy that keeps statuses from users.
const STATUS_POLICY: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/manifold-status-not-for-users";
/// So long without a request that writes, and a step is at rest.
const CALM: Duration = Duration::from_secs(3);
/// For a step to come to rest.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// How many pods there are, in steps
    #[arg(long, value_delimiter = ',', default_value = "15000,50000")]
    pods: Vec<usize>,
    #[arg(long, default_value_t = 5000)]
    nodes: usize,
    /// How many definitions there are
    #[arg(long, default_value_t = 500)]
    nads: usize,
    /// Pods that are replaced each second
    #[arg(long, default_value_t = 20)]
    churn: u32,
    /// How long they are
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let begin = Instant::now();
    ensure!(options.nads > 0 && options.nodes > 0 && options.churn > 0, "give one or more of each");
    progress::heading("Preparing");
    let executable = match build::given_controller()? {
        Some(given) => given,
        None => progress::watched("the controller, static, link-time optimised", build::release_controller)?,
    };
    let audit = Audit::of(USER)?;
    let api = progress::step("API server", || start_server(&audit))?;
    let bed = progress::step("two replicas", || {
        let options = controller::Options {
            replicas: 2,
            config: json!({"lease": {"durationSeconds": 10, "retrySeconds": 2}}),
            executable: Some(executable),
            ..controller::Options::default()
        };
        Controllers::start(&api, &options)
    })?;
    api.client().call("DELETE", STATUS_POLICY, "application/json", b"")?;
    let fleet = Fleet { api: &api, nodes: options.nodes, definitions: options.nads, hands: 8 };
    progress::step(&format!("{} nodes, {} definitions", options.nodes, options.nads), || {
        fleet.make_nodes()?;
        fleet.make_definitions()
    })?;
    progress::heading("Measuring");
    let bench = Bench { options, bed: &bed, fleet, audit: &audit };
    let mut lags = Lags::watch(&api)?;
    let mut churn = Churn::new(fleet);
    let mut steps = Vec::new();
    for pods in &options.pods {
        steps.push(bench.step(*pods, &mut churn, &mut lags)?);
    }
    report::print(&steps, options);
    progress::line(&format!("Took {}", progress::seconds(begin.elapsed())));
    Ok(())
}

fn start_server(audit: &Audit) -> anyhow::Result<ApiServer> {
    let mut flags = audit.flags();
    // Those who write the pods are many, and must not make the controller wait.
    flags.extend(["--max-requests-inflight=2000".into(), "--max-mutating-requests-inflight=1000".into()]);
    ApiServer::start_with(api_server::Options { flags, ..api_server::Options::default() })
}

/// What stays the same from step to step.
struct Bench<'a> {
    options: &'a Options,
    bed: &'a Controllers<'a>,
    fleet: Fleet<'a>,
    audit: &'a Audit,
}

impl Bench<'_> {
    fn step(&self, pods: usize, churn: &mut Churn<'_>, lags: &mut Lags) -> anyhow::Result<Step> {
        let made = Instant::now();
        let before = churn.base();
        progress::watched(&format!("{pods} pods"), |detail| {
            // In portions, to say how far it is.
            for from in (before..pods).step_by(1000) {
                self.fleet.make_pods(from..pods.min(from + 1000))?;
                detail.say(&format!("{from}"));
            }
            churn.grow(pods, lags);
            self.rest(lags)
        })?;
        let made = made.elapsed();
        let memory = self.usage()?;
        let churned = self.churned(churn, lags)?;
        let restart = progress::step("stop and start again", || self.restart(lags))?;
        let after = self.usage()?;
        Ok(Step { pods, made, memory, after, churned, restart, api: self.api_memory()? })
    }

    /// Requests a second by verb and resource, processor seconds of each replica, and the lag of every change.
    fn churned(&self, churn: &mut Churn<'_>, lags: &mut Lags) -> anyhow::Result<Churned> {
        let (options, seconds) = (self.options, self.options.seconds);
        progress::watched(&format!("{} pods replaced a second, {seconds} s", options.churn), |detail| {
            let (asked, usage) = (self.audit.entries()?.len(), self.usage()?);
            let begin = Instant::now();
            churn.run(options.churn, Duration::from_secs(seconds), lags, detail)?;
            let took = begin.elapsed();
            let requests = self.audit.entries()?.split_off(asked);
            let cpu = self.usage()?.iter().zip(&usage).map(|(now, then)| now.cpu - then.cpu).collect();
            self.rest(lags)?;
            Ok(Churned { took, requests, cpu, times: lags.take() })
        })
    }

    /// Until every definition says how many pods it has, and no write came for a while.
    fn rest(&self, lags: &mut Lags) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        lags.wait_until_right(deadline)?;
        let writes = || {
            anyhow::Ok(
                self.audit.entries()?.iter().filter(|e| e.is_write() && e.resource != "leases").count(),
            )
        };
        let mut known = (writes()?, Instant::now());
        while known.1.elapsed() < CALM {
            ensure!(Instant::now() < deadline, "the controller writes on and on");
            thread::sleep(Duration::from_millis(200));
            let count = writes()?;
            if count != known.0 {
                known = (count, Instant::now());
            }
        }
        Ok(())
    }

    /// How long until both are ready, and until a change after the start is told.
    fn restart(&self, lags: &mut Lags) -> anyhow::Result<(Duration, Duration)> {
        for replica in self.bed.replicas() {
            replica.stop()?;
        }
        let begin = Instant::now();
        self.bed.replicas().iter().try_for_each(|replica| replica.start())?;
        self.bed.replicas().iter().try_for_each(|replica| replica.wait_ready())?;
        let ready = begin.elapsed();
        lags.probe(&self.fleet, begin + PATIENCE)?;
        Ok((ready, begin.elapsed()))
    }

    fn usage(&self) -> anyhow::Result<Vec<Usage>> {
        // The leader first.
        let leader = self.bed.wait_for_leader()?.pid();
        let pids = self.bed.replicas().iter().map(|replica| replica.pid());
        let mut pids: Vec<u32> = pids.collect::<Option<_>>().context("a replica does not run")?;
        pids.sort_by_key(|pid| Some(*pid) != leader);
        pids.into_iter().map(Usage::of).collect()
    }

    fn api_memory(&self) -> anyhow::Result<f64> {
        let (api, etcd) = self.bed.api().pids();
        let both = api.into_iter().chain([etcd]).map(Usage::of);
        both.map(|usage| usage.map(|usage| usage.resident)).sum()
    }
}
