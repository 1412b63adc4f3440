//! A node agent as a process beside a real API server, with the token that a kubelet would give its pod and no more rights than
//! `deploy/rbac` and `deploy/policies` give it. A folder stands for the host.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use manifold_e2e::api_server::ApiServer;
use manifold_e2e::child;
use manifold_e2e::controller::{self, Metrics, NAMESPACE, PATIENCE};
use manifold_e2e::kubeconfig::{self, User};
use manifold_e2e::ports;
use serde_json::{Value, json};

pub(super) const DEFAULT: &str =
    "/apis/k8s.cni.cncf.io/v1/namespaces/manifold-system/network-attachment-definitions/cluster-wide-network";
const DEFAULTS: &str = "/apis/k8s.cni.cncf.io/v1/namespaces/manifold-system/network-attachment-definitions";
pub(super) const CONFLIST: &str = "00-manifold.conflist";
pub(super) const BRIDGE: &str = r#"{"cniVersion":"1.0.0","name":"plain","type":"bridge","bridge":"br-plain",
    "ipam":{"type":"host-local","subnet":"10.77.0.0/24"},"capabilities":{"portMappings":true}}"#;

/// One server for the tests of a process, one test at a time: there is one definition of the default network.
pub(super) fn server() -> MutexGuard<'static, ApiServer> {
    static SERVER: OnceLock<Mutex<ApiServer>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let api = ApiServer::start().unwrap();
        controller::install(&api).unwrap();
        Mutex::new(api)
    });
    let api = server.lock().unwrap_or_else(PoisonError::into_inner);
    // A test that failed may have left it stopped, or the pod of its node; the next is not to fail for that.
    api.start_again().unwrap();
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods?gracePeriodSeconds=0");
    for path in [DEFAULT, &pods] {
        let _ = api.client().call("DELETE", path, "application/json", b"");
    }
    api
}

/// A node with its host's folders. Dropped, its node agent ends.
pub(super) struct Node<'a> {
    pub(super) api: &'a ApiServer,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) host: tempfile::TempDir,
    kubeconfig: PathBuf,
    port: u16,
    config: Value,
    process: Mutex<Option<Child>>,
}

impl<'a> Node<'a> {
    /// A Node of its own, nothing started.
    pub(super) fn new(api: &'a ApiServer, name: &str, config: Value) -> Self {
        let client = api.client();
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
        client.create_if_missing("/api/v1/nodes", &node).unwrap();
        let host = tempfile::tempdir().unwrap();
        for folder in ["opt/cni/bin", "etc/cni/net.d", "var/lib/cni"] {
            fs::create_dir_all(host.path().join(folder)).unwrap();
        }
        let [port] = ports::free(None).unwrap();
        let mut all = json!({
            "host": {"root": host.path()},
            "executable": {"source": "/bin/true"},
            "defaultNetwork": {"source": "unmanaged"},
            "statusAddress": format!("127.0.0.1:{port}"),
        });
        for (key, value) in config.as_object().unwrap() {
            all[key] = value.clone();
        }
        let kubeconfig = host.path().join("kubeconfig");
        let uid = client.get(&format!("/api/v1/nodes/{name}")).unwrap().json().unwrap()["metadata"]["uid"]
            .as_str()
            .unwrap()
            .to_owned();
        let node = Self {
            api,
            name: name.to_owned(),
            uid,
            host,
            kubeconfig,
            port,
            config: all,
            process: Mutex::default(),
        };
        node.says_of_itself("");
        node.log_in();
        node
    }

    /// What its kubelet reports, with the kubelet's version.
    pub(super) fn says_of_itself(&self, kubelet: &str) {
        let status = json!({"status": {"nodeInfo": {
            "containerRuntimeVersion": "containerd://2.1.0", "architecture": "", "bootID": "", "kernelVersion": "",
            "kubeProxyVersion": "", "kubeletVersion": kubelet, "machineID": "", "operatingSystem": "", "osImage": "",
            "systemUUID": "",
        }}});
        self.api.client().send("PATCH", &format!("/api/v1/nodes/{}/status", self.name), &status).unwrap();
    }

