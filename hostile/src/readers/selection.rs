//! The two annotations by which a pod asks for networks.

use manifold_crds::selection::{self, Limits, Reading};
use manifold_plan::{Pod, want};

use super::{home, policy, text};
use crate::Answer;

/// The text may grow when defaults are spelled out, so what was printed has no limit.
const NO_BYTES_LIMIT: Limits = Limits { bytes: usize::MAX, networks: 32 };

/// `k8s.v1.cni.cncf.io/networks`, in either form.
pub(super) fn networks(input: &[u8]) -> Answer {
    let text = text(input);
    match selection::parse(&text, &home(), Limits::default()) {
        Ok(reading) => {
            comes_back(&reading);
            Answer::Accepted(described(&reading))
        }
        Err(bad) => {
            assert_eq!(bad.place.element.is_some(), bad.to_string().starts_with("element "), "{bad}");
            refused(Some(&text), None)
        }
    }
}

/// `v1.multus-cni.io/default-network`, which names one network.
pub(super) fn default_network(input: &[u8]) -> Answer {
    let text = text(input);
    let any = selection::parse(&text, &home(), Limits::default());
    match selection::parse_one(&text, &home(), Limits::default()) {
        Ok(reading) => {
            assert!(reading.selections.len() <= 1);
            comes_back(&reading);
            Answer::Accepted(described(&reading))
        }
        Err(_) => {
            assert!(any.is_err() || any.is_ok_and(|reading| reading.selections.len() > 1));
            refused(None, Some(&text))
        }
    }
}

/// What was printed is read as the same, and has nothing odd in it.
fn comes_back(reading: &Reading) {
    let printed = selection::to_json(&reading.selections);
    let again = selection::parse(&printed, &home(), NO_BYTES_LIMIT)
        .unwrap_or_else(|bad| panic!("what was accepted is refused when it is printed: {bad}: {printed}"));
    assert_eq!(selection::to_json(&again.selections), printed);
    assert!(again.oddities.is_empty(), "{:?} in {printed}", again.oddities);
}

fn described(reading: &Reading) -> String {
    let odd = reading.oddities.iter().map(|odd| format!("\nodd: {}{}; {}", odd.place, odd.what, odd.fix));
    selection::to_json(&reading.selections) + &odd.collect::<String>()
}

/// The sentence that the pod's event has.
fn refused(networks: Option<&str>, default_network: Option<&str>) -> Answer {
    let pod =
        Pod::new("shop", "cart-7", None).expect("valid names").with_annotations(networks, default_network);
    match want(&pod, &policy()) {
        Err(refusal) => {
            assert!(!refusal.fix.is_empty() && refusal.place.contains("shop/cart-7"), "{refusal:?}");
            refusal.into()
        }
        Ok(_) => panic!("the parser refuses what the plan accepts"),
    }
}
