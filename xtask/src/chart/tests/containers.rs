//! What the pods may do: the written-down set, and nothing else.

use serde_json::{Value, json};

use super::{objects, one};

const DHCP: [&str; 4] = ["SYS_ADMIN", "NET_ADMIN", "NET_RAW", "NET_BIND_SERVICE"];

fn pod<'a>(all: &'a [Value], kind: &str, name: &str) -> &'a Value {
    &one(all, kind, name)["spec"]["template"]["spec"]
}

/// Of every pod of the chart, whoever it is.
#[test]
fn no_pod_is_privileged_or_sees_the_hosts_processes() {
    let all = objects(&["dhcp.enabled=true"]);
    for object in all.iter().filter(|o| o["spec"]["template"]["spec"].is_object()) {
        let pod = &object["spec"]["template"]["spec"];
        assert!(pod.get("hostPID").is_none() && pod.get("hostIPC").is_none());
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        for container in pod["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_ne!(context["privileged"], true);
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
            assert_eq!(container["terminationMessagePolicy"], "FallbackToLogsOnError");
        }
    }
}

#[test]
fn capabilities_are_these_and_no_others() {
    let added = |values: &[&str], kind, name| {
        let all = objects(values);
        pod(&all, kind, name)["containers"][0]["securityContext"]["capabilities"]["add"].clone()
    };
    let foreign = "defaultNetwork.source=\"unmanaged\"";
    assert_eq!(added(&[], "DaemonSet", "manifold-node"), json!(["NET_ADMIN"]));
    assert_eq!(added(&[foreign], "DaemonSet", "manifold-node"), Value::Null);
    let more = "node.extraCapabilities=[\"DAC_OVERRIDE\"]";
    assert_eq!(added(&[foreign, more], "DaemonSet", "manifold-node"), json!(["DAC_OVERRIDE"]));
    assert_eq!(added(&[more], "DaemonSet", "manifold-node"), json!(["NET_ADMIN", "DAC_OVERRIDE"]));
    assert_eq!(added(&["dhcp.enabled=true"], "DaemonSet", "manifold-dhcp"), json!(DHCP));
    assert_eq!(added(&[], "Deployment", "manifold-controller"), Value::Null);
    assert_eq!(added(&[], "Job", "manifold-uninstall"), Value::Null);
}

#[test]
fn folders_of_the_host_are_the_cni_folders_and_the_state_alone() {
    let all = objects(&["dhcp.enabled=true"]);
    let folders = |kind, name| {
        let volumes = pod(&all, kind, name)["volumes"].as_array().unwrap();
        let paths = volumes.iter().filter_map(|v| v["hostPath"]["path"].as_str());
        paths.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(folders("DaemonSet", "manifold-node"), ["/opt/cni/bin", "/etc/cni/net.d", "/var/lib/cni"]);
    assert_eq!(folders("DaemonSet", "manifold-dhcp"), ["/run/cni", "/run/netns", "/var/lib/cni/dhcp"]);
    assert!(folders("Deployment", "manifold-controller").is_empty());
    assert!(folders("Job", "manifold-uninstall").is_empty());
}

#[test]
fn who_needs_no_folder_of_the_host_is_not_root() {
    let all = objects(&[]);
    for (kind, name) in [("Deployment", "manifold-controller"), ("Job", "manifold-uninstall")] {
        let context = &pod(&all, kind, name)["securityContext"];
        assert_eq!(context["runAsNonRoot"], true);
        assert_eq!(context["runAsUser"], 65532);
    }
}

/// A rollout waits for who answers, not for who has begun.
#[test]
fn who_serves_pods_is_ready_when_it_answers() {
    let all = objects(&["dhcp.enabled=true"]);
    let probe = |kind, name| pod(&all, kind, name)["containers"][0]["readinessProbe"].clone();
    assert_eq!(
        probe("DaemonSet", "manifold-dhcp")["exec"]["command"],
        json!(["/manifold", "dhcp", "status"])
    );
    for (kind, name) in [("DaemonSet", "manifold-node"), ("Deployment", "manifold-controller")] {
        assert_eq!(probe(kind, name)["httpGet"]["path"], "/readyz", "{name}");
    }
}

/// Policy refuses such keys of everybody, the controllers of Deployments and DaemonSets among them.
#[test]
fn no_pod_carries_a_key_that_policy_keeps_for_nodes() {
    let all = objects(&["dhcp.enabled=true"]);
    for object in all.iter().filter(|o| o["spec"]["template"].is_object()) {
        let metadata = object["spec"]["template"]["metadata"].to_string();
        assert!(
            !metadata.contains("manifold.network/") && !metadata.contains("k8s.v1.cni.cncf.io/"),
            "{metadata}"
        );
    }
}

/// Where pods have no network yet, or none any more.
#[test]
fn what_must_run_without_a_pod_network_is_in_the_hosts() {
    let all = objects(&["dhcp.enabled=true"]);
    for (kind, name) in
        [("DaemonSet", "manifold-node"), ("DaemonSet", "manifold-dhcp"), ("Job", "manifold-uninstall")]
    {
        assert_eq!(pod(&all, kind, name)["hostNetwork"], true, "{name}");
    }
    assert!(pod(&all, "Deployment", "manifold-controller").get("hostNetwork").is_none());
    let inside = objects(&[
        "defaultNetwork.source=\"unmanaged\"",
        "node.hostNetwork=false",
        "node.podAnnotations=true",
    ]);
    assert!(pod(&inside, "DaemonSet", "manifold-node").get("hostNetwork").is_none());
    // It has no right, so it gets no token.
    assert_eq!(pod(&all, "DaemonSet", "manifold-dhcp")["automountServiceAccountToken"], false);
}
