//! Each option on and off, and what a value changes.

use serde_json::{Value, json};

use super::{configuration, find, notes, objects, one};

/// Rendered with the value and not without it.
#[track_caller]
fn only_with(value: &str, kind: &str, name: &str) {
    assert!(find(&objects(&[]), kind, name).is_none(), "{kind} `{name}` is rendered without `{value}`");
    one(&objects(&[value]), kind, name);
}

#[track_caller]
fn not_with(value: &str, kind: &str, name: &str) {
    one(&objects(&[]), kind, name);
    assert!(find(&objects(&[value]), kind, name).is_none(), "{kind} `{name}` is rendered with `{value}`");
}

#[test]
fn options_are_rendered_when_they_are_asked_for() {
    only_with("namespace.create=true", "Namespace", "nets");
    only_with("dhcp.enabled=true", "DaemonSet", "manifold-dhcp");
    only_with("dhcp.enabled=true", "ServiceAccount", "manifold-dhcp");
    only_with("podMonitor.enabled=true", "PodMonitor", "manifold");
    only_with("node.podAnnotations=false", "ClusterRole", "manifold-shim-reads-pods");
    only_with("node.podAnnotations=false", "ClusterRoleBinding", "manifold-shim-reads-pods");
    let warn = "policies.statusOnCreate=\"warn\"";
    only_with(warn, "ValidatingAdmissionPolicyBinding", "manifold-status-not-for-users-on-create");
    not_with("flowSchema.enabled=false", "FlowSchema", "manifold");
    not_with("networkPolicy.enabled=false", "NetworkPolicy", "manifold-controller");
    not_with("uninstall.hook=false", "Job", "manifold-uninstall");
    not_with("uninstall.hook=false", "ServiceAccount", "manifold-uninstall");
    not_with("cluster.disruptionBudget.enabled=false", "PodDisruptionBudget", "manifold-controller");
    not_with("defaultNetwork.source=\"unmanaged\"", "ClusterRole", "manifold-node-built-in");
}

// Shows part of: COMPAT-24, COMPAT-31
#[test]
fn how_the_runtime_is_served_reaches_the_nodes_with_the_rights_that_it_needs() {
    let node = |values: &[&str]| configuration(&objects(values), "manifold-node");
    assert_eq!((&node(&[])["podAnnotations"], &node(&[])["check"]), (&json!("auto"), &json!("default")));
    assert_eq!(node(&["node.podAnnotations=false"])["podAnnotations"], json!(false));
    assert_eq!(node(&["node.check=\"off\""])["check"], json!("off"), "a word, and not YAML's `false`");
    let existing = "defaultNetwork.source=\"existing\"";
    let reads_runtime = |values: &[&str]| {
        let all = objects(&[&[existing], values].concat());
        find(&all, "ClusterRole", "manifold-node-reads-runtime").is_some()
    };
    only_with(existing, "ClusterRoleBinding", "manifold-node-reads-runtime");
    assert!(reads_runtime(&["node.podAnnotations=true"]) && reads_runtime(&["node.cniVersion=\"1.1.0\""]));
    assert!(!reads_runtime(&["node.podAnnotations=true", "node.cniVersion=\"1.1.0\""]));
}

