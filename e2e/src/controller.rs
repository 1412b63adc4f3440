//! The controller as a cluster runs it: its manifests applied, its replicas as processes, each with the token of its
//! account and no more rights than `deploy/rbac` gives it.
//!
//! A replica listens on loopback, where the bed reads its metrics. The webhook is reached as in a cluster, through the
//! Service's name: what stands behind it ([`service`]) hands each connection to a replica that is there. Replicas can be
//! killed, stopped, put to sleep and started again; the ports stay.

mod manifests;
mod metrics;
mod replica;
mod service;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::api_server::ApiServer;
use crate::executable;
use crate::janitor::Scratch;
use crate::kubeconfig::{self, User};
use crate::ports;

pub use manifests::{NAMESPACE, install};
pub use metrics::Metrics;
pub use replica::Replica;
use service::Service;

/// What the controller speaks to the API server as.
pub const ACCOUNT: &str = "manifold-cluster";
/// The same, as audit logs and policies have it.
pub const USER: &str = "system:serviceaccount:manifold-system:manifold-cluster";
/// What is not there by then never will be, however busy the machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/manifold-system/leases/manifold-controller";

/// How a bed may differ from one replica with the defaults.
#[derive(Clone, Debug)]
pub struct Options {
    pub replicas: usize,
    /// Keys of the configuration file, laid over those of the bed (ports, a Lease that moves within seconds).
    pub config: Value,
    /// Without: nobody asks the webhook, and what it would refuse is stored.
    pub webhook: bool,
    /// The executable; none: see [`executable()`].
    pub executable: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { replicas: 1, config: json!({}), webhook: true, executable: None }
    }
}

/// Replicas of the controller beside an API server. Dropping it ends them.
#[derive(Debug)]
pub struct Controllers<'a> {
    api: &'a ApiServer,
    replicas: Vec<Replica>,
    // Dropped last: what lies there is in use.
    _service: Option<Service>,
    _folder: Scratch,
}

impl<'a> Controllers<'a> {
    /// Applies the manifests, starts the replicas, and waits until all are ready, one leads, and reviews are answered.
    pub fn start(api: &'a ApiServer, options: &Options) -> anyhow::Result<Self> {
        let executable = options.executable.clone().map_or_else(executable, Ok)?;
        install(api)?;
        let folder = Scratch::new("controller").context("cannot make a temporary folder")?;
        let kubeconfig = credentials(api, folder.path())?;
        let replicas = (0..options.replicas)
            .map(|number| {
                let [status, admission] = ports::free(api.netns())?;
                let place =
                    replica::Place { number, status, admission, netns: api.netns().map(Path::to_path_buf) };
                let config = merged(config(status, admission), &options.config);
                Replica::new(&executable, folder.path(), &kubeconfig, place, &config)
            })
            .collect::<anyhow::Result<Vec<Replica>>>()?;
        let service = options
            .webhook
            .then(|| Service::before(replicas.iter().map(Replica::admission_port).collect(), api.netns()))
            .transpose()?;
        if let Some(service) = &service {
            manifests::webhook(api, service.port())?;
        }
        let bed = Self { api, replicas, _service: service, _folder: folder };
        bed.wait("the rights of its account", || manifests::rights_hold(api))?;
        bed.replicas.iter().try_for_each(Replica::start)?;
        bed.wait_ready()?;
        Ok(bed)
    }

    /// Returns when every replica that runs is ready, one of them leads, and the API server can ask the webhook.
    pub fn wait_ready(&self) -> anyhow::Result<()> {
        for replica in self.replicas.iter().filter(|r| r.is_running()) {
            replica.wait_ready()?;
        }
        self.wait("a leader", || Ok(self.leader()?.is_some()))?;
        if self._service.is_some() {
            self.wait("the webhook's CA", || manifests::webhook_has_ca(self.api))?;
        }
        Ok(())
    }

