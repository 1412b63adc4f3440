use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use manifold_net::{BridgeSpec, Net};

use crate::bed::empty;

const STAY: usize = 120; // More than fit into one datagram.

#[test]
fn links_that_stay_are_in_every_listing_while_others_come_and_go() {
    let net = empty();
    for number in 0..STAY {
        toggle(&net, &format!("stay{number}"));
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let other = Net::inside(net.netns()).unwrap();
            for number in (0..7).cycle().take_while(|_| !over.load(Ordering::Relaxed)) {
                toggle(&other, &format!("come{number}"));
            }
        });
        let started = Instant::now();
        for _ in (0..50).take_while(|_| started.elapsed() < Duration::from_secs(3)) {
            match net.links() {
                Ok(links) => {
                    let stayed = links.iter().filter(|link| link.name.starts_with("stay")).count();
                    assert_eq!(stayed, STAY);
                }
                // On a slow machine no reading may be quick enough; then the caller hears that, and no half list.
                Err(error) => assert!(error.is_interrupted(), "{error}"),
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(net.links().unwrap().len() > STAY);
}

/// Makes the bridge, or removes it where it is.
fn toggle(net: &Net, name: &str) {
    match net.link(name).unwrap() {
        Some(link) => net.delete(link.index).unwrap(),
        None => drop(net.add_bridge(&BridgeSpec { name, ..BridgeSpec::default() }).unwrap()),
    }
}
