//! Devices against the real kubelet: a device plugin registers with it, the scheduler and the kubelet give its devices to
//! pods, and each network of a pod gets one of the pod's own.

use std::collections::BTreeSet;
use std::fs;

use manifold_e2e::cluster::Node;
use manifold_e2e::device_plugin::DevicePlugin;
use manifold_e2e::executable;
use serde_json::{Value, json};

use crate::bed::{NETWORKS, STATUS, Space};

/// As nodes see them: `/run` is the node's own.
const DESCRIBED: &str = "/run/k8s.cni.cncf.io/devinfo/dp";
const DESCRIPTIONS: &str = "/run/k8s.cni.cncf.io/devinfo/cni";

const PLUGIN: &str = "fake-nic";

/// A namespace, a resource of its own, and networks that take devices of it.
struct Bed {
    space: Space,
    node: &'static Node,
    resource: String,
    _plugin: DevicePlugin,
}

impl Bed {
    fn new(prefix: &str, ids: &[&str]) -> Self {
        let space = Space::new(prefix);
        let node = space.cluster.nodes().first().unwrap();
        let resource = format!("{}.manifold.test/nic", space.name);
        let plugin =
            DevicePlugin::register(&node.path("/var/lib/kubelet/device-plugins"), &resource, ids).unwrap();
        let bed = Self { space, node, resource, _plugin: plugin };
        bed.wait_offered(ids.len());
        for id in ids {
            bed.describe(id);
        }
        let folder = node.path("/opt/cni/bin");
        if !folder.join(PLUGIN).exists() {
            executable::install(&executable::fake_delegate().unwrap(), &folder, &[PLUGIN]).unwrap();
        }
        bed.networks().iter().for_each(|network| bed.space.apply(network));
        bed
    }

    fn wait_offered(&self, count: usize) {
        let place = format!("/status/allocatable/{}", self.resource.replace('/', "~1"));
        let path = format!("/api/v1/nodes/{}", self.node.name());
        let look = || {
            let object = self.space.cluster.get(&path)?.unwrap_or_default();
            let offered = object.pointer(&place).and_then(Value::as_str);
            Ok((offered == Some(count.to_string().as_str())).then_some(()))
        };
        self.space.cluster.wait("the kubelet to offer the devices", look).unwrap();
    }

    /// What a device plugin writes for CNI plugins.
    fn describe(&self, id: &str) {
        let file = format!("{DESCRIBED}/{}-{id}-device.json", self.resource.replace('/', "-"));
        self.node.write(&file, &description(id).to_string()).unwrap();
    }

    fn networks(&self) -> [Value; 2] {
        let network = |(name, address): (&str, &str)| {
            // An interface that is made, a device that is told: what a plugin for VFs would do with both.
            let config = json!({
                "cniVersion": "1.0.0", "name": format!("{}-{name}", self.space.name), "type": PLUGIN,
                "capabilities": {"deviceID": true},
                "fake": {"trace": self.trace(), "ADD": {"work": true, "address": address}, "DEL": {"work": true}},
            });
            json!({
                "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
                "metadata": {
                    "name": name, "namespace": self.space.name,
                    "annotations": {"k8s.v1.cni.cncf.io/resourceName": self.resource},
                },
                "spec": {"config": config.to_string()},
            })
        };
        [("left", "10.98.1.2/24"), ("right", "10.98.2.2/24")].map(network)
    }

    fn trace(&self) -> String {
        format!("/run/{}-trace", self.space.name)
    }

    /// A pod with `count` devices for its container, and these networks.
    fn start(&self, name: &str, count: u32, networks: &str) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": self.space.name,
                "annotations": {NETWORKS: networks},
            },
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": self.node.name()},
                "terminationGracePeriodSeconds": 0,
                "containers": [{
                    "name": "main", "image": manifold_e2e::cluster::POD, "imagePullPolicy": "Never",
                    "resources": {"limits": {&self.resource: count.to_string()}},
                }],
            },
        });
        self.space.apply(&pod);
    }

    /// The status of a pod that runs.
    fn status(&self, name: &str) -> Vec<Value> {
        self.space
            .cluster
            .wait(&format!("pod `{name}` to run with its networks"), || {
                let pod = self.space.look(name)?.unwrap_or_default();
                let running = pod.pointer("/status/phase").and_then(Value::as_str) == Some("Running");
                let text = pod.pointer("/metadata/annotations").and_then(|a| a.get(STATUS)?.as_str());
                match text.filter(|_| running) {
                    Some(text) => Ok(Some(serde_json::from_str(text)?)),
                    None => Ok(None),
                }
            })
            .unwrap()
    }

    /// What the device plugin told the container: the devices that are the pod's.
    fn given(&self, pod: &str) -> Vec<String> {
        let told = self.space.exec(pod, &["/bin/sh", "-c", "echo $DEVICES"]);
        let mut given: Vec<String> = told.trim().split(',').map(str::to_owned).collect();
        given.sort();
        given
    }

    fn end(&self, pod: &str) {
        let words = ["delete", "pod", pod, "--namespace", &self.space.name, "--wait=true", "--timeout=170s"];
        self.space.cluster.kubectl(&words).unwrap();
    }

    fn descriptions(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.node.path(DESCRIPTIONS)).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        // Other tests may have theirs there.
        names.filter(|name| name.starts_with(&self.space.name)).collect()
    }
}

