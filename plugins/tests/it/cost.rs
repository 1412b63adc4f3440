//! What an attachment costs, for whoever looks: no claim, as machines differ.

use std::time::Instant;

use manifold_plugins::bundled;
use serde_json::json;

use crate::bed::{Bed, input};

#[test]
#[ignore = "a measurement, not a claim that holds on every machine"]
fn cost() {
    let bed = Bed::new();
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
    let conf = |plugin: &str| {
        json!({"cniVersion": "1.1.0", "name": plugin, "type": plugin, "master": "up0", "bridge": "br0",
            "isGateway": true, "ipam": bed.host_local("10.1.0.0/16")})
    };
    for plugin in ["macvlan", "bridge", "ptp"] {
        let input = input(&conf(plugin));
        let mut took = Vec::new();
        let mut removed = Vec::new();
        for n in 0..40 {
            let pod = bed.pod(&format!("c{n}"));
            let at = pod.at("eth0", "");
            let (add, del) = bed
                .host
                .run(|| {
                    let begin = Instant::now();
                    bundled(plugin).unwrap().add(&input, &at).unwrap();
                    let added = begin.elapsed();
                    let begin = Instant::now();
                    bundled(plugin).unwrap().del(&input, &at.detach()).unwrap();
                    (added, begin.elapsed())
                })
                .unwrap();
            took.push(add);
            removed.push(del);
        }
        took.sort();
        removed.sort();
        println!("{plugin}: ADD {:?} (median {:?}), DEL {:?}", took[0], took[20], removed[20]);
    }
}
