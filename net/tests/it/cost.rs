use std::time::{Duration, Instant};

use manifold_net::{AddressOptions, MacvlanSpec, Net};

use crate::bed::{bed, cable, net as parse};

/// Run by hand on a quiet machine: `cargo test -p manifold-net -- --ignored --nocapture sixteen`. What it prints is
/// mostly the kernel's time: a build with optimization is hardly quicker.
#[test]
#[ignore = "a measurement, not a claim that holds on every machine"]
fn sixteen_macvlans_with_address_and_up() {
    const ROUNDS: usize = 10;
    let bed = bed();
    let (parent, _) = cable(&bed.host);
    // Other work in a fresh namespace holds the kernel's one lock for links.
    bed.host.wait_dad(parent.index, Instant::now() + Duration::from_secs(5)).unwrap();
    let (mut sockets, mut links) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let pods: Vec<_> = (0..16).map(|_| Net::inside(bed.pod.netns()).unwrap()).collect();
        sockets.push(started.elapsed());
        let started = Instant::now();
        let made: Vec<_> = pods
            .iter()
            .enumerate()
            .map(|(number, pod)| attach(&bed.host, pod, parent.index, number))
            .collect();
        links.push(started.elapsed());
        made.iter().for_each(|index| bed.pod.delete(*index).unwrap());
    }
    sockets.sort();
    links.sort();
    println!("16 macvlans, median: sockets {:?}, links {:?}", sockets[ROUNDS / 2], links[ROUNDS / 2]);
}

/// What one attachment needs of the kernel.
fn attach(host: &Net, pod: &Net, parent_index: u32, number: usize) -> u32 {
    let name = format!("net{number}");
    let spec = MacvlanSpec { name: &name, parent_index, target: Some(pod), ..MacvlanSpec::default() };
    let link = host.add_macvlan(&spec).unwrap();
    let ip = parse(&format!("10.0.{number}.2/24"));
    pod.add_address(link.index, ip, AddressOptions::default()).unwrap();
    pod.set_up(link.index).unwrap();
    link.index
}