    /// The token of a pod of the DaemonSet on this node.
    fn log_in(&self) {
        let name = format!("manifold-node-{}", self.name);
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "manifold-node"}},
            "spec": {"nodeName": self.name, "serviceAccountName": "manifold-node", "automountServiceAccountToken": false,
                "containers": [{"name": "main", "image": "none"}]},
        });
        let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
        self.api.client().create_if_missing(&pods, &pod).unwrap();
        let uid = self.get(&format!("{pods}/{name}")).unwrap()["metadata"]["uid"].clone();
        let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid});
        let token = self.token("manifold-node", bound);
        let file = self.host.path().join("token");
        kubeconfig::write_secret(&file, &token).unwrap();
        kubeconfig::write(&self.kubeconfig, self.api.port(), self.api.authority(), &User::TokenFile(&file))
            .unwrap();
    }

    fn token(&self, account: &str, bound: Value) -> String {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600, "boundObjectRef": bound},
        });
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token");
        let answer = self.api.client().send("POST", &path, &request).unwrap();
        answer["status"]["token"].as_str().unwrap().to_owned()
    }

    pub(super) fn start(&self) {
        self.start_by(&[]);
    }

    /// By another program, which executes what follows its own words.
    pub(super) fn start_by(&self, program: &[&str]) {
        let config = self.host.path().join("config.yaml");
        fs::write(&config, serde_yaml::to_string(&self.config).unwrap()).unwrap();
        let log = File::options().create(true).append(true).open(self.host.path().join("log")).unwrap();
        let executable = controller::executable().unwrap();
        let mut command = match program {
            [] => Command::new(executable),
            [name, words @ ..] => {
                let mut command = Command::new(name);
                command.args(words).arg(executable);
                command
            }
        };
        command.arg("agent").arg("--config").arg(config).arg("--kubeconfig").arg(&self.kubeconfig);
        command.env("NODE_NAME", &self.name).env_remove("KUBERNETES_SERVICE_HOST");
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        *self.process() = Some(child::spawn_for_life(command).unwrap());
    }

    /// SIGKILL.
    pub(super) fn kill(&self) {
        if let Some(mut child) = self.process().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.process().as_ref().unwrap().id()
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Started, and nothing stands in the way.
    pub(super) fn serving(self) -> Self {
        self.start();
        self.wait("serving", || self.page("/readyz").is_some_and(|(status, _)| status == 200));
        self
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn bin(&self, name: &str) -> PathBuf {
        self.host.path().join("opt/cni/bin").join(name)
    }

    pub(super) fn conf(&self, name: &str) -> PathBuf {
        self.host.path().join("etc/cni/net.d").join(name)
    }

    pub(super) fn state(&self, name: &str) -> PathBuf {
        self.host.path().join("var/lib/cni/manifold").join(name)
    }

    /// Status and body of a page; none while nobody answers.
    pub(super) fn page(&self, path: &str) -> Option<(u16, String)> {
        use std::io::{Read as _, Write as _};
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        // With nobody there it is refused at once.
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split_whitespace().nth(1)?.parse().ok()?, body.to_owned()))
    }

    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.page("/metrics").map_or(0.0, |(_, body)| Metrics(body).sum(name, labels))
    }

    pub(super) fn said(&self) -> String {
        fs::read_to_string(self.host.path().join("log")).unwrap_or_default()
    }

    /// How long it took until the condition held.
    #[track_caller]
    pub(super) fn wait(&self, what: &str, mut met: impl FnMut() -> bool) -> Duration {
        let begin = Instant::now();
        while !met() {
            let ready = || self.page("/readyz");
            assert!(
                begin.elapsed() < PATIENCE,
                "{what}: not after {PATIENCE:?}; {:?}\n{}",
                ready(),
                self.said()
            );
            thread::sleep(Duration::from_millis(20));
        }
        begin.elapsed()
    }

    pub(super) fn get(&self, path: &str) -> Option<Value> {
        let answer = self.api.client().get(path).ok()?;
        if answer.ok() { answer.json().ok() } else { None }
    }

    /// The notes of the events of a reason about an object of this name.
    pub(super) fn events(&self, namespace: &str, reason: &str, name: &str) -> Vec<String> {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        let list = self.get(&path).unwrap_or_default();
        let all = list["items"].as_array().cloned().unwrap_or_default();
        all.iter()
            .filter(|e| e["reason"] == reason && e["regarding"]["name"] == name)
            .map(|e| e["note"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    pub(super) fn token_file(&self) -> String {
        fs::read_to_string(self.state("credentials/token")).unwrap_or_default()
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        self.kill();
        let pod =
            format!("/api/v1/namespaces/{NAMESPACE}/pods/manifold-node-{}?gracePeriodSeconds=0", self.name);
        let _ = self.api.client().call("DELETE", &pod, "application/json", b"");
    }
}

/// The definition of the default network, with this configuration.
pub(super) fn define(api: &ApiServer, config: Option<&str>) {
    let mut object = json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "cluster-wide-network"},
    });
    if let Some(config) = config {
        object["spec"] = json!({"config": config});
    }
    api.client().send("POST", DEFAULTS, &object).unwrap();
}

pub(super) fn edit(api: &ApiServer, patch: &Value) {
    api.client().send("PATCH", DEFAULT, patch).unwrap();
}

pub(super) fn files(folder: &Path) -> Vec<(String, u32, Vec<u8>)> {
    use std::os::unix::fs::PermissionsExt as _;
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Files that a node agent is just writing, or tries the folder with, come and go.
        if name.starts_with(".manifold-unfinished-") {
            return None;
        }
        let mode = path.metadata().ok()?.permissions().mode();
        Some((name, mode, fs::read(path).ok()?))
    };
    let mut all: Vec<_> = fs::read_dir(folder).unwrap().filter_map(read).collect();
    all.sort();
    all
}
