//! The executable for arm64, run by an emulator of the processor on this machine's own kernel.

#![expect(
    clippy::unwrap_used,
    reason = "the configuration allows it inside test functions only, not in what they share"
)]

use std::fs;
use std::path::PathBuf;

use manifold_e2e::netns::{HostNs, TestNetns};
use manifold_e2e::runtime::{Pod, Runtime};
use serde_json::{Value, json};

fn executable() -> PathBuf {
    std::env::var_os("MANIFOLD_ARM64_EXECUTABLE").expect("`cargo xtask test` names it").into()
}

/// Two networks and a pod that asks for the second, as files.
fn write_manifests(host: &HostNs) -> PathBuf {
    let ipam = |subnet: &str| json!({"type": "host-local", "dataDir": host.folder().join("networks"), "ranges": [[{"subnet": subnet}]]});
    let network = |name: &str, namespace: &str, plugin: Value| {
        let config = json!({"cniVersion": "1.1.0", "name": name, "plugins": [plugin]}).to_string();
        json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": name, "namespace": namespace}, "spec": {"config": config}})
    };
    let bridge =
        json!({"type": "bridge", "bridge": "br0", "isDefaultGateway": true, "ipam": ipam("10.9.0.0/24")});
    let macvlan = json!({"type": "macvlan", "master": "eth1", "ipam": ipam("10.8.0.0/24")});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": []}, "metadata": {
        "name": "cart", "namespace": "shop", "uid": "7d2c", "annotations": {"k8s.v1.cni.cncf.io/networks": "right"}}});
    let objects =
        [network("cluster-wide-network", "kube-system", bridge), network("right", "shop", macvlan), pod];
    let folder = host.folder().join("manifests");
    fs::create_dir(&folder).unwrap();
    for (number, object) in objects.iter().enumerate() {
        fs::write(folder.join(format!("{number}.yaml")), object.to_string()).unwrap();
    }
    folder
}

#[test]
#[ignore = "needs a program that is given: MANIFOLD_ARM64_EXECUTABLE"]
fn the_arm64_executable_attaches_and_detaches_a_pod() {
    let (host, netns) = (HostNs::new().unwrap(), TestNetns::new().unwrap());
    host.exec(&["ip", "link", "add", "eth1", "type", "veth", "peer", "name", "wire"]).unwrap();
    host.exec(&["ip", "link", "set", "eth1", "up"]).unwrap();
    // Stays for the next pod, so it is there before the look.
    host.exec(&["ip", "link", "add", "br0", "type", "bridge"]).unwrap();
    let entry = json!({"cniVersion": "1.1.0", "name": "manifold", "plugins": [{
        "type": "manifold", "clusterNetwork": "cluster-wide-network", "manifests": write_manifests(&host),
        "stateDir": host.folder().join("state"), "logToStderr": true}]});
    let runtime = Runtime::new(executable(), &entry.to_string(), &host).unwrap();
    let versions = runtime.version().unwrap().must_succeed();
    assert!(versions["supportedVersions"].as_array().unwrap().contains(&json!("1.1.0")));

    let pod = Pod::new(&netns, "shop", "cart").with_uid("7d2c");
    let result = runtime.add(&pod).unwrap().must_succeed();
    assert_eq!(result["ips"][0]["address"], "10.9.0.2/24");
    let addresses = netns.exec(&["ip", "-br", "-4", "addr"]).unwrap();
    assert!(addresses.contains("10.9.0.2/24") && addresses.contains("10.8.0.2/24"), "{addresses}");
    netns.exec(&["ping", "-c", "1", "-W", "5", "10.9.0.1"]).unwrap();
    runtime.del(&pod).unwrap().must_succeed();
    let left = netns.exec(&["ip", "-br", "link"]).unwrap();
    assert_eq!(left.lines().count(), 1, "only `lo` is left: {left}");
    let leases = host.folder().join("networks/right");
    let left = fs::read_dir(leases).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.starts_with("10.")).collect::<Vec<_>>(), Vec::<String>::new());
}
