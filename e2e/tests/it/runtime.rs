use std::path::PathBuf;
use std::time::Duration;

use manifold_e2e::executable;
use manifold_e2e::netns::{HostNs, TestNetns};
use manifold_e2e::runtime::{ANNOTATIONS, Pod, Runtime};
use manifold_e2e::trace::{self, Traced};
use serde_json::{Value, json};

const FAKE: &str = env!("CARGO_BIN_EXE_fake-delegate");

fn conflist(host: &HostNs, version: &str) -> (String, PathBuf) {
    let trace = host.folder().join("trace");
    let plugin =
        json!({"type": "fake-delegate", "capabilities": {ANNOTATIONS: true}, "fake": {"trace": trace}});
    (json!({"cniVersion": version, "name": "outer", "plugins": [plugin]}).to_string(), trace)
}

fn sorted_args(call: &Traced) -> Vec<String> {
    let mut pairs: Vec<String> = call.var("CNI_ARGS").split(';').map(str::to_string).collect();
    pairs.sort();
    pairs
}

#[test]
fn an_add_tells_the_plugin_what_containerd_tells_it() {
    let (host, netns) = (HostNs::new().unwrap(), TestNetns::new().unwrap());
    let (conflist, trace) = conflist(&host, "1.1.0");
    let runtime = Runtime::new(FAKE, &conflist, &host).unwrap();
    let pod = Pod::new(&netns, "shop", "cart").annotated("k8s.v1.cni.cncf.io/networks", "right");
    let result = runtime.add(&pod).unwrap().must_succeed();
    assert_eq!(result["interfaces"][0]["sandbox"], netns.path().to_str().unwrap());

    let calls = trace::read(&trace).unwrap();
    let [add] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(add.var("CNI_COMMAND"), "ADD");
    assert_eq!(add.var("CNI_CONTAINERID"), pod.container_id);
    assert_eq!(add.var("CNI_NETNS"), netns.path().to_str().unwrap());
    assert_eq!(add.var("CNI_IFNAME"), "eth0");
    assert_eq!(add.var("CNI_PATH"), PathBuf::from(FAKE).parent().unwrap().to_str().unwrap());
    let uid = pod.uid.unwrap();
    let expected = [
        "IgnoreUnknown=1".to_string(),
        format!("K8S_POD_INFRA_CONTAINER_ID={}", pod.container_id),
        "K8S_POD_NAME=cart".into(),
        "K8S_POD_NAMESPACE=shop".into(),
        format!("K8S_POD_UID={uid}"),
    ];
    assert_eq!(sorted_args(add), expected);
    assert_eq!(add.input("/name"), "outer");
    assert_eq!(add.input("/cniVersion"), "1.1.0");
    assert_eq!(add.input("/prevResult"), &Value::Null);
    let annotations = &add.input("/runtimeConfig")[ANNOTATIONS];
    assert_eq!(annotations, &json!({"k8s.v1.cni.cncf.io/networks": "right"}));
    assert!(add.end.unwrap() > add.start);
}

#[test]
fn check_and_del_bring_the_result_of_add_and_gc_the_living() {
    let (host, netns) = (HostNs::new().unwrap(), TestNetns::new().unwrap());
    let (conflist, trace) = conflist(&host, "1.1.0");
    let runtime = Runtime::new(FAKE, &conflist, &host).unwrap();
    let pod = Pod::new(&netns, "shop", "cart");
    runtime.del(&pod).unwrap().must_succeed();
    let result = runtime.add(&pod).unwrap().must_succeed();
    runtime.check(&pod).unwrap().must_succeed();
    runtime.status().unwrap().must_succeed();
    runtime.gc(&[("a", "eth0")]).unwrap().must_succeed();
    runtime.del(&pod.clone().without_netns()).unwrap().must_succeed();
    runtime.del(&pod).unwrap().must_succeed();

    let calls = trace::read(&trace).unwrap();
    let verbs: Vec<&str> = calls.iter().map(|call| call.verb.as_str()).collect();
    assert_eq!(verbs, ["DEL", "ADD", "CHECK", "STATUS", "GC", "DEL", "DEL"]);
    let previous: Vec<&Value> = calls.iter().map(|call| call.input("/prevResult")).collect();
    let none = &Value::Null;
    assert_eq!(previous, [none, none, &result, none, none, &result, none]);
    assert_eq!(
        calls[4].input("/cni.dev~1valid-attachments"),
        &json!([{"containerID": "a", "ifname": "eth0"}])
    );
    assert_eq!((calls[4].var("CNI_CONTAINERID"), calls[5].var("CNI_NETNS")), ("", ""));
}

#[test]
fn version_asks_with_the_configurations_version_only() {
    let host = HostNs::new().unwrap();
    let (conflist, _) = conflist(&host, "0.4.0");
    let answer = Runtime::new(FAKE, &conflist, &host).unwrap().version().unwrap().must_succeed();
    assert_eq!(answer["supportedVersions"][0], "0.1.0");
}

#[test]
fn the_plugin_runs_on_the_test_host() {
    let (host, netns) = (HostNs::new().unwrap(), TestNetns::new().unwrap());
    // /proc/self/net is the network namespace's own, without a mount.
    let [draft, script] = ["draft", "plugin"].map(|name| host.folder().join(name));
    std::fs::write(&draft, "#!/bin/sh\nexec cat /proc/self/net/dev >&2\n").unwrap();
    // By another process: had this one the file open for writing while a thread forks, nobody could execute it.
    let made =
        std::process::Command::new("install").args(["-m", "755"]).args([&draft, &script]).status().unwrap();
    assert!(made.success());
    host.exec(&["ip", "link", "add", "only-here", "type", "bridge"]).unwrap();
    let runtime = Runtime::new(&script, r#"{"type": "plugin"}"#, &host).unwrap();
    let outcome = runtime.add(&Pod::new(&netns, "shop", "cart")).unwrap();
    assert!(outcome.stderr.contains("only-here"), "{outcome}");
}

#[test]
fn a_plugin_that_never_ends_is_killed_when_patience_is_over() {
    let (host, netns) = (HostNs::new().unwrap(), TestNetns::new().unwrap());
    let conf = json!({"type": "x", "fake": {"ADD": {"behave": "ignore-sigterm"}}}).to_string();
    let mut runtime = Runtime::new(FAKE, &conf, &host).unwrap();
    runtime.patience = Duration::from_millis(300);
    let outcome = runtime.add(&Pod::new(&netns, "shop", "cart")).unwrap();
    assert!(outcome.timed_out && outcome.signal == Some(9), "{outcome}");
    assert!(outcome.wall < Duration::from_secs(60), "{outcome}");
}

#[test]
fn an_executable_of_the_workspace_is_built_and_installed_under_the_names_of_plugins() {
    let (host, netns) = (HostNs::new().unwrap(), TestNetns::new().unwrap());
    let folder = host.folder().join("bin");
    let fake = executable::fake_delegate().unwrap();
    executable::install(&fake, &folder, &["bridge", "macvlan"]).unwrap();
    let conf = r#"{"cniVersion": "1.0.0", "name": "n", "type": "macvlan"}"#;
    let runtime = Runtime::new(folder.join("macvlan"), conf, &host).unwrap();
    runtime.add(&Pod::new(&netns, "shop", "cart")).unwrap().must_succeed();
    assert!(folder.join("bridge").is_file());
}