/// An API server may come from the host, from another machine or by way of an agent's pod: nothing tells which, so none is named.
// Proves: F-CTL-11
#[test]
fn the_network_policy_never_cuts_the_api_server_off() {
    let spec =
        |values: &[&str]| one(&objects(values), "NetworkPolicy", "manifold-controller")["spec"].clone();
    let deployment = one(&objects(&[]), "Deployment", "manifold-controller").clone();
    let ports = &deployment["spec"]["template"]["spec"]["containers"][0]["ports"];
    let [reviews, page] = [0, 1].map(|n| json!([{"port": ports[n]["containerPort"], "protocol": "TCP"}]));
    let default = spec(&[]);
    assert_eq!((&default["policyTypes"], &default["egress"]), (&json!(["Ingress"]), &Value::Null));
    assert_eq!(
        default["ingress"],
        json!([{"ports": reviews}]),
        "from everywhere, and the page for the node alone"
    );
    let from = json!([{"namespaceSelector": {"matchLabels": {"a": "b"}}}]);
    let metrics = format!("networkPolicy.metricsFrom={from}");
    for values in [&[&*metrics][..], &[&metrics, "podMonitor.enabled=true"]] {
        assert_eq!(spec(values)["ingress"], json!([{"ports": reviews}, {"ports": page, "from": from}]));
    }
    let monitored = spec(&["podMonitor.enabled=true"]);
    assert_eq!(monitored["ingress"], json!([{"ports": reviews}, {"ports": page}]), "Prometheus reaches it");
    let narrow = spec(&["networkPolicy.egress=true", "networkPolicy.apiServerPorts=[16443]"]);
    assert_eq!(narrow["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(narrow["egress"], json!([{"ports": [{"port": 16443, "protocol": "TCP"}]}]));
}

// Proves: F-CTL-11
#[test]
fn the_authority_of_the_api_servers_certificate_reaches_the_webhook() {
    let all = objects(&[
        "admission.clientAuthority=\"webhook-clients\"",
        "admission.clientNames=[\"kube-apiserver\"]",
    ]);
    let told = &configuration(&all, "manifold-controller")["admission"];
    let path = std::path::Path::new(told["clientAuthority"].as_str().unwrap());
    assert_eq!(
        (path.file_name().unwrap(), &told["clientNames"]),
        ("ca.crt".as_ref(), &json!(["kube-apiserver"]))
    );
    let pod = &one(&all, "Deployment", "manifold-controller")["spec"]["template"]["spec"];
    let volume = json!({"name": "clients", "configMap": {"name": "webhook-clients"}});
    assert!(pod["volumes"].as_array().unwrap().contains(&volume));
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["name"] == "clients").unwrap();
    assert_eq!(mount["mountPath"].as_str(), path.parent().unwrap().to_str());
    let plain = &configuration(&objects(&[]), "manifold-controller")["admission"];
    assert!(plain.get("clientAuthority").is_none() && plain.get("clientNames").is_none());
}

#[test]
fn the_kubelets_socket_reaches_the_nodes_where_it_is_named() {
    let named = "/data/kubelet/pod-resources/kubelet.sock";
    let node = |values: &[&str]| configuration(&objects(values), "manifold-node");
    assert!(node(&[])["host"].get("podResourcesSocket").is_none());
    let value = format!("node.podResourcesSocket=\"{named}\"");
    assert_eq!(node(&[&value])["host"]["podResourcesSocket"], named);
}

#[test]
fn a_private_registry_secrets_tags_and_digests_reach_every_pod() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let all = objects(&[
        "image.registry=\"registry.example.org:5000/team\"",
        "image.pullSecrets=[\"pull\"]",
        "image.pullPolicy=\"Always\"",
        "image.cluster.tag=\"1.2.3\"",
        &format!("image.node.digest=\"{digest}\""),
        "dhcp.enabled=true",
    ]);
    let node = format!("registry.example.org:5000/team/manifold-node@{digest}");
    let cluster = "registry.example.org:5000/team/manifold-controller:1.2.3";
    for (kind, name, image) in [
        ("DaemonSet", "manifold-node", &*node),
        ("DaemonSet", "manifold-dhcp", &*node),
        ("Deployment", "manifold-controller", cluster),
        ("Job", "manifold-uninstall", cluster),
    ] {
        let pod = &one(&all, kind, name)["spec"]["template"]["spec"];
        assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]), "{name}");
        assert_eq!(pod["containers"][0]["image"], image);
        assert_eq!(pod["containers"][0]["imagePullPolicy"], "Always");
    }
    let plain = objects(&[]);
    let pod = &one(&plain, "DaemonSet", "manifold-node")["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], "localhost/manifold-node:0.1.0");
    assert!(pod.get("imagePullSecrets").is_none());
}

/// Objects, accounts in policies, the webhook's Service and the configurations: all of the release's namespace.
#[test]
fn nothing_names_another_namespace_than_the_release() {
    let all = objects(&["dhcp.enabled=true", "node.podAnnotations=false"]);
    let text = Value::from(all.clone()).to_string();
    assert!(!text.contains("manifold-system"));
    assert!(text.contains("system:serviceaccount:nets:manifold-shim"));
    let namespaced =
        ["ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Service", "Deployment", "DaemonSet", "Job"];
    for object in all.iter().filter(|o| namespaced.contains(&o["kind"].as_str().unwrap())) {
        assert_eq!(object["metadata"]["namespace"], "nets", "{object}");
    }
}