    pub fn api(&self) -> &'a ApiServer {
        self.api
    }

    pub fn replicas(&self) -> &[Replica] {
        &self.replicas
    }

    pub fn replica(&self, number: usize) -> &Replica {
        self.replicas.get(number).expect("a bed has the replicas that it was asked for")
    }

    /// The replica that the Lease names and that knows it. One that was just killed is still named, and one that started
    /// in its place does not know.
    pub fn leader(&self) -> anyhow::Result<Option<&Replica>> {
        let Some(holder) = self.holder()? else { return Ok(None) };
        let leads = |replica: &&Replica| {
            let knows = || replica.metrics().is_ok_and(|all| all.sum("manifold_leader", &[]) == 1.0);
            holder.contains(replica.identity()) && replica.is_running() && knows()
        };
        Ok(self.replicas.iter().find(leads))
    }

    /// What the Lease says, `None` while nobody holds it.
    pub fn holder(&self) -> anyhow::Result<Option<String>> {
        let answer = self.api.client().get(LEASE)?;
        match answer.status {
            404 => Ok(None),
            _ if answer.ok() => Ok(answer
                .json()?
                .pointer("/spec/holderIdentity")
                .and_then(Value::as_str)
                .filter(|holder| !holder.is_empty())
                .map(str::to_string)),
            status => bail!("GET {LEASE} was refused with {status}: {}", answer.text()),
        }
    }

    /// The leader, waited for.
    pub fn wait_for_leader(&self) -> anyhow::Result<&Replica> {
        let mut found = None;
        self.wait("a leader", || {
            found = self.leader()?;
            Ok(found.is_some())
        })?;
        found.context("there is no leader")
    }

    /// As if its holder had given it back.
    pub fn take_the_lease_away(&self) -> anyhow::Result<()> {
        self.api.client().send("PATCH", LEASE, &json!({"spec": {"holderIdentity": null}})).map(drop)
    }

    /// Manifests that a test took away and did not bring back, for it failed in between: the next is not to fail for that.
    pub fn install_again(&self) -> anyhow::Result<()> {
        install(self.api)?;
        self._service.as_ref().map_or(Ok(()), |service| manifests::webhook(self.api, service.port()))
    }

    /// Waits for a condition; what was never met is an error that repeats the last words of all replicas.
    pub fn wait(&self, what: &str, mut met: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let why = match met() {
                Ok(true) => return Ok(()),
                Ok(false) => String::new(),
                // The API server may be away for a moment.
                Err(error) => format!(" ({error:#})"),
            };
            if Instant::now() > deadline {
                let words: Vec<String> = self.replicas.iter().map(Replica::last_words).collect();
                bail!("{what}: not after {PATIENCE:?}{why}; the replicas say:\n{}", words.join("\n---\n"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The executable that `MANIFOLD_CONTROLLER` names, else one in the profile of the running test, brought up to date.
pub fn executable() -> anyhow::Result<PathBuf> {
    match std::env::var_os("MANIFOLD_CONTROLLER").filter(|set| !set.is_empty()) {
        Some(given) => {
            let given = PathBuf::from(given);
            given.canonicalize().with_context(|| {
                format!(
                    "`{}` cannot be run; mend MANIFOLD_CONTROLLER, or unset it to build one",
                    given.display()
                )
            })
        }
        None => executable::executable("manifold-controller"),
    }
}

/// A token of the account in a file, and a kubeconfig that names it; returns the latter.
fn credentials(api: &ApiServer, folder: &Path) -> anyhow::Result<PathBuf> {
    let token = folder.join("token");
    api.write_token(NAMESPACE, ACCOUNT, &token)?;
    let kubeconfig = folder.join("kubeconfig");
    kubeconfig::write(&kubeconfig, api.port(), api.authority(), &User::TokenFile(&token))?;
    Ok(kubeconfig)
}

fn config(status: u16, admission: u16) -> Value {
    json!({
        "namespace": NAMESPACE,
        "statusAddress": format!("127.0.0.1:{status}"),
        "admission": {"address": format!("127.0.0.1:{admission}")},
        "lease": {"durationSeconds": 3, "retrySeconds": 1},
    })
}

/// Objects are merged key by key, everything else is replaced.
fn merged(mut below: Value, above: &Value) -> Value {
    let (Some(keys), Some(over)) = (below.as_object_mut(), above.as_object()) else { return above.clone() };
    for (key, value) in over {
        let merged = match keys.remove(key) {
            Some(known) => merged(known, value),
            None => value.clone(),
        };
        keys.insert(key.clone(), merged);
    }
    below
}

/// Makes a folder that is there already without a word.
fn folder(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_laid_over_the_beds_key_by_key() {
        let above = json!({"lease": {"durationSeconds": 15}, "networks": {"namespaceIsolation": false}});
        let merged = merged(config(1, 2), &above);
        assert_eq!(merged.pointer("/lease/durationSeconds"), Some(&json!(15)));
        assert_eq!(merged.pointer("/lease/retrySeconds"), Some(&json!(1)));
        assert_eq!(merged.pointer("/networks/namespaceIsolation"), Some(&json!(false)));
        assert_eq!(merged.pointer("/statusAddress"), Some(&json!("127.0.0.1:1")));
    }
}
