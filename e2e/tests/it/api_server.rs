use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use manifold_e2e::api_server::{ApiServer, Options};
use manifold_e2e::netns::{HostNs, TestNetns};
use serde_json::json;

const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";

#[test]
fn the_shared_server_serves_definitions_and_pods() {
    let namespace = ApiServer::shared().unwrap().namespace("objects").unwrap();
    namespace.definition("right", r#"{"cniVersion": "1.0.0", "type": "bridge"}"#).unwrap();
    let uid = namespace.pod("cart", &[("k8s.v1.cni.cncf.io/networks", "right")]).unwrap();
    assert_eq!(uid.len(), 36);
    assert_eq!(
        namespace.annotation("cart", "k8s.v1.cni.cncf.io/networks").unwrap().as_deref(),
        Some("right")
    );
    assert_eq!(namespace.annotation("cart", STATUS).unwrap(), None);
    namespace.delete_pod("cart").unwrap();
    assert!(namespace.get_pod("cart").is_err());
    namespace.delete_definition("right").unwrap();
}

#[test]
fn kubectl_is_in_the_same_executable() {
    let api = ApiServer::shared().unwrap();
    let version = api.kubectl(&["version"], "").unwrap();
    let said = String::from_utf8_lossy(&version.stdout).into_owned();
    assert!(version.status.success() && said.contains("Server Version: v1."), "{said}");
    let namespace = api.namespace("apply").unwrap();
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": namespace.name()},
    });
    api.apply(&map.to_string()).unwrap();
    let error = api.apply("kind: Nonsense\napiVersion: v1\nmetadata: {name: x}\n").unwrap_err().to_string();
    assert!(error.contains("Nonsense"), "{error}");
}

#[test]
fn the_shims_credentials_can_do_what_the_shim_does_and_no_more() {
    let api = ApiServer::shared().unwrap();
    let namespace = api.namespace("shim").unwrap();
    let access = api.shim_access(namespace.name()).unwrap();
    for file in [&access.token_file, &access.kubeconfig] {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    namespace.pod("cart", &[]).unwrap();
    namespace.definition("right", "{}").unwrap();
    let shim = api.client_with_token(&fs::read_to_string(&access.token_file).unwrap()).unwrap();
    let pods = format!("/api/v1/namespaces/{}/pods", namespace.name());
    let group = format!("/apis/k8s.cni.cncf.io/v1/namespaces/{}", namespace.name());
    assert_eq!(shim.get(&format!("{pods}/cart")).unwrap().status, 200);
    assert_eq!(shim.get(&format!("{group}/network-attachment-definitions/right")).unwrap().status, 200);
    let patch = json!({"metadata": {"annotations": {STATUS: "[]"}}});
    shim.send("PATCH", &format!("{pods}/cart/status"), &patch).unwrap();
    assert_eq!(namespace.annotation("cart", STATUS).unwrap().as_deref(), Some("[]"));
    for (method, path) in
        [("GET", &pods), ("DELETE", &format!("{pods}/cart")), ("PATCH", &format!("{pods}/cart"))]
    {
        let answer = shim.call(method, path, "application/merge-patch+json", b"{}").unwrap();
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text());
    }
}

#[test]
fn the_shims_kubeconfig_is_one_that_kubernetes_own_client_reads() {
    let api = ApiServer::shared().unwrap();
    let namespace = api.namespace("kubeconfig").unwrap();
    namespace.pod("cart", &[]).unwrap();
    let kubeconfig = api.shim_kubeconfig(namespace.name()).unwrap();
    let words = ["--kubeconfig", kubeconfig.to_str().unwrap(), "-n", namespace.name(), "get", "pod", "cart"];
    let output = api.kubectl(&words, "").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_session_keeps_its_connection_and_a_watch_tells_what_happens() {
    let api = ApiServer::shared().unwrap();
    let namespace = api.namespace("session").unwrap();
    let pods = format!("/api/v1/namespaces/{}/pods", namespace.name());
    let mut watch = api.client().watch(&format!("{pods}?watch=1"), Duration::from_secs(60)).unwrap();
    let mut session = api.client().session();
    let many: Vec<String> = (0..50).map(|n| format!("cart-{n}")).collect();
    for name in &many {
        let spec = json!({"containers": [{"name": "main", "image": "none"}]});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        assert_eq!(session.write("POST", &pods, &pod).unwrap().status, 201);
        let event = watch.next().unwrap().unwrap();
        assert_eq!(event["object"]["metadata"]["name"], **name);
    }
    // Large enough to come in chunks.
    let list = session.get(&pods).unwrap().json().unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), many.len());
    assert_eq!(session.delete(&format!("{pods}/cart-0")).unwrap().status, 200);
    assert!(watch.any(|event| event.unwrap()["type"] == "DELETED"));
    assert_eq!(session.get(&format!("{pods}/cart-0")).unwrap().status, 404);
}

