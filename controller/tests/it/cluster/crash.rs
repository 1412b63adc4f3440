//! The leader is killed at each of its writes, before it is sent and after it is done; whoever comes next finishes the work.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use manifold_e2e::api_server::ApiServer;
use manifold_e2e::controller::{ACCOUNT, NAMESPACE, executable, install};
use serde_json::{Value, json};

use super::bed::{CRD, DEFAULT};
use super::proxy::{Moment, Proxy};

/// With both moments, each write meets ten deaths.
const ROUNDS: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(120);
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/manifold-system/leases/manifold-controller";

struct Bed<'a> {
    api: &'a ApiServer,
    proxy: Proxy,
    executable: PathBuf,
    config: PathBuf,
    kubeconfig: PathBuf,
}

type Running = Arc<Mutex<Child>>;

impl<'a> Bed<'a> {
    async fn new(api: &'a ApiServer, folder: &Path) -> Self {
        install(api).unwrap();
        let proxy = Proxy::new(api).await.unwrap();
        let (config, kubeconfig) = (folder.join("config.yaml"), folder.join("kubeconfig"));
        let token = folder.join("token");
        api.write_token(NAMESPACE, ACCOUNT, &token).unwrap();
        let settings = json!({
            "statusAddress": "127.0.0.1:0", "admission": {"address": "127.0.0.1:0"},
            "lease": {"durationSeconds": 3, "retrySeconds": 1}, "policies": {"checkSeconds": 1},
        });
        std::fs::write(&config, settings.to_string()).unwrap();
        let access = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://127.0.0.1:{}", proxy.port())}}],
            "users": [{"name": "c", "user": {"tokenFile": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        });
        std::fs::write(&kubeconfig, access.to_string()).unwrap();
        Self { api, proxy, executable: executable().unwrap(), config, kubeconfig }
    }

    fn run(&self) -> Running {
        let mut command = Command::new(&self.executable);
        command.arg("controller").arg("--config").arg(&self.config).arg("--kubeconfig").arg(&self.kubeconfig);
        command.args(["--replica", "crash"]).stdin(Stdio::null()).stderr(Stdio::null());
        Arc::new(Mutex::new(manifold_e2e::child::spawn_for_life(command).unwrap()))
    }

    /// So that every write is needed again.
    fn undo(&self) {
        self.delete(LEASE);
        self.delete(DEFAULT);
        let edited = json!({"spec": {"names": {"shortNames": ["edited"]}}});
        self.api.client().send("PATCH", CRD, &edited).unwrap();
    }

    fn delete(&self, path: &str) {
        self.api.client().call("DELETE", path, "application/json", b"").unwrap();
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.api.client().get(path).unwrap();
        if answer.ok() { answer.json().unwrap() } else { Value::Null }
    }

    /// What a fresh start would have led to, and nothing else.
    fn is_as_it_should_be(&self) -> bool {
        let (crd, network) = (self.get(CRD), self.get(DEFAULT));
        let names = crd.pointer("/spec/names/shortNames");
        let conditions = network.pointer("/status/conditions").and_then(Value::as_array);
        let policies = conditions.into_iter().flatten().find(|c| c["type"] == "PoliciesInPlace");
        let holder = self.get(LEASE);
        names.is_some_and(|names| names.as_array().is_some_and(|n| n.iter().any(|n| n == "net-attach-def")))
            && network.pointer("/metadata/annotations/manifold.network~1configuration").is_some()
            && network.pointer("/status/pods") == Some(&json!(0))
            && network.pointer("/metadata/finalizers").is_none()
            && policies.is_some()
            && holder.pointer("/spec/holderIdentity").is_some()
    }

    async fn wait(&self, what: &str, mut met: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !met() {
            assert!(
                Instant::now() < deadline,
                "{what}: {} {}",
                self.get(CRD)["spec"]["names"],
                self.get(DEFAULT)
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn kill(running: &Running) {
    let mut child = running.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = child.kill();
    let _ = child.wait();
}

// Proves: F-CTL-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_and_after_each_write_the_next_leader_ends_where_a_fresh_start_would() {
    let api = ApiServer::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bed = Bed::new(&api, folder.path()).await;
    // The first start also issues the certificate.
    let first = bed.run();
    bed.wait("the first start", || bed.is_as_it_should_be()).await;
    kill(&first);
    let mut deaths = 0;
    for round in 0..ROUNDS {
        for moment in [Moment::Before, Moment::After] {
            for number in 1.. {
                bed.undo();
                let running = bed.run();
                let victim = Arc::clone(&running);
                bed.proxy.set(number, moment, move || kill(&victim));
                bed.wait("rest, or a death", || bed.proxy.is_sprung() || bed.is_as_it_should_be()).await;
                let died = bed.proxy.is_sprung();
                if died {
                    deaths += 1;
                    bed.wait("the death", || running.lock().unwrap().try_wait().unwrap().is_some()).await;
                    // Nobody waits for a Lease here: that is another test.
                    bed.delete(LEASE);
                    let next = bed.run();
                    bed.wait(&format!("write {number}, {moment:?}"), || bed.is_as_it_should_be()).await;
                    kill(&next);
                } else {
                    kill(&running);
                    break;
                }
            }
        }
        assert!(deaths >= 8 * (round + 1), "{deaths} deaths in {} rounds", round + 1);
    }
    println!("{deaths} deaths");
}
