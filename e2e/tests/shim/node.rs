//! A node: the machine's place taken by a network namespace, with folders, a plugin folder and an entry of its own.

use std::path::{Path, PathBuf};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use manifold_e2e::api_server::{ApiServer, ShimAccess, TestNamespace};
use manifold_e2e::executable;
use manifold_e2e::forward::Forward;
use manifold_e2e::leaks::{Oracle, Snapshot};
use manifold_e2e::netns::{HostNs, TestNetns};
use manifold_e2e::runtime::{ANNOTATIONS, Runtime};
use manifold_e2e::trace;
use serde_json::{Map, Value, json};

use crate::networks::With;

pub(crate) const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
pub(crate) const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
pub(crate) const DEFAULT_NETWORK: &str = "v1.multus-cni.io/default-network";

/// The executable under test: the one that the caller names, else a debug build.
pub(crate) fn manifold() -> PathBuf {
    named_or("MANIFOLD_EXECUTABLE", || executable::executable("manifold").unwrap())
}

/// The one that can be killed at a named point (feature `crash-points`).
pub(crate) fn manifold_with_crash_points() -> PathBuf {
    named_or("MANIFOLD_CRASH_EXECUTABLE", build_with_crash_points)
}

fn named_or(variable: &str, build: impl FnOnce() -> PathBuf) -> PathBuf {
    std::env::var_os(variable).filter(|path| !path.is_empty()).map_or_else(build, PathBuf::from)
}

fn build_with_crash_points() -> PathBuf {
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    let build = || {
        let root = manifold_e2e::project::root();
        let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let words =
            ["build", "--quiet", "--package", "manifold", "--bin", "manifold", "--features", "crash-points"];
        // A folder of its own, so that nobody takes it for the one without.
        let apart = folder.join("crash-points");
        let status = std::process::Command::new(cargo)
            .args(words)
            .arg("--target-dir")
            .arg(&apart)
            .current_dir(root)
            .status();
        assert!(status.unwrap().success(), "the executable with crash points cannot be built");
        apart.join("debug/manifold")
    };
    BUILT.get_or_init(build).clone()
}

/// Dropped in this order: the way to the API server before the host it leads from.
pub(crate) struct Node<'a> {
    /// None: from this node the API server cannot be reached.
    pub(crate) forward: Option<Forward>,
    pub(crate) access: ShimAccess,
    pub(crate) ns: TestNamespace<'a>,
    pub(crate) host: HostNs,
    /// The configuration entry, to be changed at will.
    pub(crate) entry: Map<String, Value>,
}

impl Node<'static> {
    /// With the default network `cluster-wide-network`, a bridge, at the shared API server.
    pub(crate) fn new(prefix: &str) -> Self {
        Self::on(ApiServer::shared().unwrap(), prefix)
    }
}

impl<'a> Node<'a> {
    pub(crate) fn on(api: &'a ApiServer, prefix: &str) -> Self {
        let node = Self::bare(api, prefix);
        node.define("cluster-wide-network", &node.default_network());
        node
    }

    /// Without any definition.
    pub(crate) fn bare(api: &'a ApiServer, prefix: &str) -> Self {
        let ns = api.namespace(prefix).unwrap();
        let access = api.shim_access(ns.name()).unwrap();
        let host = HostNs::new().unwrap();
        let forward = Some(Forward::new(&host, api.port()).unwrap());
        host.exec(&["ip", "link", "add", "eth1", "type", "veth", "peer", "name", "wire"]).unwrap();
        for link in ["eth1", "wire"] {
            host.exec(&["ip", "link", "set", link, "up"]).unwrap();
        }
        ["eth1", "wire"].iter().for_each(|link| host.netns().wait_for_own_address(link).unwrap());
        let entry = entry(&host, &access, ns.name());
        std::fs::create_dir(host.folder().join("bin")).unwrap();
        std::fs::create_dir(host.folder().join("conf")).unwrap();
        Self { forward, access, ns, host, entry }
    }

    /// From now on a connection to the API server is refused, as when it is down.
    pub(crate) fn cut_off(&mut self) {
        self.forward = None;
    }