#[test]
fn requests_are_counted_by_verb_and_resource() {
    let api = ApiServer::start().unwrap();
    let namespace = api.namespace("count").unwrap();
    let before = api.request_counts().unwrap();
    namespace.pod("cart", &[]).unwrap();
    namespace.get_pod("cart").unwrap();
    namespace.get_pod("cart").unwrap();
    namespace.definition("right", "{}").unwrap();
    let spent = api.request_counts().unwrap().since(&before);
    assert_eq!(spent.of("POST", "pods"), 1, "{spent:?}");
    assert_eq!(spent.of("GET", "pods"), 2, "{spent:?}");
    assert_eq!(spent.of("POST", "network-attachment-definitions"), 1, "{spent:?}");
    assert_eq!(spent.total(), 4, "{spent:?}");
}

#[test]
fn a_stopped_server_refuses_and_comes_back_with_its_data_on_the_same_port() {
    let api = ApiServer::start().unwrap();
    let port = api.port();
    let namespace = api.namespace("outage").unwrap();
    namespace.pod("cart", &[]).unwrap();
    api.stop();
    assert!(api.client().get("/readyz").is_err());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    api.start_again().unwrap();
    assert_eq!(api.port(), port);
    namespace.get_pod("cart").unwrap();
}

#[test]
fn a_server_on_a_test_host_is_reached_from_there_only() {
    let host = HostNs::new().unwrap();
    let api = ApiServer::start_in(&host).unwrap();
    let connect = || std::net::TcpStream::connect(("127.0.0.1", api.port())).is_ok();
    assert!(host.netns().run(connect).unwrap());
    assert!(!HostNs::new().unwrap().netns().run(connect).unwrap());
    assert!(api.kubectl(&["get", "ns"], "").unwrap().status.success());
}

#[test]
fn nothing_is_left_of_a_server_that_was_dropped() {
    let api = ApiServer::start().unwrap();
    let (folder, (server, etcd)) = (api.folder().to_path_buf(), api.pids());
    drop(api);
    assert!(!folder.exists());
    for pid in [server.unwrap(), etcd] {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} still runs");
    }
}

#[test]
fn with_a_controller_manager_a_deleted_namespace_goes_away() {
    let api = ApiServer::start_with(Options { controller_manager: true, ..Options::default() }).unwrap();
    api.ensure_namespace("gone").unwrap();
    let deleted = api.kubectl(&["delete", "namespace", "gone", "--timeout=300s"], "").unwrap();
    assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
}

/// The helper below is this test executable, run again: it starts a server and is killed before it can clean up.
#[test]
fn a_killed_test_process_leaves_neither_processes_nor_folder_nor_namespace() {
    let mut helper = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "api_server::helper_starts_a_server_and_waits", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(helper.stdout.take().unwrap()).lines().map(Result::unwrap);
    let started = lines.find_map(|line| line.split_once("started ").map(|(_, rest)| rest.to_string()));
    let started: Vec<String> = started.unwrap().split(' ').map(str::to_string).collect();
    assert_eq!(started.len(), 4, "{started:?}");
    assert!(started.iter().all(|path| Path::new(path).exists()), "{started:?}");
    helper.kill().unwrap();
    helper.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while let Some(left) = started.iter().find(|path| Path::new(path).exists()) {
        assert!(Instant::now() < deadline, "`{left}` is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "run by the test above, in a process that is killed"]
fn helper_starts_a_server_and_waits() {
    let api = ApiServer::shared().unwrap();
    let netns = TestNetns::new().unwrap();
    let (server, etcd) = api.pids();
    println!(
        "started /proc/{} /proc/{etcd} {} {}",
        server.unwrap(),
        api.folder().display(),
        netns.path().display()
    );
    std::io::stdin().read_to_string(&mut String::new()).unwrap();
}