#[test]
fn both_roles_are_told_the_same_of_networks() {
    let all = objects(&[
        "defaultNetwork.source=\"existing\"",
        "defaultNetwork.configuration=\"cbr0\"",
        "networks.globalNamespaces=[\"default\", \"shared\"]",
        "networks.defaultNetworks=[\"storage\"]",
        "networks.allowedDefaultNetworks=[\"calico-conf\", \"infra/storage\"]",
        "networks.defaultNetworkRequests=[\"ips\", \"mac\"]",
        "networks.bundled=[\"bridge\"]",
    ]);
    let (cluster, node) = (configuration(&all, "manifold-controller"), configuration(&all, "manifold-node"));
    for key in ["namespace", "defaultNetwork", "networks"] {
        assert_eq!(cluster[key], node[key], "{key}");
    }
    assert_eq!(node["defaultNetwork"]["configuration"], "cbr0");
    assert_eq!(node["networks"]["bundled"], json!(["bridge"]));
    assert_eq!(node["networks"]["allowedDefaultNetworks"], json!(["calico-conf", "infra/storage"]));
    assert_eq!(node["networks"]["defaultNetworkRequests"], json!(["ips", "mac"]));
    assert!(node.get("builtIn").is_none());
}

#[test]
fn another_name_of_the_default_network_reaches_rights_policies_and_both_roles() {
    let all = objects(&["defaultNetwork.name=\"everyone\""]);
    assert!(!Value::from(all.clone()).to_string().contains("cluster-wide-network"));
    let rule = &one(&all, "Role", "manifold-node")["rules"][1];
    assert_eq!(rule["resourceNames"], json!(["everyone"]));
    let policy = one(&all, "ValidatingAdmissionPolicy", "manifold-network-in-use").to_string();
    assert!(policy.contains("request.name == 'everyone'"));
}

/// In the words that the controller expects (`controller/src/cluster/policies/expected.rs`).
#[test]
fn what_the_default_network_may_name_reaches_the_policy_on_the_controller() {
    let named = |values: &[&str]| {
        let policy =
            one(&objects(values), "ValidatingAdmissionPolicy", "manifold-controller-networks").clone();
        let variables = policy["spec"]["variables"].as_array().unwrap().clone();
        variables.iter().find(|v| v["name"] == "named").unwrap()["expression"].clone()
    };
    let existing = "defaultNetwork.source=\"existing\"";
    assert_eq!(named(&[]), "['manifold-built-in']");
    assert_eq!(named(&[existing]), "['']");
    assert_eq!(named(&[existing, "defaultNetwork.configuration=\"cbr0\""]), "['cbr0']");
    assert_eq!(named(&["defaultNetwork.source=\"unmanaged\""]), "[]");
}

#[test]
fn a_changed_configuration_makes_new_pods() {
    let sum = |values: &[&str], kind, name| {
        one(&objects(values), kind, name)["spec"]["template"]["metadata"]["annotations"].clone()
    };
    let log = &["node.log.level=\"debug\""][..];
    assert_ne!(sum(&[], "DaemonSet", "manifold-node"), sum(log, "DaemonSet", "manifold-node"));
    assert_eq!(sum(&[], "Deployment", "manifold-controller"), sum(log, "Deployment", "manifold-controller"));
    let isolation = &["networks.namespaceIsolation=false"][..];
    assert_ne!(
        sum(&[], "Deployment", "manifold-controller"),
        sum(isolation, "Deployment", "manifold-controller")
    );
}

