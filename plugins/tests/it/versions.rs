//! Every protocol version, through the same door as a runtime's call.

use std::time::Instant;

use manifold_cni::{Bundled, CniError, CniResult, Delegate, Invocation, Verb, Version};
use manifold_plugins::bundled;
use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, Pod, same, with};

pub(crate) fn call(bed: &Bed, verb: Verb, conf: &Value, pod: &Pod) -> Result<Vec<u8>, CniError> {
    let at = pod.at("eth0", "");
    let invocation = Invocation {
        verb,
        container: Some(&at.container),
        netns: Some(at.netns.clone()),
        ifname: Some(&at.ifname),
        args: at.args.clone(),
        path: &[],
        config: serde_json::to_vec(conf).unwrap(),
        deadline: Instant::now() + PATIENCE,
    };
    let plugin = Bundled::new(bundled(conf["type"].as_str().unwrap()).unwrap());
    bed.host.run(|| plugin.call(&invocation)).unwrap()
}

const HOST: &[&str] = &["bridge", "ptp", "macvlan", "tap", "loopback"];

fn configurations(bed: &Bed, types: &[&str]) -> Vec<Value> {
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
    let conf = |plugin: &str| json!({"name": plugin, "type": plugin, "bridge": if plugin == "bridge" { "br0" } else { "" }, "master": "up0", "vlanId": 5, "ipam": bed.host_local("10.1.0.0/24")});
    types.iter().copied().map(conf).collect()
}

// Proves: PLG-COM-1, PLG-COM-2
#[test]
fn every_version_is_answered_in_its_own_shape() {
    every_version_is_answered(HOST);
}

// Proves: PLG-COM-1, PLG-COM-2
#[test]
#[ignore = "needs a kernel with VLAN, ipvlan and dummy links: run it in the guest kernel"]
fn every_version_is_answered_by_vlan_ipvlan_and_dummy() {
    every_version_is_answered(&["vlan", "ipvlan", "dummy"]);
}

fn every_version_is_answered(types: &[&str]) {
    let bed = Bed::new();
    for conf in configurations(&bed, types) {
        for version in Version::ALL {
            let conf = with(&conf, json!({"cniVersion": version.as_str()}));
            let pod = bed.pod("c1");
            let answer = call(&bed, Verb::Add, &conf, &pod).unwrap();
            let json: Value = serde_json::from_slice(&answer).unwrap();
            assert_eq!(json["cniVersion"], version.as_str());
            let address = match version {
                Version::V0_1_0 | Version::V0_2_0 => &json["ip4"]["ip"],
                _ => &json["ips"][0]["address"],
            };
            let expected = if conf["type"] == "loopback" { "127.0.0.1/8" } else { "10.1.0." };
            assert!(address.as_str().unwrap().starts_with(expected), "{version} {conf}: {json}");
            let (result, parsed) = CniResult::parse(&answer, version).unwrap();
            assert_eq!(parsed, version);
            if version.has_check() {
                let mut with_prev = conf.clone();
                with_prev["prevResult"] = serde_json::from_slice(&result.to_json(version).unwrap()).unwrap();
                call(&bed, Verb::Check, &with_prev, &pod).unwrap();
            }
            call(&bed, Verb::Del, &conf, &pod).unwrap();
        }
    }
}

// Proves: PLG-COM-2
#[test]
fn an_answer_that_an_old_version_cannot_express_is_refused_before_anything_is_done() {
    let bed = Bed::new();
    let mut pods = Vec::new();
    for conf in configurations(&bed, HOST) {
        if !["bridge", "macvlan", "tap"].contains(&conf["type"].as_str().unwrap()) {
            continue;
        }
        let pod = bed.pod("c1");
        let (host, inside) = (bed.state(), pod.state());
        let l2 = with(&conf, json!({"ipam": {}, "cniVersion": "0.2.0"}));
        call(&bed, Verb::Add, &l2, &pod).unwrap_err();
        same("host", &host, &bed.state());
        same("pod", &inside, &pod.state());
        call(&bed, Verb::Add, &with(&l2, json!({"cniVersion": "0.3.0"})), &pod).unwrap();
        pods.push(pod);
    }
}

// Proves: PLG-COM-4
#[test]
fn many_calls_at_once_in_one_process_keep_their_namespaces_apart() {
    let bed = Bed::new();
    for conf in configurations(&bed, HOST) {
        let conf = with(&conf, json!({"cniVersion": "1.1.0", "isGateway": true}));
        let pods: Vec<Pod> = (0..24).map(|n| bed.pod(&format!("c{n}"))).collect();
        let answers: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let (bed, conf) = (&bed, &conf);
            let add = |pod| scope.spawn(move || call(bed, Verb::Add, conf, pod).unwrap());
            let running: Vec<_> = pods.iter().map(add).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (pod, answer) in pods.iter().zip(&answers) {
            let (result, _) = CniResult::parse(answer, Version::NEWEST).unwrap();
            let address = result.ips[0].address.to_string();
            assert!(pod.sh("ip -o addr").contains(&address), "{address}: {}", pod.state());
            let links = if conf["type"] == "loopback" { 1 } else { 2 };
            assert_eq!(pod.sh("ip -o link").lines().count(), links);
        }
        let here = manifold_net::Netns::current().unwrap();
        assert_ne!(here.identity(), bed.host.identity(), "this thread is where it was");
        std::thread::scope(|scope| {
            for pod in &pods {
                scope.spawn(|| call(&bed, Verb::Del, &conf, pod).unwrap());
            }
        });
        assert_eq!(bed.lease_files(), [""; 0], "{conf}");
    }
}