fn description(id: &str) -> Value {
    json!({
        "type": "memif", "version": "1.1.0",
        "memif": {"role": "master", "path": format!("/run/{id}.sock"), "mode": "ethernet"},
    })
}

/// Which devices the networks of a pod have, in their order, by what the status says of them.
fn described(status: &[Value]) -> Vec<String> {
    let path =
        |entry: &Value| entry.pointer("/device-info/memif/path").and_then(Value::as_str).map(str::to_owned);
    let id = |path: String| path.trim_start_matches("/run/").trim_end_matches(".sock").to_owned();
    status.iter().filter_map(path).map(id).collect()
}

// Proves: MLT-DLG-10, MLT-DLG-11, NPWG-DI-4.1-2, NPWG-DI-4.2-2, NPWG-DI-4.2-4, NPWG-DI-6.1-1, S-17, P-COR-4
#[test]
fn pods_get_two_devices_each_and_every_network_its_own() {
    let bed = Bed::new("devices-two", &["nic-0", "nic-1", "nic-2", "nic-3"]);
    let pods = ["cart", "shop"];
    for pod in pods {
        bed.start(pod, 2, "left,right");
    }
    let mut all = BTreeSet::new();
    for pod in pods {
        let status = bed.status(pod);
        assert_eq!(status.len(), 3, "{status:?}");
        let given = bed.given(pod);
        assert_eq!(given.len(), 2, "the kubelet gave {given:?}");
        assert_eq!(described(&status), given, "the first network has the first of the pod's devices");
        all.extend(given);
    }
    assert_eq!(all.len(), 4, "no device is in two pods");
    assert_eq!(bed.descriptions().len(), 4);
    let told = manifold_e2e::trace::read(&bed.node.path(&bed.trace())).unwrap();
    let adds: Vec<_> = told.iter().filter(|call| call.verb == "ADD").collect();
    assert_eq!(adds.len(), 4);
    for call in adds {
        let device = call.input("/deviceID");
        assert!(all.contains(device.as_str().unwrap()), "{device}");
        assert_eq!((call.input("/pciBusID"), call.input("/runtimeConfig/deviceID")), (device, device));
    }
    for pod in pods {
        bed.end(pod);
    }
    bed.space
        .cluster
        .wait("the descriptions of the devices to go", || Ok(bed.descriptions().is_empty().then_some(())))
        .unwrap();
    // What was given back is given again.
    bed.start("next", 2, "right,left");
    assert_eq!(described(&bed.status("next")), bed.given("next"));
    bed.end("next");
}

// Proves: S-17
#[test]
fn a_pod_with_too_few_devices_is_told_so_by_an_event() {
    let bed = Bed::new("devices-few", &["nic-0", "nic-1"]);
    bed.start("greedy", 1, "left,right");
    let cluster = bed.space.cluster;
    let events = bed.space.path("events?fieldSelector=involvedObject.name%3Dgreedy");
    let told = cluster
        .wait("the event of the refusal", || {
            let messages =
                cluster.list(&events)?.into_iter().filter_map(|e| Some(e["message"].as_str()?.to_owned()));
            Ok({ messages }.find(|message| message.contains("its networks need more")))
        })
        .unwrap();
    assert!(told.contains(&format!("was given 1 device of resource `{}`", bed.resource)), "{told}");
    let traced = manifold_e2e::trace::read(&bed.node.path(&bed.trace())).unwrap();
    assert!(traced.iter().all(|call| call.verb != "ADD"), "nothing is touched: {traced:?}");
    bed.end("greedy");
}