#[test]
fn folders_ports_and_versions_are_the_hosts() {
    let all = objects(&[
        "node.binDir=\"/usr/libexec/cni\"",
        "node.confDir=\"/etc/cni/conf.d\"",
        "node.stateDir=\"/data/cni/manifold\"",
        "node.statusPort=9999",
        "node.cniVersion=\"1.1.0\"",
        "node.capabilities=[\"portMappings\"]",
        "node.links=[\"all\"]",
        "node.apiServer={\"address\": \"https://10.0.0.1:6443\", \"tlsServerName\": \"kubernetes\"}",
    ]);
    let pod = &one(&all, "DaemonSet", "manifold-node")["spec"]["template"]["spec"];
    let host: Vec<&str> =
        pod["volumes"].as_array().unwrap().iter().filter_map(|v| v["hostPath"]["path"].as_str()).collect();
    assert_eq!(host, ["/usr/libexec/cni", "/etc/cni/conf.d", "/data/cni"]);
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    // Under the same paths as on the host, because the configuration names them once.
    assert!(host.iter().all(|path| mounts.iter().any(|m| m["mountPath"] == *path)));
    assert_eq!(pod["containers"][0]["ports"][0]["containerPort"], 9999);
    let node = configuration(&all, "manifold-node");
    assert_eq!(node["host"]["stateDir"], "/data/cni/manifold");
    assert_eq!(node["statusAddress"], "0.0.0.0:9999");
    assert_eq!(node["cniVersion"], "1.1.0");
    assert_eq!(node["capabilities"], json!(["portMappings"]));
    assert_eq!(node["executable"]["links"], json!(["all"]));
    assert_eq!(node["apiServer"]["tlsServerName"], "kubernetes");
}

#[test]
fn the_daemonsets_reach_every_node_and_are_updated_by_a_share_of_them() {
    let all = objects(&["dhcp.enabled=true", "node.maxUnavailable=\"25%\""]);
    for name in ["manifold-node", "manifold-dhcp"] {
        let spec = &one(&all, "DaemonSet", name)["spec"];
        assert_eq!(spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"], "25%");
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]));
        assert_eq!(pod["priorityClassName"], "system-node-critical");
        let resources = &pod["containers"][0]["resources"];
        assert!(resources["requests"]["cpu"].is_string() && resources["limits"]["memory"].is_string());
    }
    let some = objects(&["node.nodeSelector={\"pool\": \"a\"}", "node.tolerations=[]"]);
    let pod = &one(&some, "DaemonSet", "manifold-node")["spec"]["template"]["spec"];
    assert_eq!(pod["nodeSelector"], json!({"kubernetes.io/os": "linux", "pool": "a"}));
    assert!(pod.get("tolerations").is_none());
}

#[test]
fn the_hook_runs_before_deletion_with_an_account_that_goes_with_it() {
    let all = objects(&["uninstall.waitSeconds=300", "uninstall.leave=true"]);
    let hooks: Vec<&Value> =
        all.iter().filter(|o| o["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete").collect();
    assert_eq!(hooks.len(), 6);
    for hook in &hooks {
        let policy = &hook["metadata"]["annotations"]["helm.sh/hook-delete-policy"];
        assert_eq!(policy, "before-hook-creation,hook-succeeded", "{hook}");
        assert_eq!(hook["metadata"]["name"], "manifold-uninstall");
    }
    let weight = |kind: &str| {
        let hook = one(&all, kind, "manifold-uninstall");
        hook["metadata"]["annotations"]["helm.sh/hook-weight"].as_str().unwrap().parse::<i32>().unwrap()
    };
    assert!(weight("ServiceAccount") < weight("Job") && weight("ClusterRoleBinding") < weight("Job"));
    let job = one(&all, "Job", "manifold-uninstall");
    let arguments = &job["spec"]["template"]["spec"]["containers"][0]["args"];
    assert_eq!(
        arguments,
        &json!(["uninstall", "--config=/etc/manifold/config.yaml", "--wait=300", "--leave"])
    );
    assert!(job["spec"]["activeDeadlineSeconds"].as_i64().unwrap() > 300);
}

#[test]
fn the_notes_tell_the_next_command() {
    let usual = notes(&[]);
    assert!(usual.contains("kubectl -n nets rollout status daemonset/manifold-node"), "{usual}");
    assert!(usual.contains("pod-security.kubernetes.io/enforce=privileged"), "{usual}");
    assert!(usual.contains("clusterCidrs"), "{usual}");
    let existing = notes(&["defaultNetwork.source=\"existing\"", "defaultNetwork.configuration=\"cbr0\""]);
    assert!(existing.contains("`cbr0`") && !existing.contains("clusterCidrs"), "{existing}");
    assert!(notes(&["uninstall.hook=false"]).contains("run `manifold uninstall` on each"));
}
