use std::sync::atomic::{AtomicBool, Ordering};

use manifold_net::{BridgeSpec, Net};

use crate::bed::empty;

// Proves: PLG-COM-5
#[test]
fn links_that_stay_are_in_every_listing_while_others_come_and_go() {
    const STAY: usize = 120; // More than fit into one datagram.
    let net = empty();
    let make = |name: &str| net.add_bridge(&BridgeSpec { name, ..BridgeSpec::default() }).unwrap();
    for number in 0..STAY {
        make(&format!("stay{number}"));
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let other = Net::inside(net.netns()).unwrap();
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                number += 1;
                // Renaming and creating both change the list; neither waits as long as removing does.
                let name = format!("come{}", number % 7);
                let spec = BridgeSpec { name: &name, ..BridgeSpec::default() };
                match other.add_bridge(&spec) {
                    Ok(_) => {}
                    Err(_) => other.delete(other.link(&name).unwrap().unwrap().index).unwrap(),
                }
            }
        });
        let mut unsettled = 0;
        for _ in 0..200 {
            match net.links() {
                Ok(links) => {
                    let mut names: Vec<_> =
                        links.iter().map(|l| l.name.as_str()).filter(|n| n.starts_with("stay")).collect();
                    names.sort_unstable();
                    names.dedup();
                    assert_eq!(names.len(), STAY);
                }
                Err(error) => {
                    assert!(error.is_interrupted(), "{error}");
                    unsettled += 1;
                }
            }
        }
        over.store(true, Ordering::Relaxed);
        assert!(unsettled < 100, "{unsettled} of 200 listings never settled");
    });
}
