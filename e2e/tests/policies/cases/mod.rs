//! Every refusal, each with its twin: one list.

mod addresses;
mod bindings;
mod controller;
mod definitions;
pub(crate) mod events;
mod shim;
mod tokens;
mod users;

use crate::attempt::{Attempt, Then};

pub(crate) const A1: &str = "manifold-shim-own-pods";
pub(crate) const A2: &str = "manifold-shim-only-status";
pub(crate) const B: &str = "manifold-status-not-for-users";
pub(crate) const C1: &str = "manifold-selection-frozen";
pub(crate) const C2: &str = "manifold-binding-annotations";
pub(crate) const D: &str = "manifold-network-in-use";
pub(crate) const E_NETWORKS: &str = "manifold-network-size";
pub(crate) const E_PODS: &str = "manifold-selection-size";
pub(crate) const F: &str = "manifold-node-tokens";
pub(crate) const G: &str = "manifold-controller-secrets";
pub(crate) const H: &str = "manifold-controller-webhook";
pub(crate) const I: &str = "manifold-controller-networks";
pub(crate) const J: &str = "manifold-controller-crd";
pub(crate) const K: &str = "manifold-own-events";
pub(crate) const L: &str = "manifold-node-addresses";
pub(crate) const M: &str = "manifold-address-blocks";
pub(crate) const N: &str = "manifold-claim-addresses";

/// The bytes that a definition, a selection and a status may have.
const LIMIT: usize = 65_536;

/// What is refused, by whom, and what is allowed instead.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) denied: Attempt,
    /// Any of these may be named: where two refuse, which one answers is chance.
    pub(crate) by: Vec<&'static str>,
    pub(crate) twin: Attempt,
    pub(crate) then: Then,
}

impl Case {
    fn new(by: &'static str, name: impl Into<String>, denied: Attempt, twin: Attempt) -> Self {
        Self { name: name.into(), denied, by: vec![by], twin, then: Then::Stored }
    }

    fn or_by(mut self, other: &'static str) -> Self {
        self.by.push(other);
        self
    }

    fn then(mut self, then: Then) -> Self {
        self.then = then;
        self
    }
}

pub(crate) fn all() -> Vec<Case> {
    [
        shim::status(),
        shim::other_parts(),
        shim::other_objects(),
        users::status(),
        users::own_keys(),
        users::selection(),
        users::sizes(),
        bindings::all(),
        definitions::in_use(),
        definitions::sizes(),
        tokens::node_role(),
        tokens::secrets(),
        controller::webhooks(),
        controller::networks(),
        controller::crd(),
        events::made(),
        events::changed(),
        addresses::single_addresses(),
        addresses::whole_blocks(),
        addresses::marks(),
        addresses::made(),
        addresses::by_people(),
        addresses::claims(),
    ]
    .concat()
}

/// As many bytes as asked for, and, with two bytes a character, half as many characters.
fn text(bytes: usize) -> String {
    "x".repeat(bytes)
}

fn wide_text(bytes: usize) -> String {
    "é".repeat(bytes.div_ceil(2))
}
