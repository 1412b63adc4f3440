use std::time::{Duration, Instant};

use manifold_net::{AddressOptions, MacvlanSpec, Net};

use crate::bed::{bed, cable, net as parse};

/// Run by hand: `cargo test -p manifold-net --release -- --ignored --nocapture sixteen`.
#[test]
#[ignore = "a measurement, not a claim that holds on every machine"]
fn sixteen_macvlans_with_address_and_up() {
    const ROUNDS: u32 = 20;
    let (mut sockets, mut links) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        let bed = bed();
        let (parent, _) = cable(&bed.host);
        for number in 1..=16 {
            let started = Instant::now();
            let host = bed.host.netns().run(|| Net::here().unwrap()).unwrap();
            let pod = Net::inside(bed.pod.netns()).unwrap();
            sockets += started.elapsed();
            let started = Instant::now();
            let name = format!("net{number}");
            let spec = MacvlanSpec {
                name: &name,
                parent_index: parent.index,
                target: Some(&pod),
                ..MacvlanSpec::default()
            };
            let link = host.add_macvlan(&spec).unwrap();
            let ip = parse(&format!("10.0.{number}.2/24"));
            pod.add_address(link.index, ip, AddressOptions::default()).unwrap();
            pod.set_up(link.index).unwrap();
            links += started.elapsed();
        }
    }
    println!("16 macvlans: sockets {:?}, links {:?}", sockets / ROUNDS, links / ROUNDS);
}
