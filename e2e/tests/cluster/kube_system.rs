//! Pods of the namespace `kube-system`, in which a cluster's own services run: with the default network alone, with a further
//! one, and on the host's network.

use serde_json::{Value, json};

use crate::bed::{STATUS, Space, annotation, cluster, ledger, text};
use crate::multus::sandbox;

const NETWORK: &str = "system-green";

/// As system services say it.
fn spec(more: &Value) -> Value {
    let node = cluster().nodes().first().unwrap();
    let mut spec = json!({
        "nodeName": node.name(), "priorityClassName": "system-cluster-critical",
        "automountServiceAccountToken": false, "tolerations": [{"operator": "Exists"}],
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

// Proves: MLT-STS-6
#[test]
fn pods_of_kube_system_get_the_default_network_and_what_they_ask_for() {
    let space = Space::existing("kube-system");
    let node = &cluster().nodes()[0];
    let config = json!({"cniVersion": "1.0.0", "name": NETWORK, "type": "macvlan", "master": "eth0",
                        "ipam": {"type": "host-local", "subnet": "10.75.0.0/24"}});
    space.definition(NETWORK, &config);
    space.pod_with("system-plain", "", &spec(&json!({})));
    space.pod_with("system-two", NETWORK, &spec(&json!({})));
    space.pod_with("system-host", NETWORK, &spec(&json!({"hostNetwork": true})));
    let [plain, two, host] = ["system-plain", "system-two", "system-host"].map(|pod| space.wait_ready(pod));

    assert_eq!(text(&host, "/status/podIP"), node.address());
    assert_eq!(annotation(&host, STATUS), None, "nobody calls a plugin for it");
    for (pod, networks) in [(&plain, &["eth0"][..]), (&two, &["eth0", "net1"])] {
        let name = text(pod, "/metadata/name");
        let status = space.status(name);
        let told: Vec<&str> = status.iter().map(|entry| text(entry, "/interface")).collect();
        assert_eq!(told, networks, "{name}");
        assert_eq!(text(pod, "/status/podIP"), text(&status[0], "/ips/0"));
        let said = space.exec(name, &["ip", "-4", "-o", "address"]);
        for entry in &status {
            assert!(said.contains(&format!(" {}/", text(entry, "/ips/0"))), "{said}");
        }
    }
    space.wait_reached("system-plain", text(&two, "/status/podIP"));
    let known = ["system-plain", "system-two"].map(|pod| sandbox(node, &space, pod));
    assert!(known.iter().all(|sandbox| ledger(node).contains(sandbox)));
    for pod in ["system-plain", "system-two", "system-host"] {
        space.delete(pod);
    }
    assert!(!known.iter().any(|sandbox| ledger(node).contains(sandbox)));
    assert_eq!(crate::bed::leases(node, NETWORK), Vec::<String>::new());
    space
        .cluster
        .wait("the definition to be free", || {
            let words = ["delete", "net-attach-def", NETWORK, "--namespace", &space.name, "--wait=false"];
            Ok(space.cluster.try_kubectl(&words, "")?.status.success().then_some(()))
        })
        .unwrap();
}
