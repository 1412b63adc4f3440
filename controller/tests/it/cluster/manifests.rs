//! The manifests of the controller: a real API server takes them as they stand, and they ask for no privilege.

use std::fs;
use std::time::{Duration, Instant};

use manifold_e2e::api_server::ApiServer;
use manifold_e2e::project;
use serde::Deserialize as _;
use serde_json::{Value, json};

/// However busy the machine.
const PATIENCE: Duration = Duration::from_secs(90);

fn manifest(name: &str) -> Value {
    let text = fs::read_to_string(project::root().join("deploy/cluster").join(name)).unwrap();
    let mut documents = serde_yaml::Deserializer::from_str(&text).map(|d| Value::deserialize(d).unwrap());
    documents.next().unwrap()
}

#[test]
fn the_api_server_takes_every_manifest_strictly() {
    let api = ApiServer::shared().unwrap();
    api.ensure_namespace("manifold-system").unwrap();
    let folder = project::root().join("deploy/cluster");
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let said = api
            .kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", path.to_str().unwrap()], "")
            .unwrap();
        assert!(said.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&said.stderr));
    }
}

// Shows part of: S-20
#[test]
fn the_deployment_asks_for_no_privilege_and_no_folder_of_the_host() {
    let deployment = manifest("deployment.yaml");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert!(["hostNetwork", "hostPID", "hostIPC"].iter().all(|key| pod.get(key).is_none()));
    for container in pod["containers"].as_array().unwrap() {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
        assert!(context.get("privileged").is_none());
    }
    assert!(pod["volumes"].as_array().unwrap().iter().all(|volume| volume.get("hostPath").is_none()));
}

/// As strict as Kubernetes can be told to be.
#[test]
fn the_deployments_pods_meet_the_restricted_pod_security_standard() {
    let api = ApiServer::shared().unwrap();
    let namespace = api.namespace("restricted").unwrap();
    let path = format!("/api/v1/namespaces/{}", namespace.name());
    let enforced = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    api.client().send("PATCH", &path, &enforced).unwrap();
    let deployment = manifest("deployment.yaml");
    let mut spec = deployment["spec"]["template"]["spec"].clone();
    spec.as_object_mut().unwrap().retain(|key, _| key != "serviceAccountName" && key != "priorityClassName");
    spec["automountServiceAccountToken"] = false.into();
    let pod = |spec: &Value| {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec});
        let pods = format!("{path}/pods?dryRun=All");
        api.client().call("POST", &pods, "application/json", pod.to_string().as_bytes()).unwrap()
    };
    let mut capable = spec.clone();
    capable["containers"][0]["securityContext"]["capabilities"] = json!({});
    // The API server hears of the label a moment later.
    let deadline = Instant::now() + PATIENCE;
    while pod(&capable).ok() {
        assert!(Instant::now() < deadline, "the standard is not enforced after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let refused = pod(&capable).text();
    assert!(refused.contains("PodSecurity") && refused.contains("capabilities"), "{refused}");
    let answer = pod(&spec);
    assert!(answer.ok(), "{}", answer.text());
}

#[test]
fn the_configuration_in_the_config_map_is_one_that_the_controller_reads_and_its_defaults() {
    let map = manifest("configmap.yaml");
    let text = map["data"]["config.yaml"].as_str().unwrap();
    let config = manifold_controller::config::Config::parse(text).unwrap();
    assert_eq!(config, manifold_controller::config::Config::default());
    let deployment = manifest("deployment.yaml");
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    assert!(arguments.to_string().contains("/etc/manifold/config.yaml"));
}

#[test]
fn the_node_roles_configuration_in_its_config_map_is_one_that_it_reads() {
    use manifold_controller::node::config::Config;
    let text = fs::read_to_string(project::root().join("deploy/node/configmap.yaml")).unwrap();
    let map: Value = serde_yaml::from_str(&text).unwrap();
    let mut config = Config::parse(map["data"]["config.yaml"].as_str().unwrap()).unwrap();
    // What the chart says otherwise: a port of the host, and the one plugin that old runtimes execute.
    assert_eq!(
        (config.status_address.port(), &*config.executable.links),
        (9431, &["loopback".to_owned()][..])
    );
    config.status_address = Config::default().status_address;
    config.executable = manifold_controller::node::config::Executable::default();
    assert_eq!(config, Config::default());
}

#[test]
fn names_and_ports_fit_together() {
    let config = manifold_controller::config::Config::default();
    let (deployment, service) = (manifest("deployment.yaml"), manifest("service.yaml"));
    let pod = &deployment["spec"]["template"];
    assert_eq!(service["metadata"]["name"], config.admission.service);
    assert_eq!(service["spec"]["selector"], deployment["spec"]["selector"]["matchLabels"]);
    let ports = pod["spec"]["containers"][0]["ports"].as_array().unwrap();
    let port = |name: &str| ports.iter().find(|p| p["name"] == name).unwrap()["containerPort"].clone();
    assert_eq!(port("webhook"), config.admission.address.port());
    assert_eq!(port("status"), config.status_address.port());
    assert_eq!(service["spec"]["ports"][0]["port"], 443);
    let webhook = manifest("webhook.yaml");
    assert_eq!(webhook["webhooks"][0]["clientConfig"]["service"]["name"], service["metadata"]["name"]);
    assert_eq!(manifest("disruption-budget.yaml")["spec"]["selector"], deployment["spec"]["selector"]);
}