    pub(crate) fn runtime(&self) -> Runtime<'_> {
        self.runtime_of(&manifold())
    }

    pub(crate) fn runtime_of(&self, executable: &Path) -> Runtime<'_> {
        // In a list, as a bare plugin cannot have the key `plugins`.
        let entry = json!({
            "cniVersion": self.entry.get("cniVersion"), "name": self.entry.get("name"), "plugins": [self.entry],
        })
        .to_string();
        let mut runtime = Runtime::new(executable, &entry, &self.host).unwrap();
        runtime.cni_path = vec![self.folder("bin")];
        runtime
    }

    /// A folder of the node: `bin`, `conf`, `state`, `networks` (leases), `multus`, `devinfo`.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.host.folder().join(name)
    }

    pub(crate) fn define(&self, name: &str, config: &Value) {
        self.ns.definition(name, &config.to_string()).unwrap();
    }

    /// Puts the program that misbehaves on demand into the plugin folder, under these names.
    pub(crate) fn install_fakes(&self, names: &[&str]) {
        executable::install(&executable::fake_delegate().unwrap(), &self.folder("bin"), names).unwrap();
    }

    /// A network of one plugin that does as it is told and leaves a trace.
    pub(crate) fn fake(&self, behaviour: &Value) -> Value {
        let fake = behaviour.clone().with("trace", json!(self.folder("trace")));
        json!({"cniVersion": "1.1.0", "type": "fake", "fake": fake})
    }

    /// What the fakes were asked so far: `ADD net1`, `DEL net1`, ...
    pub(crate) fn trace(&self) -> Vec<String> {
        let calls = trace::read(&self.folder("trace")).unwrap();
        calls.iter().map(|call| format!("{} {}", call.verb, call.var("CNI_IFNAME"))).collect()
    }

    /// Returns when a fake has been asked something by a call of the executable, which another thread waits for.
    #[track_caller]
    pub(crate) fn wait_for_call<T>(&self, running: &ScopedJoinHandle<'_, T>) {
        self.wait_for("a call of a delegate", running, || !self.trace().is_empty());
    }

    /// Returns when the first ADD of a sandbox, which another thread waits for, has its lock.
    #[track_caller]
    pub(crate) fn wait_for_start<T>(&self, container: &str, running: &ScopedJoinHandle<'_, T>) {
        let lock = self.folder("state/.locks").join(container);
        self.wait_for("a lock of its sandbox", running, || lock.exists());
    }

    #[track_caller]
    fn wait_for<T>(&self, what: &str, running: &ScopedJoinHandle<'_, T>, done: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(120);
        while !done() {
            assert!(!running.is_finished() && Instant::now() < until, "it ended, or hangs, without {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The lines of the spool.
    pub(crate) fn outcomes(&self) -> Vec<Value> {
        let spool = std::fs::read_to_string(self.folder("state/.spool/outcomes")).unwrap();
        spool.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Everything outside the ledger's own bookkeeping: host, pods, leases, device information.
    pub(crate) fn oracle(&self, pods: &[&TestNetns]) -> Oracle<'_> {
        let oracle = pods.iter().fold(Oracle::new(&self.host), |oracle, netns| oracle.pod(netns));
        oracle.folder("leases", &self.folder("networks")).folder("devinfo", &self.folder("devinfo"))
    }

    /// Nothing that an ADD makes is left, and the ledger is empty.
    #[track_caller]
    pub(crate) fn assert_clean(&self, oracle: &Oracle<'_>, before: &Snapshot) {
        let leaks = self.leaks(oracle, before);
        assert!(leaks.is_empty(), "{} leaks:\n  {}", leaks.len(), leaks.join("\n  "));
        assert_eq!(self.ledger(), Vec::<String>::new(), "entries, half-written ones, and locks");
    }

    /// What is left, or gone, once the kernel has had time to finish.
    pub(crate) fn leaks(&self, oracle: &Oracle<'_>, before: &Snapshot) -> Vec<String> {
        self.leaks_but(oracle, before, |_| false)
    }

    /// The same without what the test itself took away. Named namespaces that others on the machine make meanwhile are
    /// theirs.
    pub(crate) fn leaks_but(
        &self,
        oracle: &Oracle<'_>,
        before: &Snapshot,
        known: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let of_others = |leak: &str| leak.starts_with("machine: network namespace");
        oracle.leaks_but(before, |leak| of_others(leak) || known(leak)).unwrap()
    }

    /// What the ledger holds: entries, unfinished writes, entries set aside, locks of sandboxes.
    pub(crate) fn ledger(&self) -> Vec<String> {
        let names = |folder: &str| -> Vec<String> {
            let found = std::fs::read_dir(self.folder("state").join(folder)).into_iter().flatten();
            found.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
        };
        let ours = |name: &String| !name.starts_with('.') || name.starts_with(".new-");
        let mut left: Vec<String> = names("").into_iter().filter(ours).collect();
        // What the node agent keeps there.
        left.retain(|name| name != "credentials" && name != "cluster-wide-network.json");
        left.extend(names(".damaged").into_iter().map(|name| format!(".damaged/{name}")));
        left.extend(names(".locks").into_iter().filter(ours).map(|name| format!(".locks/{name}")));
        left.sort();
        left
    }

    /// The addresses in use of one network, by its lease files.
    pub(crate) fn leases(&self, network: &str) -> Vec<String> {
        let found = std::fs::read_dir(self.folder("networks").join(network)).into_iter().flatten();
        let names = found.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        let mut leases: Vec<String> =
            names.filter(|name| name != "lock" && !name.starts_with("last_reserved_ip")).collect();
        leases.sort();
        leases
    }
}

fn entry(host: &HostNs, access: &ShimAccess, namespace: &str) -> Map<String, Value> {
    let folder = |name: &str| host.folder().join(name);
    let entry = json!({
        "cniVersion": "1.1.0", "name": "manifold", "type": "manifold",
        "capabilities": {ANNOTATIONS: true, "portMappings": true},
        "kubeconfig": access.kubeconfig, "clusterNetwork": "cluster-wide-network", "multusNamespace": namespace,
        "binDir": folder("bin"), "confDir": folder("conf"), "cniDir": folder("multus"),
        "stateDir": folder("state"), "deviceInfoDir": folder("devinfo"), "logLevel": "debug",
        // More than by default, so that every CHECK of a test looks at all that the test made.
        "check": "all",
    });
    entry.as_object().unwrap().clone()
}
